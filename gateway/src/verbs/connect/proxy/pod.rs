//! pods/proxy: a port of a pod.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use api::document::Document;
use api::reach::may_reach;
use api::{Status, Value};
use futures_util::FutureExt;

use super::super::kubelet_of;
use super::{Name, port};
use crate::PodAccess;
use crate::forward::{Backend, Way};
use crate::kubelets::anybody;
use crate::streams::pod_port;
use crate::verbs::Call;

pub(super) async fn find(call: &Call, name: Name<'_>) -> Result<Backend, Status> {
    let (scheme, pod, asked) = name.of("pod")?;
    let pod = call.fetch(&call.resource, &call.namespace, pod).await?.document();
    let https = scheme == "https";
    let number = match (asked, first_port(&pod)) {
        ("", Some(first)) => first,
        ("", None) => {
            if https {
                443
            } else {
                80
            }
        }
        (asked, _) => port(asked)?,
    };
    let ip = pod.list(&["status", "podIPs"]).first().map_or("", |ip| ip.text(&["ip"]));
    at(call, &pod, ip, number, https).await
}

/// A port of a pod, at one of its addresses.
pub(super) async fn at(call: &Call, pod: &Value, ip: &str, port: u16, https: bool) -> Result<Backend, Status> {
    let address = ip.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, port));
    let rules = &call.gateway.config.proxy_allow;
    let Some(address) = address.ok().filter(|address| may_reach(*address, ip, rules)) else {
        return Err(Status::bad_request("address not allowed"));
    };
    let way = match call.gateway.config.pods {
        PodAccess::Direct => Way::Direct(vec![address]),
        PodAccess::Kubelets => {
            let kubelet = kubelet_of(call, pod).await?.backend(call, false).await?;
            let target = format!("/portForward/{}/{}", call.namespace, pod.name());
            Way::Through(Arc::new(move || pod_port(kubelet.clone(), target.clone(), port).boxed()))
        }
    };
    Ok(Backend { host: ip.to_owned(), port, way, tls: https.then(anybody) })
}

/// The first port that a container of the pod names.
fn first_port(pod: &Value) -> Option<u16> {
    let mut ports = pod.list(&["spec", "containers"]).iter().flat_map(|container| container.list(&["ports"]));
    ports.find_map(|port| u16::try_from(port.int(&["containerPort"])?).ok())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_first_port_is_meant_where_none_is_named() {
        let pod = json!({ "spec": { "containers": [
            { "name": "a" }, { "name": "b", "ports": [{ "containerPort": 8080 }, { "containerPort": 9 }] },
        ] } });
        assert_eq!(first_port(&pod), Some(8080));
        assert_eq!(first_port(&json!({})), None);
    }
}
