//! Where a node's kubelet is, and the way to it.

use std::sync::{Arc, OnceLock};

use api::Status;
use api::document::Document;
use api::reach::may_reach;
use rustls::ClientConfig;

use crate::forward::{Backend, Way, look_up};
use crate::tls::client;
use crate::verbs::Call;

/// Kinds of addresses, the first one that a node has is taken.
const PREFERRED: [&str; 3] = ["InternalIP", "ExternalIP", "Hostname"];
/// Where a node does not say.
const PORT: u16 = 10_250;

/// What a node says about its kubelet.
pub(crate) struct Kubelet {
    node: String,
    host: String,
    pub(crate) port: u16,
    /// Whether it takes the WebSocket protocols that clients speak, so that nothing is translated here.
    pub(crate) takes_websockets: bool,
}

impl Kubelet {
    /// Of the node of that name.
    pub(crate) async fn of_node(call: &Call, name: &str) -> Result<Self, Status> {
        let nodes = call.gateway.registry.named("nodes").ok_or_else(Status::unknown_path)?;
        let node = call.fetch(nodes, "", name).await?.document();
        let address = |kind: &&str| {
            let mut all = node.list(&["status", "addresses"]).iter();
            all.find(|address| address.text(&["type"]) == *kind).map(|address| address.text(&["address"]).to_owned())
        };
        let Some(host) = PREFERRED.iter().find_map(address) else {
            return Err(Status::said(500, "", "no preferred addresses found; known addresses: []"));
        };
        let port = node.int(&["status", "daemonEndpoints", "kubeletEndpoint", "Port"]).filter(|port| *port > 0);
        let port = port.map_or(Ok(PORT), u16::try_from).map_err(Status::internal)?;
        let mut features = node.list(&["status", "declaredFeatures"]).iter();
        let takes_websockets = features.any(|feature| feature.as_str() == Some("ExtendWebSocketsToKubelet"));
        Ok(Self { node: name.to_owned(), host, port, takes_websockets })
    }

    /// The kubelet itself. `unchecked` takes whatever certificate it shows.
    pub(crate) async fn backend(&self, call: &Call, unchecked: bool) -> Result<Backend, Status> {
        let mut access = call.gateway.config.kubelets.clone();
        if call.info.cluster != call.gateway.config.cluster {
            // What kubelets of this cluster let in would open them to the owner of a Node in another one.
            access.identity = None;
        }
        if unchecked {
            access.ca = None;
        }
        let tls = client::config(&access).map_err(Status::internal)?;
        self.at(self.port, Some(Arc::new(tls)), &call.gateway.config.kubelets.allowed_internal).await
    }

    /// Another port of the node, as anybody reaches it.
    pub(crate) async fn other_port(&self, call: &Call, port: u16, https: bool) -> Result<Backend, Status> {
        self.at(port, https.then(anybody), &call.gateway.config.proxy_allow).await
    }

    async fn at(&self, port: u16, tls: Option<Arc<ClientConfig>>, rules: &[String]) -> Result<Backend, Status> {
        let addresses = look_up(&self.host, port).await?;
        if !addresses.iter().all(|address| may_reach(*address, &self.host, rules)) {
            return Err(Status::forbidden("", "nodes", &self.node, "its address is internal to the control plane"));
        }
        Ok(Backend { host: self.host.clone(), port, way: Way::Direct(addresses), tls })
    }
}

/// TLS to a server that is nobody's in particular: its certificate is not checked, and none is shown.
pub(crate) fn anybody() -> Arc<ClientConfig> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    CONFIG.get_or_init(|| Arc::new(client::unchecked())).clone()
}
