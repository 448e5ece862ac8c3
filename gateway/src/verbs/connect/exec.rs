//! pods/exec: a command in a container.

use api::Status;
use axum::body::Body;
use http::Response;

use super::{Connect, Streams, container_of, kubelet_of, pod_of};

pub(super) async fn serve(connect: Connect) -> Result<Response<Body>, Status> {
    let info = connect.call.info.clone();
    let pod = pod_of(&connect.call).await?;
    let container = container_of(&pod, info.query.text("container"))?;
    let kubelet = kubelet_of(&connect.call, &pod).await?;
    let query = Streams::read(&info).query(info.query.all("command"));
    let target = format!("/exec/{}/{}/{container}{query}", info.namespace, info.name);
    connect.ask_kubelet(&kubelet, &target).await
}
