//! What feeds a merger: one subscription to each member of the slot map, kept open, and the requests that it asks for.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::resource::ResourceId;
use api::status::Reason;
use api::{Status, Version};
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::machine::Merger;
use super::sink::{FetchId, Item, Sink, SourceId};
use crate::service::{HistoryRequest, ShardError, ShardService, SubscribeRequest, Subscription};
use crate::topology::{Member, Topology};

/// Deliveries that are taken in at once.
const BATCH: usize = 64;
/// Pauses between attempts to subscribe, or to get history.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(2));
/// How long events may be held before laggards are shown again how far others are: nobody answers to that, so it may have
/// been lost on the way.
const SHOW_AGAIN: Duration = Duration::from_millis(250);

/// Who owns a merger and its sink.
pub trait Merging: Send + Sync + 'static {
    /// As what events are kept.
    type Item: Item;
    /// Who hears what the merger finds out.
    type Sink: Sink<Self::Item>;

    /// Lets `act` at the merger and its sink, and then sees to what they left to do (waking, pruning).
    fn merge<R>(&self, act: impl FnOnce(&mut Merger<Self::Item>, &mut Self::Sink) -> R) -> R;

    /// Where the merger's sources are.
    fn sources(&self) -> &Sources;
}

/// The shard behind a source, and what is cancelled when the source has gone.
type Standing = (Arc<dyn ShardService>, CancellationToken);

/// What is followed, and which shard stands behind which source.
pub struct Sources {
    cluster: SmolStr,
    resource: ResourceId,
    services: Mutex<BTreeMap<SourceId, Standing>>,
    next: AtomicU64,
}

impl Sources {
    /// None yet, of one resource in one cluster.
    pub fn new(cluster: SmolStr, resource: ResourceId) -> Self {
        Self { cluster, resource, services: Mutex::default(), next: AtomicU64::new(0) }
    }

    fn join(&self, service: &Arc<dyn ShardService>) -> SourceId {
        let id = SourceId(self.next.fetch_add(1, Ordering::Relaxed));
        self.services.lock().insert(id, (service.clone(), CancellationToken::new()));
        id
    }

    fn leave(&self, id: SourceId) {
        if let Some((_, gone)) = self.services.lock().remove(&id) {
            gone.cancel();
        }
    }

    fn of(&self, id: SourceId) -> Option<Standing> {
        self.services.lock().get(&id).cloned()
    }

    /// Shows some of them a version that others have promised.
    pub fn advance(&self, laggards: &[SourceId], version: Version) {
        for (service, _) in laggards.iter().filter_map(|id| self.of(*id)) {
            service.advance(&self.cluster, self.resource, version);
        }
    }

    /// Shows all of them a version.
    pub fn advance_all(&self, version: Version) {
        let services: Vec<_> = self.services.lock().values().cloned().collect();
        services.iter().for_each(|(service, _)| service.advance(&self.cluster, self.resource, version));
    }
}

/// Follows every member of the slot map, as it changes, until it is told to stop. Nothing of it goes on behind its end.
pub async fn drive<M: Merging>(merging: Arc<M>, topology: Topology, stop: CancellationToken) {
    let mut followed: Vec<(Arc<dyn ShardService>, tokio_util::sync::DropGuard)> = Vec::new();
    let mut tasks = JoinSet::new();
    loop {
        let map = topology.current();
        followed.retain(|(service, _)| map.members().iter().any(|member| is_same(&member.service, service)));
        for Member { service, ordinal, .. } in map.members() {
            if followed.iter().any(|(have, _)| is_same(have, service)) {
                continue;
            }
            let stop = stop.child_token();
            tasks.spawn(follow(merging.clone(), service.clone(), *ordinal, stop.clone()));
            followed.push((service.clone(), stop.drop_guard()));
        }
        tokio::select! {
            biased;
            () = stop.cancelled() => break,
            _ = topology.newer_than(map.generation) => {}
        }
        while tasks.try_join_next().is_some() {}
    }
    while tasks.join_next().await.is_some() {}
}

fn is_same(a: &Arc<dyn ShardService>, b: &Arc<dyn ShardService>) -> bool {
    std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
}

/// Keeps the subscription to one shard open: from its last watermark where that is still retained, otherwise from the
/// oldest that is. One that is new begins at the mark, because nothing older is missing.
async fn follow<M: Merging>(merging: Arc<M>, service: Arc<dyn ShardService>, ordinal: u16, stop: CancellationToken) {
    let (mut pause, mut resume, mut oldest) = (PAUSE.0, None, false);
    let sources = merging.sources();
    loop {
        let mark = || merging.merge(|merger, _| merger.mark());
        let from = resume.or_else(|| Some(mark()).filter(|mark| !mark.is_zero() && !oldest));
        let request = SubscribeRequest { cluster: sources.cluster.clone(), resource: sources.resource, from };
        match stop.run_until_cancelled(service.subscribe(request)).await {
            None => return,
            Some(Ok(subscription)) => {
                oldest = false;
                if pump(&merging, &service, subscription, &mut resume, &stop).await {
                    pause = PAUSE.0;
                }
            }
            Some(Err(ShardError::Status(status))) if from.is_some() && is_gone(&status) => {
                (resume, oldest) = (None, true);
                continue;
            }
            Some(Err(error)) => tracing::debug!(ordinal, %error, "cannot subscribe yet"),
        }
        if stop.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
            return;
        }
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// 410: what was asked for is no longer retained.
fn is_gone(status: &Status) -> bool {
    matches!(status.reason(), Reason::Expired | Reason::Gone)
}

/// Takes in one subscription until it ends. Answers whether anything came.
async fn pump<M: Merging>(
    merging: &Arc<M>,
    service: &Arc<dyn ShardService>,
    subscription: Subscription,
    resume: &mut Option<Version>,
    stop: &CancellationToken,
) -> bool {
    let Subscription { from, slots, mut deliveries } = subscription;
    let id = merging.sources().join(service);
    *resume = Some(from);
    let mut holds = step(merging, |merger, sink| merger.opened(id, from, slots, sink));
    let (mut batch, mut came) = (Vec::new(), false);
    loop {
        let count = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            count = deliveries.recv_many(&mut batch, BATCH) => count,
            () = tokio::time::sleep(SHOW_AGAIN), if holds => {
                holds = step(merging, |merger, _| merger.show_again());
                continue;
            }
        };
        let Some(last) = batch.last().filter(|_| count > 0) else { break };
        *resume = Some(last.watermark);
        came = true;
        holds = step(merging, |merger, sink| {
            batch.drain(..).for_each(|delivery| merger.delivered(id, delivery, sink));
        });
    }
    step(merging, |merger, sink| merger.broken(id, sink));
    merging.sources().leave(id);
    came
}

/// Lets something happen to the merger, and sees to what it wants then. Answers whether events are held back.
fn step<M: Merging>(merging: &Arc<M>, act: impl FnOnce(&mut Merger<M::Item>, &mut M::Sink)) -> bool {
    let (wanted, held) = merging.merge(|merger, sink| {
        act(merger, sink);
        let held = (sink.needs_all() && merger.holds()).then(|| merger.laggards());
        (merger.wanted(), held)
    });
    for id in wanted {
        tokio::spawn(fetch(merging.clone(), id));
    }
    if let Some((laggards, version)) = &held {
        merging.sources().advance(laggards, *version);
    }
    held.is_some()
}

/// Shows laggards how far others are, if events wait for them: for who has just begun to wait.
pub fn nudge<M: Merging>(merging: &M) {
    let (laggards, version) =
        merging.merge(|merger, _| if merger.holds() { merger.laggards() } else { Default::default() });
    merging.sources().advance(&laggards, version);
}

/// Asks a source for history until it has answered or has gone, or nobody wants it any more.
async fn fetch<M: Merging>(merging: Arc<M>, id: FetchId) {
    let mut pause = PAUSE.0;
    loop {
        let Some(fetch) = merging.merge(|merger, _| merger.fetch(id)) else { return };
        let sources = merging.sources();
        let Some((service, gone)) = sources.of(fetch.source) else { return };
        let request = HistoryRequest {
            cluster: sources.cluster.clone(),
            resource: sources.resource,
            slots: fetch.slots,
            from: fetch.from,
        };
        let Some(answer) = gone.run_until_cancelled(service.history(request)).await else { return };
        match answer {
            Ok(history) => {
                step(&merging, |merger, sink| merger.answered(id, history, sink));
                return;
            }
            Err(ShardError::Status(status)) if is_gone(&status) => {
                tracing::info!(%status, "slots have changed hands, and their past is gone");
                step(&merging, |merger, sink| merger.expired(id, sink));
                return;
            }
            Err(error) => tracing::debug!(%error, "cannot get history yet"),
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}
