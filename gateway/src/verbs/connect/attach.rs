//! pods/attach: what a container's own process reads and writes.

use api::Status;
use axum::body::Body;
use http::Response;

use super::{Connect, container_of, kubelet_of, kubelet_query, pod_of, wishes};

pub(super) async fn serve(connect: Connect) -> Result<Response<Body>, Status> {
    let info = connect.call.info.clone();
    let pod = pod_of(&connect.call).await?;
    let container = container_of(&pod, info.query.text("container"))?;
    let kubelet = kubelet_of(&connect.call, &pod).await?;
    let wishes = wishes(&info);
    let query = kubelet_query(wishes, std::iter::empty());
    let target = format!("/attach/{}/{}/{container}{query}", info.namespace, info.name);
    connect.carry(&kubelet, target, wishes).await
}
