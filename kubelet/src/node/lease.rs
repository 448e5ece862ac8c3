//! The node's Lease: a heartbeat that costs one write.

use api::{Value, time};
use client::{ClientError, known};
use serde::Deserialize;
use serde_json::json;
use smol_str::SmolStr;

use super::Kubelet;
use crate::config::Fidelity;

const NAMESPACE: &str = "kube-node-lease";
/// Attempts of one heartbeat, as a kubelet has them.
const ATTEMPTS: usize = 5;

/// Renews one node's Lease.
pub(super) struct Heartbeat<'a> {
    kubelet: &'a Kubelet,
    /// The Node's uid, for the ownerReference.
    uid: SmolStr,
    /// The version that the last write made: the next one expects it. Empty: unknown.
    version: SmolStr,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct LeaseView {
    metadata: LeaseMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct LeaseMeta {
    resource_version: SmolStr,
}

impl<'a> Heartbeat<'a> {
    pub(super) fn new(kubelet: &'a Kubelet, uid: SmolStr) -> Self {
        Self { kubelet, uid, version: SmolStr::default() }
    }

    /// One heartbeat. A conflict is settled by a look at what is there.
    pub(super) async fn beat(&mut self) -> Result<(), ClientError> {
        let mut last = None;
        for _ in 0..ATTEMPTS {
            let ensures = self.version.is_empty();
            let written = if ensures { self.ensure().await } else { self.renew().await };
            match written {
                Ok(lease) => {
                    self.version = lease.metadata.resource_version;
                    return Ok(());
                }
                // Its namespace is missing: that takes longer than a few attempts.
                Err(error) if ensures && error.is_not_found() => return Err(error),
                Err(error) if error.is_conflict() || error.is_not_found() || error.is_already_exists() => {
                    self.version = SmolStr::default();
                    last = Some(error);
                }
                Err(error) => return Err(error),
            }
        }
        last.map_or(Ok(()), Err)
    }

    async fn ensure(&self) -> Result<LeaseView, ClientError> {
        let (client, name) = (&self.kubelet.client, self.kubelet.name.as_str());
        // A kubelet looks first; in one process most Leases are new, and making one says whether it was there.
        if self.kubelet.fleet.config.fidelity == Fidelity::InProcess {
            match client.create(&known::LEASES, NAMESPACE, &self.lease("")).await {
                Err(error) if error.is_already_exists() => {}
                done => return done,
            }
        }
        match client.get::<LeaseView>(&known::LEASES, NAMESPACE, name).await {
            Ok(lease) => {
                let body = self.lease(&lease.metadata.resource_version);
                client.update(&known::LEASES, NAMESPACE, name, "", &body).await
            }
            Err(error) if error.is_not_found() => client.create(&known::LEASES, NAMESPACE, &self.lease("")).await,
            Err(error) => Err(error),
        }
    }

    async fn renew(&self) -> Result<LeaseView, ClientError> {
        let body = self.lease(&self.version);
        self.kubelet.client.update(&known::LEASES, NAMESPACE, &self.kubelet.name, "", &body).await
    }

    fn lease(&self, version: &str) -> Value {
        let name = self.kubelet.name.as_str();
        let mut metadata = json!({
            "name": name,
            "namespace": NAMESPACE,
            "ownerReferences": [{"apiVersion": "v1", "kind": "Node", "name": name, "uid": self.uid}],
        });
        if !version.is_empty() {
            metadata["resourceVersion"] = version.into();
        }
        json!({
            "metadata": metadata,
            "spec": {
                "holderIdentity": name,
                "leaseDurationSeconds": self.kubelet.fleet.config.lease_duration.as_secs(),
                "renewTime": time::format_micros(self.kubelet.client.ambient().clock.wall_micros()),
            },
        })
    }
}
