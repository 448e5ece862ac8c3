//! nodes/proxy: a node's kubelet, or another port of the node.

use api::Status;
use api::status::Reason;

use super::{Name, port};
use crate::forward::Backend;
use crate::kubelets::Kubelet;
use crate::verbs::Call;

pub(super) async fn find(call: &Call, name: Name<'_>) -> Result<Backend, Status> {
    let (scheme, node, asked) = name.of("node")?;
    let kubelet = Kubelet::of_node(call, node).await?;
    let backend = match asked {
        "" => kubelet.backend(call, false).await,
        asked if asked == kubelet.port.to_string() => kubelet.backend(call, false).await,
        asked => kubelet.other_port(call, port(asked)?, scheme == "https").await,
    };
    backend.map_err(|status| match status.reason() {
        Reason::Forbidden => Status::bad_request("address not allowed"),
        _ => status,
    })
}
