//! services/proxy: a ready endpoint of a service, picked at random. Only pods of the service's own namespace are endpoints: an
//! EndpointSlice may name any address, and who may write one must not reach everything through the gateway.

use std::sync::Arc;

use api::document::Document;
use api::selector::{LabelSelector, Selector};
use api::{Status, Value};
use smol_str::SmolStr;

use super::{Name, pod};
use crate::forward::Backend;
use crate::list::{self, At, ListOptions, Scope};
use crate::verbs::Call;

pub(super) async fn find(call: &Call, name: Name<'_>) -> Result<Backend, Status> {
    let (scheme, service, asked) = name.of("service")?;
    let object = call.fetch(&call.resource, &call.namespace, service).await?.document();
    let wanted = port_name(&object, service, asked)?;
    let slices = slices(call, service).await?;
    let mut endpoints: Vec<Endpoint> = slices.iter().flat_map(|slice| of_slice(slice, wanted)).collect();
    if !endpoints.is_empty() {
        let first = call.gateway.ambient.entropy.next_u64() % endpoints.len() as u64;
        endpoints.rotate_left(first as usize);
    }
    for endpoint in endpoints {
        if let Some(pod) = endpoint.pod(call).await? {
            return pod::at(call, &pod, &endpoint.ip, endpoint.port, scheme == "https").await;
        }
    }
    let which = if slices.is_empty() { service } else { name.whole };
    Err(unavailable(format!("no endpoints available for service {which:?}")))
}

fn unavailable(message: String) -> Status {
    Status::said(503, "ServiceUnavailable", message)
}

/// The name of the service's port that is asked for by number or by name.
fn port_name<'a>(service: &'a Value, name: &str, asked: &'a str) -> Result<&'a str, Status> {
    let Ok(number) = asked.parse::<i64>() else { return Ok(asked) };
    let mut ports = service.list(&["spec", "ports"]).iter();
    match ports.find(|port| port.int(&["port"]) == Some(number)) {
        Some(port) => Ok(port.text(&["name"])),
        None => Err(unavailable(format!("no service port {number} found for service {name:?}"))),
    }
}

async fn slices(call: &Call, service: &str) -> Result<Vec<Value>, Status> {
    let Some(resource) = call.gateway.registry.named("endpointslices.discovery.k8s.io") else { return Ok(Vec::new()) };
    let labels = LabelSelector::parse(&format!("kubernetes.io/service-name={service}")).map_err(Status::internal)?;
    let scope = Scope {
        cluster: call.info.cluster.clone(),
        resource: resource.clone(),
        namespace: call.namespace.clone(),
        selector: Arc::new(Selector { labels, ..Selector::default() }),
    };
    let options = ListOptions { at: At::Latest, limit: usize::MAX, after: None };
    let listed = list::list(&call.gateway.topology, &scope, &options).await?;
    Ok(listed.objects.iter().map(|slice| slice.document()).collect())
}

/// Where a service's pod listens.
#[derive(Debug, PartialEq, Eq)]
struct Endpoint {
    ip: String,
    port: u16,
    namespace: SmolStr,
    name: SmolStr,
}

impl Endpoint {
    /// The pod that it says it is, if it is one of this namespace, with that address.
    async fn pod(&self, call: &Call) -> Result<Option<Value>, Status> {
        let pods = call.gateway.registry.named("pods").ok_or_else(Status::unknown_path)?;
        if self.namespace != call.namespace || self.name.is_empty() {
            return Ok(None);
        }
        match call.fetch(pods, &self.namespace, &self.name).await {
            Ok(pod) => {
                let pod = pod.document();
                let own = pod.list(&["status", "podIPs"]).iter().any(|ip| ip.text(&["ip"]) == self.ip);
                Ok(own.then_some(pod))
            }
            Err(status) if status.code() == 404 => Ok(None),
            Err(status) => Err(status),
        }
    }
}

/// The ready endpoints of a slice that offer a port of that name.
fn of_slice(slice: &Value, name: &str) -> Vec<Endpoint> {
    let mut ports = slice.list(&["ports"]).iter().filter(|port| port.text(&["name"]) == name);
    let port = ports.find_map(|port| port.int(&["port"])).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Vec::new() };
    let ready = |endpoint: &&Value| endpoint.at(&["conditions", "ready"]).as_bool().unwrap_or(true);
    let endpoint = |endpoint: &Value| {
        // All addresses of an endpoint are alike, and the first is what others take.
        let ip = endpoint.list(&["addresses"]).first()?.as_str()?.to_owned();
        let target = |field| SmolStr::new(endpoint.text(&["targetRef", field]));
        let (namespace, name) = (target("namespace"), target("name"));
        Some(Endpoint { ip, port, namespace, name })
    };
    slice.list(&["endpoints"]).iter().filter(ready).filter_map(endpoint).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_that_are_ready_offer_the_ports_name() {
        let slice = json!({
            "ports": [{ "name": "a", "port": 1 }, { "name": "b", "port": 2 }],
            "endpoints": [
                { "addresses": ["10.0.0.1"], "conditions": { "ready": true }, "targetRef": { "name": "p", "namespace": "n" } },
                { "addresses": ["10.0.0.2"], "conditions": { "ready": false } },
                { "addresses": ["10.0.0.3"] },
            ],
        });
        let found = of_slice(&slice, "b");
        assert_eq!(found.iter().map(|one| one.ip.as_str()).collect::<Vec<_>>(), ["10.0.0.1", "10.0.0.3"]);
        assert_eq!((found[0].port, found[0].namespace.as_str(), found[0].name.as_str()), (2, "n", "p"));
        assert!(of_slice(&slice, "c").is_empty());
    }

    #[test]
    fn a_port_is_asked_for_by_number_or_by_name() {
        let service = json!({ "spec": { "ports": [{ "port": 80 }, { "name": "https", "port": 443 }] } });
        assert_eq!(port_name(&service, "s", "443"), Ok("https"));
        assert_eq!(port_name(&service, "s", "80"), Ok(""));
        assert_eq!(port_name(&service, "s", "any"), Ok("any"));
        let refusal = port_name(&service, "s", "81").unwrap_err();
        assert_eq!((refusal.code(), refusal.message()), (503, "no service port 81 found for service \"s\""));
    }
}
