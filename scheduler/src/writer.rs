//! Writes to the API, many at once: bindings, refusals, conditions, events.
//!
//! Each write that is under way holds a permit until the loop has taken its outcome, so their number is bounded, and a
//! storm of unschedulable pods does not keep bindings waiting.
//!
//! A binding whose outcome is unknown is sent again until it is known: the pod stays assumed meanwhile, because the
//! server may still carry out what it was sent, and that was always the same node. It is given up when the node is no
//! longer this scheduler's.

use std::sync::Arc;
use std::time::Duration;

use api::patch::PatchType;
use api::time::format_seconds;
use client::{Client, ClientError, EventKind, Members, Recorder, Regarding, known};
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use crate::engine::{Binding, Telling, What, Written};
use crate::hash;
use crate::scheduler::SchedulerConfig;
use crate::view::PodView;

/// First pause before a write is sent again.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// Longest pause before a write is sent again.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// Attempts to tell something before the pod is tried again altogether.
const TELLING_ATTEMPTS: u32 = 5;
/// Attempts to bind after which somebody should know.
const QUIET_ATTEMPTS: u32 = 8;
/// Longest note of an event.
const LONGEST_NOTE: usize = 1024;

/// How a write ended. The room is free again when this is dropped.
pub(crate) enum Outcome {
    Bound { binding: Binding, written: Written, room: OwnedSemaphorePermit },
    Told { telling: Telling, written: Written, room: OwnedSemaphorePermit },
}

/// What the writing tasks share.
struct Shared {
    client: Client,
    recorder: Recorder,
    members: watch::Receiver<Members>,
    bind_deadline: Duration,
}

/// Starts writes.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    outcomes: mpsc::Sender<Outcome>,
    bindings: Arc<Semaphore>,
    tellings: Arc<Semaphore>,
    permits: (usize, usize),
}

impl Writer {
    /// `outcomes` must have room for as many as may be under way.
    pub(crate) fn new(
        client: Client,
        recorder: Recorder,
        config: &SchedulerConfig,
        members: watch::Receiver<Members>,
        outcomes: mpsc::Sender<Outcome>,
    ) -> Self {
        let (bindings, tellings) = (config.parallel_bindings, config.parallel_tellings);
        Self {
            shared: Arc::new(Shared { client, recorder, members, bind_deadline: config.bind_deadline }),
            outcomes,
            bindings: Arc::new(Semaphore::new(bindings)),
            tellings: Arc::new(Semaphore::new(tellings)),
            permits: (bindings, tellings),
        }
    }

    /// How many more bindings may be started.
    pub(crate) fn free_bindings(&self) -> usize {
        self.bindings.available_permits()
    }

    /// Whether one more telling may be started.
    pub(crate) fn has_free_telling(&self) -> bool {
        self.tellings.available_permits() > 0
    }

    /// Starts a binding; there must be room.
    pub(crate) fn bind(&self, binding: Binding) {
        let room = self.bindings.clone().try_acquire_owned().expect("only the loop takes room, and it has asked");
        let (shared, outcomes) = (self.shared.clone(), self.outcomes.clone());
        tokio::spawn(async move {
            let written = shared.bind(&binding).await;
            // The loop may have ended.
            let _ = outcomes.send(Outcome::Bound { binding, written, room }).await;
        });
    }

    /// Starts a telling; there must be room.
    pub(crate) fn tell(&self, telling: Telling) {
        let room = self.tellings.clone().try_acquire_owned().expect("only the loop takes room, and it has asked");
        let (shared, outcomes) = (self.shared.clone(), self.outcomes.clone());
        tokio::spawn(async move {
            let written = shared.tell(&telling).await;
            // The loop may have ended.
            let _ = outcomes.send(Outcome::Told { telling, written, room }).await;
        });
    }

    /// Waits until nothing is under way, but not for long. The outcomes must no longer be received elsewhere: what is in
    /// the channel gives its room back as it is dropped with it.
    pub(crate) async fn finish(&self, longest: Duration) {
        let (bindings, tellings) = self.permits;
        let all = |permits: usize| u32::try_from(permits).unwrap_or(u32::MAX);
        let both = async {
            let _ = self.bindings.acquire_many(all(bindings)).await;
            let _ = self.tellings.acquire_many(all(tellings)).await;
        };
        if timeout(longest, both).await.is_err() {
            debug!("writes were still under way at the end");
        }
    }
}

fn pause(attempts: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << attempts.min(8)).min(LONGEST_PAUSE)
}

impl Shared {
    fn owns(&self, node: &str) -> bool {
        self.members.borrow().owns(hash(node))
    }

    async fn bind(&self, binding: &Binding) -> Written {
        let meta = &binding.pod.meta;
        let body = json!({
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"namespace": meta.namespace, "name": meta.name, "uid": meta.uid},
            "target": {"kind": "Node", "name": binding.node},
        });
        let mut is_unknown = false;
        for attempts in 0.. {
            if !self.owns(&binding.node) {
                return Written::Stale;
            }
            let call = self.client.post::<IgnoredAny>(&known::PODS, &meta.namespace, &meta.name, "binding", &body);
            let error = match timeout(self.bind_deadline, call).await {
                Ok(Ok(_)) => return self.bound(binding).await,
                Ok(Err(error)) => Some(error),
                Err(_) => None,
            };
            match &error {
                Some(error) if !error.is_retryable() => return self.refused(binding, error, is_unknown).await,
                _ => is_unknown = true,
            }
            let reason = error.map_or_else(|| "no answer".to_owned(), |error| error.to_string());
            if attempts == QUIET_ATTEMPTS {
                warn!(pod = %meta.name, namespace = %meta.namespace, node = %binding.node, reason, "cannot bind, still trying");
            }
            debug!(pod = %meta.name, namespace = %meta.namespace, node = %binding.node, reason, "binding again");
            sleep(pause(attempts)).await;
        }
        Written::Failed
    }

    /// The server has said no.
    async fn refused(&self, binding: &Binding, error: &ClientError, is_unknown: bool) -> Written {
        let meta = &binding.pod.meta;
        if is_unknown && error.is_conflict() {
            // An earlier attempt may have been carried out after all.
            let pod = self.client.get::<PodView>(&known::PODS, &meta.namespace, &meta.name).await;
            if pod.is_ok_and(|pod| pod.meta.uid == meta.uid && pod.node_name == binding.node) {
                return self.bound(binding).await;
            }
        }
        if error.is_conflict() || error.is_not_found() {
            debug!(pod = %meta.name, namespace = %meta.namespace, node = %binding.node, %error, "not bound");
            return Written::Stale;
        }
        warn!(pod = %meta.name, namespace = %meta.namespace, node = %binding.node, %error, "binding refused");
        Written::Failed
    }

    async fn bound(&self, binding: &Binding) -> Written {
        let meta = &binding.pod.meta;
        let regarding = Regarding::object(known::PODS, meta);
        let note = format!("Successfully assigned {}/{} to {}", meta.namespace, meta.name, binding.node);
        self.recorder.event(&regarding, EventKind::Normal, "Scheduled", &note);
        if !meta.annotations.is_empty() {
            let gone: serde_json::Map<_, _> =
                meta.annotations.keys().map(|key| (key.to_string(), Value::Null)).collect();
            let patch = json!({"metadata": {"uid": meta.uid, "annotations": gone}});
            let (kind, name) = (PatchType::Merge, &meta.name);
            let cleaned = self.client.patch::<IgnoredAny>(&known::PODS, &meta.namespace, name, "", kind, &patch).await;
            if let Err(error) = cleaned {
                // Nobody reads the refusals of a bound pod.
                debug!(pod = %meta.name, namespace = %meta.namespace, %error, "refusals left behind");
            }
        }
        Written::Done
    }

    async fn tell(&self, telling: &Telling) -> Written {
        let meta = &telling.pod.meta;
        let (subresource, kind, patch) = match &telling.what {
            What::Refusal { key, text } => {
                let annotations = json!({key.as_str(): text});
                ("", PatchType::Merge, json!({"metadata": {"uid": meta.uid, "annotations": annotations}}))
            }
            What::Condition { reason, message, is_patch, is_event } => {
                if *is_event {
                    let regarding = Regarding::object(known::PODS, meta);
                    self.recorder.event(&regarding, EventKind::Warning, "FailedScheduling", note(message));
                }
                if !is_patch {
                    return Written::Done;
                }
                ("status", PatchType::Strategic, self.condition(&telling.pod, reason, message))
            }
        };
        for attempts in 0..TELLING_ATTEMPTS {
            let call =
                self.client.patch::<IgnoredAny>(&known::PODS, &meta.namespace, &meta.name, subresource, kind, &patch);
            match call.await {
                Ok(_) => return Written::Done,
                Err(error) if error.is_conflict() || error.is_not_found() => return Written::Stale,
                Err(error) if error.is_retryable() => debug!(pod = %meta.name, %error, "telling again"),
                Err(error) => {
                    warn!(pod = %meta.name, namespace = %meta.namespace, %error, "cannot say why the pod has no node");
                    return Written::Failed;
                }
            }
            sleep(pause(attempts)).await;
        }
        Written::Failed
    }

    /// The patch that sets PodScheduled to False. It holds for this version of the pod only: later it may be bound.
    fn condition(&self, pod: &PodView, reason: &str, message: &str) -> Value {
        let now = format_seconds(self.client.ambient().clock.wall_micros());
        let mut condition = json!({"type": "PodScheduled", "status": "False", "reason": reason, "message": message});
        if pod.scheduled.as_ref().is_none_or(|old| old.status != "False") {
            condition["lastTransitionTime"] = json!(now);
        }
        if pod.meta.generation > 0 {
            condition["observedGeneration"] = json!(pod.meta.generation);
        }
        json!({
            "metadata": {"uid": pod.meta.uid, "resourceVersion": pod.meta.resource_version},
            "status": {"conditions": [condition]},
        })
    }
}

/// An event's note must not be too long.
fn note(message: &str) -> &str {
    let end = (0..=message.len().min(LONGEST_NOTE)).rev().find(|end| message.is_char_boundary(*end));
    &message[..end.unwrap_or_default()]
}
