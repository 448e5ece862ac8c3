//! Registration: the Node is made, or the one that is there is put right.

use std::time::Duration;

use api::patch::PatchType;
use api::time;
use client::{ClientError, known};
use serde::de::IgnoredAny;
use serde_json::json;
use smol_str::SmolStr;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::Kubelet;
use super::object::{NodeView, labels, node};
use crate::config::Fidelity;
use crate::follow::jittered;

/// Attempts before somebody should know.
const QUIET_ATTEMPTS: u32 = 8;
/// The longest pause between attempts, as a kubelet has it.
const LONGEST_PAUSE: Duration = Duration::from_secs(7);

impl Kubelet {
    /// Tries until the Node is registered and reported ready; its uid.
    pub(super) async fn register(&self) -> SmolStr {
        let mut pause = Duration::from_millis(100);
        let mut attempts = 0;
        loop {
            let attempt = async {
                // The semaphore is never closed: an error would only mean that nothing limits.
                let _turn = self.fleet.registrations.acquire().await.ok();
                self.try_register().await
            };
            let error = match attempt.await {
                Ok(uid) => return uid,
                Err(error) => error,
            };
            attempts += 1;
            if attempts == QUIET_ATTEMPTS {
                warn!(node = %self.name, %error, "the Node cannot be registered, trying on");
            } else {
                debug!(node = %self.name, %error, "the Node was not registered");
            }
            let wait = jittered(pause, 0.3, &*self.client.ambient().entropy);
            sleep(wait.max(error.retry_after().unwrap_or_default())).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn try_register(&self) -> Result<SmolStr, ClientError> {
        let config = &self.fleet.config;
        let now = time::format_seconds(self.client.ambient().clock.wall_micros());
        let wire = config.fidelity == Fidelity::Wire;
        let wanted = node(config, &self.name, self.at, !wire, &now);
        let (current, made) = match self.client.create::<NodeView>(&known::NODES, "", &wanted).await {
            Ok(made) => (made, true),
            Err(error) if error.is_already_exists() => {
                let current: NodeView = self.client.get(&known::NODES, "", &self.name).await?;
                self.put_labels_right(&current).await?;
                (current, false)
            }
            Err(error) => return Err(error),
        };
        self.learn_ranges(&current);
        // A server may drop the status of a create, although Kubernetes does not.
        if wire || !made || !current.status.is_ready() {
            self.report_over(&current).await?;
        }
        Ok(current.metadata.uid)
    }

    async fn put_labels_right(&self, current: &NodeView) -> Result<(), ClientError> {
        let mut wanted = labels(&self.fleet.config, &self.name, self.at);
        let has = current.metadata.labels.as_ref();
        wanted.retain(|label, value| {
            has.and_then(|has| has.get(label.as_str())).map(SmolStr::as_str) != Some(value.as_str())
        });
        if wanted.is_empty() {
            return Ok(());
        }
        let body = json!({"metadata": {"labels": wanted}});
        let patched = self.client.patch::<IgnoredAny>(&known::NODES, "", &self.name, "", PatchType::Strategic, &body);
        patched.await.map(drop)
    }
}
