//! pods/portforward: connections to ports of a pod.

use api::Status;
use axum::body::Body;
use http::Response;
use streaming::websocket::tunnelled;

use super::{Connect, kubelet_of, pod_of};
use crate::query::{Query, encode};
use crate::streams;

pub(super) async fn serve(mut connect: Connect) -> Result<Response<Body>, Status> {
    let info = connect.call.info.clone();
    let ports = ports(&info.query)?;
    let pod = pod_of(&connect.call).await?;
    let kubelet = kubelet_of(&connect.call, &pod).await?;
    let query = encode((!ports.is_empty()).then_some(("port", ports.as_str())));
    let target = format!("/portForward/{}/{}{query}", info.namespace, info.name);
    let wanted = connect.wanted(&kubelet, |protocol| tunnelled(protocol).is_some());
    let backend = kubelet.backend(&connect.call, false).await?;
    let Some(wanted) = wanted else { return connect.ask_kubelet(&backend, &target).await };
    let passage = connect.passage();
    streams::tunnel(&connect.call.gateway, passage, &wanted, (backend, target), connect.parts).await
}

/// The ports that a WebSocket client names beforehand, with commas between them.
fn ports(query: &Query) -> Result<String, Status> {
    let mut ports = Vec::new();
    for text in query.all("ports").flat_map(|value| value.split(',')) {
        let port: i32 = text.parse().map_err(|_| {
            Status::bad_request(format!("strconv.ParseInt: parsing {}: invalid syntax", api::Value::from(text)))
        })?;
        ports.push(port.to_string());
    }
    Ok(ports.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_named_once_or_often() {
        let read = |query: &str| ports(&Query::parse(Some(query)));
        assert_eq!(read("ports=80&ports=81,82&port=9"), Ok("80,81,82".to_owned()));
        assert_eq!(read(""), Ok(String::new()));
        assert_eq!(read("ports=http").unwrap_err().code(), 400);
    }
}
