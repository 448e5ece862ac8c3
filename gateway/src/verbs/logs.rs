//! pods/log: asked of the kubelet on the pod's node, and passed on as it comes.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::status::Reason;
use api::{Status, Value};
use axum::body::Body;
use bytes::Bytes;
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

use super::Call;
use crate::query::Query;
use crate::tls::client;

/// How long a kubelet may take to be reached, and to begin its answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// PodLogOptions that are passed on.
const OPTIONS: [&str; 8] =
    ["follow", "previous", "timestamps", "sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream"];

pub(super) async fn serve(call: Call) -> Result<Response<Body>, Status> {
    if call.info.verb != "get" {
        return Err(call.not_allowed());
    }
    let pod = call.fetch(&call.resource, &call.namespace, &call.info.name).await?.document();
    let container = container_of(&pod, call.info.query.text("container"))?;
    let node = pod.text(&["spec", "nodeName"]).to_owned();
    if node.is_empty() {
        // Not on a node yet: the reference answers with nothing.
        return Ok(text(Body::empty()));
    }
    let target = Target::find(&call, &node).await?;
    target.check(&call.gateway.config.kubelets.allowed_internal)?;
    let path =
        format!("/containerLogs/{}/{}/{container}{}", call.namespace, call.info.name, passed_on(&call.info.query)?);
    let stopping = call.gateway.stopping.clone();
    let answer = tokio::select! {
        () = stopping.cancelled() => return Err(Status::unavailable("the server is shutting down")),
        answer = tokio::time::timeout(PATIENCE, target.ask(&call, &path)) => answer,
    };
    let answer = answer.unwrap_or_else(|_| Err(target.unreachable(&"it took too long")))?;
    if answer.status() != StatusCode::OK {
        return Err(refused(&pod, &container, answer).await);
    }
    let body = BodyDataStream::new(answer.into_body()).take_until(stopping.cancelled_owned());
    Ok(text(Body::from_stream(body)))
}

fn text(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    response
}

/// The container that is meant, in the reference's words where that is not clear.
fn container_of(pod: &Value, asked: &str) -> Result<String, Status> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let names: Vec<&str> =
        lists.iter().flat_map(|list| pod.list(&["spec", list])).map(|container| container.text(&["name"])).collect();
    if !asked.is_empty() {
        return match names.contains(&asked) {
            true => Ok(asked.to_owned()),
            false => Err(Status::bad_request(format!("container {asked} is not valid for pod {}", pod.name()))),
        };
    }
    match pod.list(&["spec", "containers"]) {
        [only] => Ok(only.text(&["name"]).to_owned()),
        _ => Err(Status::bad_request(format!(
            "a container name must be specified for pod {}, choose one of: [{}]",
            pod.name(),
            names.join(" ")
        ))),
    }
}

/// The query for the kubelet.
fn passed_on(query: &Query) -> Result<String, Status> {
    for number in ["sinceSeconds", "tailLines", "limitBytes"] {
        query.number::<i64>(number)?;
    }
    if query.get("sinceSeconds").is_some() && query.get("sinceTime").is_some() {
        return Err(Status::bad_request("at most one of `sinceTime` or `sinceSeconds` may be specified"));
    }
    let options = OPTIONS.iter().filter_map(|key| Some((key, query.get(key)?)));
    let pairs: Vec<String> = options.map(|(key, value)| format!("{key}={}", escape(value))).collect();
    Ok(if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) })
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// What a kubelet said instead of a log.
async fn refused(pod: &Value, container: &str, answer: Response<Incoming>) -> Status {
    let code = answer.status();
    let body = Limited::new(answer.into_body(), 8192).collect();
    let said = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        _ => String::new(),
    };
    match code {
        StatusCode::BAD_REQUEST => Status::bad_request(said),
        StatusCode::NOT_FOUND => {
            let message = format!("the server could not find the requested resource ( pods/log {})", pod.name());
            Status::new(Reason::NotFound, message).about("", "pods", pod.name())
        }
        _ => Status::unavailable(format!("the kubelet of container {container:?} answered {code}: {said}")),
    }
}

/// A kubelet's address.
struct Target {
    node: String,
    host: String,
    port: u16,
    /// What the host resolves to: checked, and then connected to, so that no second answer of a name server counts.
    addresses: Vec<SocketAddr>,
}

impl Target {
    /// From what the node says about itself.
    async fn find(call: &Call, name: &str) -> Result<Self, Status> {
        let nodes = call.gateway.registry.named("nodes").ok_or_else(Status::unknown_path)?;
        let node = call.fetch(nodes, "", name).await?.document();
        let address = |kind| {
            let mut all = node.list(&["status", "addresses"]).iter();
            all.find(|address| address.text(&["type"]) == kind).map(|address| address.text(&["address"]).to_owned())
        };
        let host = ["InternalIP", "ExternalIP", "Hostname"].into_iter().find_map(address);
        let host = host.ok_or_else(|| Status::internal(format!("node {name:?} has no address")))?;
        let port = node.int(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).filter(|port| *port > 0);
        let port = u16::try_from(port.unwrap_or(10_250)).map_err(Status::internal)?;
        let found = tokio::time::timeout(PATIENCE, lookup_host((host.as_str(), port))).await;
        let found: Option<Vec<SocketAddr>> = found.ok().and_then(Result::ok).map(Iterator::collect);
        let addresses = match found {
            Some(addresses) => addresses,
            None => {
                return Err(Status::unavailable(format!("the address of node {name:?} cannot be resolved: {host}")));
            }
        };
        Ok(Self { node: name.to_owned(), host, port, addresses })
    }

    /// Refuses what a tenant must not reach through the gateway (DESIGN D12).
    fn check(&self, allowed: &[String]) -> Result<(), Status> {
        let reachable = |ip: IpAddr| !is_internal(ip) || allowed.iter().any(|rule| allows(rule, ip, &self.host));
        if self.addresses.is_empty() || !self.addresses.iter().all(|address| reachable(address.ip())) {
            return Err(Status::forbidden("", "nodes", &self.node, "its address is internal to the control plane"));
        }
        Ok(())
    }

    async fn ask(&self, call: &Call, path: &str) -> Result<Response<Incoming>, Status> {
        let tls = client::config(&call.gateway.config.kubelets).map_err(Status::internal)?;
        let name = ServerName::try_from(self.host.clone()).map_err(Status::internal)?;
        let stream = TcpStream::connect(&self.addresses[..]).await.map_err(|error| self.unreachable(&error))?;
        stream.set_nodelay(true).map_err(|error| self.unreachable(&error))?;
        let stream = TlsConnector::from(Arc::new(tls)).connect(name, stream).await;
        let stream = TokioIo::new(stream.map_err(|error| self.unreachable(&error))?);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(stream).await.map_err(|error| self.unreachable(&error))?;
        // Ends when the answer's body was read, or dropped.
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "a log stream ended early");
            }
        });
        let host = if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        };
        let request = Request::get(path).header(HOST, host).body(Empty::<Bytes>::new()).map_err(Status::internal)?;
        sender.send_request(request).await.map_err(|error| self.unreachable(&error))
    }

    fn unreachable(&self, why: &dyn std::fmt::Display) -> Status {
        Status::unavailable(format!("the kubelet of node {:?} cannot be reached: {why}", self.node))
    }
}

fn is_internal(ip: IpAddr) -> bool {
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            ip.is_loopback() || ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

/// Whether a rule (an address, a network or a host's name) names this one.
fn allows(rule: &str, ip: IpAddr, host: &str) -> bool {
    let network = rule.parse::<ipnet::IpNet>().ok();
    rule == host
        || rule.parse() == Ok(ip.to_canonical())
        || network.is_some_and(|network| network.contains(&ip.to_canonical()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn containers_are_chosen_as_the_reference_does() {
        let pod = |names: &[&str]| {
            let containers: Vec<Value> = names.iter().map(|name| json!({ "name": name })).collect();
            json!({ "metadata": { "name": "x" }, "spec": { "containers": containers, "initContainers": [{ "name": "i" }] } })
        };
        assert_eq!(container_of(&pod(&["a"]), ""), Ok("a".to_owned()));
        assert_eq!(container_of(&pod(&["a"]), "i"), Ok("i".to_owned()));
        let message = container_of(&pod(&["a", "b"]), "").unwrap_err();
        assert_eq!(message.message(), "a container name must be specified for pod x, choose one of: [i a b]");
        let message = container_of(&pod(&["a"]), "z").unwrap_err();
        assert_eq!(message.message(), "container z is not valid for pod x");
    }

    #[test]
    fn internal_addresses_are_not_reached() {
        let check = |ip: &str, allowed: &[&str]| {
            let addresses = vec![SocketAddr::new(ip.parse().unwrap(), 10_250)];
            let target = Target { node: "n".into(), host: ip.into(), port: 10_250, addresses };
            target.check(&allowed.iter().map(|rule| (*rule).to_owned()).collect::<Vec<_>>()).is_ok()
        };
        for ip in ["127.0.0.1", "::1", "169.254.169.254", "0.0.0.0", "::ffff:127.0.0.1", "fe80::1"] {
            assert!(!check(ip, &[]), "{ip}");
        }
        assert!(check("10.1.2.3", &[]) && check("127.0.0.1", &["127.0.0.1"]) && check("127.0.0.9", &["127.0.0.0/8"]));
        assert!(!check("127.0.0.1", &["10.0.0.0/8"]));
    }

    #[test]
    fn only_known_options_are_passed_on() {
        let query = Query::parse(Some("follow=true&container=a&sinceTime=2026-01-01T00%3A00%3A00Z&evil=1"));
        assert_eq!(passed_on(&query).unwrap(), "?follow=true&sinceTime=2026-01-01T00%3A00%3A00Z");
        assert_eq!(passed_on(&Query::parse(Some("tailLines=x"))).unwrap_err().code(), 400);
    }
}
