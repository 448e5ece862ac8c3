//! A watcher's end of a relay: first what the ring still holds, then what comes.

use std::sync::Arc;
use std::task::{Context, Poll};

use api::{Status, Version};

use super::Relay;
use super::form::Form;
use super::index::Bucket;
use super::watcher::{End, Filter, Watcher};

/// Events of the ring that are looked at before others get their turn at the lock.
const CATCH_UP: usize = 512;

/// Ordered events behind a version. Dropping it takes the watcher out of the relay.
#[derive(Debug)]
pub(crate) struct Feed {
    relay: Arc<Relay>,
    lane: usize,
    watcher: Arc<Watcher>,
    bucket: Bucket,
    /// How far the ring was looked through; `None` once the relay's index knows the watcher.
    behind: Option<Version>,
}

impl Feed {
    /// Events of `lane` behind `from`, which the lane must still hold.
    pub(super) fn new(relay: Arc<Relay>, lane: usize, from: Version, filter: Filter) -> Self {
        let bucket = Bucket::of(&relay.resource, &filter);
        Self { relay, lane, watcher: Arc::new(Watcher::new(filter, from)), bucket, behind: Some(from) }
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
        let lane = &mut state.lanes[self.lane];
        if behind < lane.floor {
            return Some(End::Expired(expired(behind, lane.floor)));
        }
        let (events, all) = lane.behind(behind, CATCH_UP);
        let filter = &self.watcher.filter;
        let mut last = behind;
        for relayed in events {
            last = relayed.event.version;
            if let Some(change) = filter.judge(&relayed.event) {
                out.push(relayed.form(filter.key(change)));
            }
        }
        self.behind = Some(last);
        if all {
            self.behind = None;
            lane.index.insert(self.bucket.clone(), self.watcher.clone());
            drop(state);
            self.relay.nudge();
        }
        None
    }

    /// A version up to which everything was handed out; `None` while something is on its way.
    pub(crate) fn position(&self) -> Option<Version> {
        let state = self.relay.state.lock();
        let queue = self.watcher.queue.lock();
        let settled = self.behind.is_none() && queue.items.is_empty() && queue.end.is_none();
        settled.then(|| state.lanes[self.lane].mark.max(self.watcher.from))
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.relay.detach(self.lane, &self.bucket, &self.watcher);
    }
}

/// 410 for a version that has left the ring, in the reference's words.
pub(super) fn expired(from: Version, floor: Version) -> Status {
    Status::expired(format!("too old resource version: {from} ({floor})"))
}
