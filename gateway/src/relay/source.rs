//! One shard's stream as a relay takes it in, and the task that keeps it open.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::Version;
use api::status::Reason;
use shards::service::{ShardError, SubscribeRequest, Subscription};

use super::Relay;
use super::form::Relayed;

/// Deliveries that are taken in at once.
const BATCH: usize = 64;
/// Pauses between attempts to subscribe.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));

/// What the merged lane knows of one shard.
#[derive(Debug, Default)]
pub(super) struct Source {
    pub(super) ready: bool,
    /// Its events at or below are unknown.
    pub(super) floor: Version,
    /// Nothing at or below will follow.
    pub(super) mark: Version,
    /// The highest version that it was shown.
    pub(super) shown: Version,
    /// Bytes that `pending` keeps alive.
    pub(super) cost: usize,
    /// Events that other shards have not passed yet.
    pending: VecDeque<Arc<Relayed>>,
}

impl Source {
    pub(super) fn open(&mut self, from: Version) {
        *self = Self { ready: true, floor: from, mark: from, ..Self::default() };
    }

    pub(super) fn push(&mut self, relayed: Arc<Relayed>) {
        self.cost += relayed.event.object.cost();
        self.pending.push_back(relayed);
    }

    /// Version of the oldest pending event.
    pub(super) fn next(&self) -> Option<Version> {
        self.pending.front().map(|relayed| relayed.event.version)
    }

    pub(super) fn pop(&mut self) -> Option<Arc<Relayed>> {
        let relayed = self.pending.pop_front()?;
        self.cost -= relayed.event.object.cost();
        Some(relayed)
    }

    /// Drops what is pending; returns the newest version among it.
    pub(super) fn forget(&mut self) -> Option<Version> {
        let newest = self.pending.back().map(|relayed| relayed.event.version);
        self.pending.clear();
        self.cost = 0;
        newest
    }
}

/// Keeps one shard's subscription open until the relay stops: from the last watermark where that is still retained,
/// otherwise from the oldest that is.
pub(super) async fn follow(relay: Arc<Relay>, shard: usize) {
    let mut pause = PAUSE.0;
    let mut resume = None;
    while !relay.stop.is_cancelled() {
        let request = SubscribeRequest { cluster: relay.cluster.clone(), resource: relay.resource.id, from: resume };
        match relay.shards[shard].subscribe(request).await {
            Ok(subscription) => {
                if pump(&relay, shard, subscription, &mut resume).await {
                    pause = PAUSE.0;
                }
            }
            Err(ShardError::Status(status))
                if resume.is_some() && matches!(status.reason(), Reason::Expired | Reason::Gone) =>
            {
                resume = None;
                continue;
            }
            Err(error) => tracing::debug!(shard, resource = relay.resource.id_name, %error, "cannot subscribe yet"),
        }
        tokio::select! {
            () = relay.stop.cancelled() => return,
            () = tokio::time::sleep(pause) => pause = (pause * 2).min(PAUSE.1),
        }
    }
}

/// Takes in one subscription until it ends. Returns whether anything came.
async fn pump(relay: &Relay, shard: usize, mut subscription: Subscription, resume: &mut Option<Version>) -> bool {
    relay.opened(shard, subscription.from);
    *resume = Some(subscription.from);
    let mut batch = Vec::new();
    let mut came = false;
    loop {
        let count = tokio::select! {
            () = relay.stop.cancelled() => return came,
            count = subscription.deliveries.recv_many(&mut batch, BATCH) => count,
        };
        let Some(last) = batch.last().filter(|_| count > 0) else { return came };
        *resume = Some(last.watermark);
        came = true;
        relay.apply(shard, &mut batch);
    }
}
