//! A watcher's end of a relay: first what the ring still holds, then what comes.

use std::sync::Arc;
use std::task::{Context, Poll};

use api::{Status, Version};
use shards::merge::{Item, nudge};

use super::form::{Form, Relayed};
use super::index::Bucket;
use super::watcher::{End, Filter, Watcher};
use super::{Reach, Relay, State};

/// Events of the ring that are looked at before others get their turn at the lock.
const CATCH_UP: usize = 512;

/// Ordered events behind a version. Dropping it takes the watcher out of the relay.
#[derive(Debug)]
pub(crate) struct Feed {
    relay: Arc<Relay>,
    watcher: Arc<Watcher>,
    bucket: Bucket,
    /// How far the ring was looked through; `None` once the relay's index knows the watcher.
    behind: Option<Version>,
}

impl Feed {
    /// Events behind `from`, which the relay must still hold.
    pub(super) fn new(relay: Arc<Relay>, reach: Reach, from: Version, filter: Filter) -> Self {
        let bucket = Bucket::of(&relay.resource, &filter);
        Self { relay, watcher: Arc::new(Watcher::new(filter, reach, from)), bucket, behind: Some(from) }
    }

    /// The relay that it hangs on.
    pub(crate) fn relay(&self) -> &Arc<Relay> {
        &self.relay
    }

    /// At least one and at most `limit` events, or how the stream ends.
    pub(crate) fn poll(
        &mut self,
        context: &mut Context<'_>,
        out: &mut Vec<Arc<Form>>,
        limit: usize,
    ) -> Poll<Option<End>> {
        if self.behind.is_some() {
            if let Some(end) = self.catch_up(out) {
                return Poll::Ready(Some(end));
            }
            if !out.is_empty() {
                return Poll::Ready(None);
            }
            if self.behind.is_some() {
                // Nothing of this part of the ring was wanted: the rest of it in a moment.
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
        }
        self.watcher.waker.register(context.waker());
        let mut queue = self.watcher.queue.lock();
        match (queue.take(limit, out), queue.end.clone()) {
            (0, Some(end)) => Poll::Ready(Some(end)),
            (0, None) => Poll::Pending,
            _ => Poll::Ready(None),
        }
    }

    fn catch_up(&mut self, out: &mut Vec<Arc<Form>>) -> Option<End> {
        let behind = self.behind?;
        let mut state = self.relay.state.lock();
        if state.closed {
            return Some(End::Closed);
        }
        let State { merger, fan, .. } = &mut *state;
        let Watcher { filter, reach, .. } = &*self.watcher;
        match fan.floor_of(*reach) {
            Some(floor) if behind < floor => return Some(End::Expired(expired(behind, floor))),
            _ => {}
        }
        let mut last = behind;
        let mut offer = |relayed: &Relayed| {
            last = relayed.version();
            if let Some(change) = filter.judge(relayed.event()) {
                out.push(relayed.form(filter.key(change)));
            }
        };
        let (events, all) = fan.behind(behind, CATCH_UP);
        events.for_each(&mut offer);
        if !all {
            self.behind = Some(last);
            return None;
        }
        if let Reach::One(slot) = *reach {
            // It does not wait for what others have not passed.
            merger.held(slot, behind).iter().for_each(offer);
        }
        self.behind = None;
        fan.index(*reach).insert(self.bucket.clone(), self.watcher.clone());
        drop(state);
        if self.watcher.reach == Reach::Everywhere {
            nudge(&*self.relay);
        }
        None
    }

    /// Waits until nothing at or below `version` is still to come, from whatever shard. 503 where one does not answer.
    pub(crate) async fn pass(&self, version: Version) -> Result<(), Status> {
        self.relay.pass(version).await
    }

    /// A version up to which everything was handed out; `None` while something is on its way.
    pub(crate) fn position(&self) -> Option<Version> {
        let state = self.relay.state.lock();
        let queue = self.watcher.queue.lock();
        let settled = self.behind.is_none() && queue.items.is_empty() && queue.end.is_none();
        let passed = match self.watcher.reach {
            Reach::One(slot) => state.merger.covered(slot).unwrap_or_default(),
            Reach::Everywhere => state.merger.mark(),
        };
        settled.then(|| passed.max(self.watcher.from))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.relay.detach(&self.bucket, &self.watcher);
    }
}

/// 410 for a version that has left the ring, in the reference's words.
pub(super) fn expired(from: Version, floor: Version) -> Status {
    Status::expired(format!("too old resource version: {from} ({floor})"))
}
