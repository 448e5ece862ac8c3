//! Requests that are passed on to a kubelet, or to what runs in pods: exec, attach, portforward and proxy.
//!
//! Everything here decides where a request goes; `crate::forward` carries it there. Start reading at [`dispatch`].

mod attach;
mod exec;
mod portforward;
mod proxy;

use std::sync::Arc;

use api::document::Document;
use api::{Status, Value};
use axum::body::Body;
use http::request::Parts;
use http::{Method, Request, Response};
use smol_str::SmolStr;
use streaming::remote::Wishes;
use streaming::websocket::Wanted;

use super::Call;
use crate::forward::{Backend, Passage, prepare, upgrade};
use crate::kubelets::Kubelet;
use crate::metrics::WebSocketLabels;
use crate::query::encode;
use crate::request::RequestInfo;
use crate::{Inner, Ticket, authz, forward, streams};

/// A request that goes on to somebody else.
pub(super) struct Connect {
    call: Call,
    parts: Parts,
    body: Body,
}

/// Whether a request is for one of these subresources.
pub(crate) fn concerns(info: &RequestInfo) -> bool {
    info.is_resource
        && info.group.is_empty()
        && matches!(info.subresource.as_str(), "attach" | "exec" | "portforward" | "proxy")
}

/// Passes a request on.
pub(crate) async fn dispatch(
    gateway: Arc<Inner>,
    ticket: Ticket,
    request: Request<Body>,
) -> Result<Response<Body>, Status> {
    let Ticket { info, user, cluster } = ticket;
    let (resource, served) = gateway.kinds.resolve(&info).await.ok_or_else(Status::unknown_path)?;
    let namespace = if resource.namespaced { info.namespace.clone() } else { SmolStr::default() };
    let (parts, body) = request.into_parts();
    let headers = parts.headers.clone();
    let call = Call { gateway, info, user, headers, resource, served, namespace, floor: cluster.floor };
    let connect = Connect { call, parts, body };
    connect.check()?;
    if !connect.is_proxy() && connect.parts.method == Method::GET {
        // What a WebSocket must ask for with GET does as much as a POST.
        let (gateway, user) = (connect.call.gateway.clone(), connect.call.user.clone());
        let create = RequestInfo { verb: "create", ..(*connect.call.info).clone() };
        authz::authorize(&gateway.authorizer, &user, &create).await?;
    }
    match connect.call.info.subresource.as_str() {
        "attach" => attach::serve(connect).await,
        "exec" => exec::serve(connect).await,
        "portforward" => portforward::serve(connect).await,
        _ => proxy::serve(connect).await,
    }
}

impl Connect {
    fn is_proxy(&self) -> bool {
        self.call.info.subresource == "proxy"
    }

    /// 404 for paths that lead nowhere, 405 for methods that are not carried.
    fn check(&self) -> Result<(), Status> {
        let RequestInfo { subresource, namespace, deeper, query, .. } = &*self.call.info;
        let resource = &self.call.resource;
        let proxy = self.is_proxy();
        let nowhere = (*deeper && !proxy) || resource.namespaced == namespace.is_empty();
        if nowhere || self.call.served().subresource(subresource).is_none() {
            return Err(Status::unknown_path());
        }
        let carried = match self.parts.method {
            Method::GET | Method::POST => true,
            Method::PUT | Method::PATCH | Method::DELETE | Method::HEAD | Method::OPTIONS => proxy,
            _ => false,
        };
        if !carried {
            return Err(self.call.not_allowed());
        }
        if query.get("dryRun").is_some() {
            return Err(Status::bad_request("dryRun is not supported"));
        }
        Ok(())
    }

    /// Passes a request for an upgrade on to a kubelet, which agrees or says why not.
    async fn ask_kubelet(mut self, backend: &Backend, target: &str) -> Result<Response<Body>, Status> {
        if !forward::is_upgrade(&self.parts.headers) {
            return Err(Status::bad_request("Upgrade request required"));
        }
        let passage = self.passage();
        prepare(&mut self.parts, target).map_err(|error| Status::bad_request(error.to_string()))?;
        upgrade(passage, backend, Request::from_parts(self.parts, Body::empty())).await
    }

    /// The client's wish for a WebSocket of a protocol that is ours to speak, unless the kubelet speaks it.
    fn wanted(&self, kubelet: &Kubelet, ours: impl Fn(&str) -> bool) -> Option<Wanted> {
        let wanted = Wanted::of(&self.parts.headers).filter(|_| forward::is_upgrade(&self.parts.headers))?;
        let by_kubelet = kubelet.takes_websockets;
        let proxy_type = if by_kubelet { "proxied_to_kubelet" } else { "translated_at_apiserver" };
        let labels = WebSocketLabels { subresource: self.subresource(), proxy_type };
        self.call.gateway.metrics.websockets.get_or_create(&labels).inc();
        Some(wanted).filter(|wanted| !by_kubelet && wanted.protocols.iter().any(|protocol| ours(protocol)))
    }

    /// Has a command's streams carried to a kubelet, by whatever protocol both speak.
    async fn carry(mut self, kubelet: &Kubelet, target: String, wishes: Wishes) -> Result<Response<Body>, Status> {
        let wanted = self.wanted(kubelet, |protocol| protocol == streams::PROTOCOL);
        let backend = kubelet.backend(&self.call, false).await?;
        let Some(wanted) = wanted else { return self.ask_kubelet(&backend, &target).await };
        let passage = self.passage();
        Ok(streams::translate(&self.call.gateway, passage, &wanted, backend, (target, wishes)))
    }

    fn passage(&mut self) -> Passage {
        let subresource = self.subresource();
        Passage::of(&self.call.gateway, &mut self.parts, subresource)
    }

    fn subresource(&self) -> &'static str {
        self.call.served().subresource(&self.call.info.subresource).map_or("", |known| known.name)
    }
}

/// The pod that a request is about.
async fn pod_of(call: &Call) -> Result<Value, Status> {
    Ok(call.fetch(&call.resource, &call.namespace, &call.info.name).await?.document())
}

/// The kubelet of a pod.
async fn kubelet_of(call: &Call, pod: &Value) -> Result<Kubelet, Status> {
    match pod.text(&["spec", "nodeName"]) {
        "" => Err(Status::bad_request(format!("pod {} does not have a host assigned", pod.name()))),
        node => Kubelet::of_node(call, node).await,
    }
}

/// Which of the standard streams a command gets.
fn wishes(info: &RequestInfo) -> Wishes {
    let flag = |key| info.query.flag(key) == Some(true);
    Wishes { stdin: flag("stdin"), stdout: flag("stdout"), stderr: flag("stderr"), tty: flag("tty") }
}

/// The query for a kubelet, with the command.
fn kubelet_query<'a>(wishes: Wishes, command: impl Iterator<Item = &'a str>) -> String {
    let Wishes { stdin, stdout, stderr, tty } = wishes;
    let flags = [("input", stdin), ("output", stdout), ("error", stderr), ("tty", tty)];
    let flags = flags.iter().filter(|(_, on)| *on).map(|(key, _)| (*key, "1"));
    encode(flags.chain(command.map(|word| ("command", word))))
}

/// The container that is meant, in the reference's words where that is not clear.
pub(super) fn container_of(pod: &Value, asked: &str) -> Result<String, Status> {
    let lists = ["initContainers", "containers", "ephemeralContainers"];
    let names: Vec<&str> =
        lists.iter().flat_map(|list| pod.list(&["spec", list])).map(|container| container.text(&["name"])).collect();
    if !asked.is_empty() {
        return match names.contains(&asked) {
            true => Ok(asked.to_owned()),
            false => Err(Status::bad_request(format!("container {asked} is not valid for pod {}", pod.name()))),
        };
    }
    let unclear = format!("a container name must be specified for pod {}", pod.name());
    match pod.list(&["spec", "containers"]) {
        [only] => Ok(only.text(&["name"]).to_owned()),
        [] => Err(Status::bad_request(unclear)),
        _ => Err(Status::bad_request(format!("{unclear}, choose one of: [{}]", names.join(" ")))),
    }
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
    fn a_kubelet_is_asked_in_its_own_words() {
        let query = "stdin=true&stdout=1&tty=0&container=c&command=sh&command=-c&command=a+b";
        let info = RequestInfo::new(&"default".into(), &Method::POST, "/api/v1/pods", Some(query));
        let text = kubelet_query(wishes(&info), info.query.all("command"));
        assert_eq!(text, "?input=1&output=1&command=sh&command=-c&command=a%20b");
    }
}
