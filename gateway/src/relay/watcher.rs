//! One watcher's place in a relay: what it wants, and a bounded queue of what it has yet to send.

use std::collections::VecDeque;
use std::sync::Arc;

use api::selector::{Selectable, Selector};
use api::{Status, Version};
use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use shards::merge::Item;
use shards::service::Event;
use smol_str::SmolStr;

use super::Reach;
use super::form::{Change, Form, FormKey, Relayed, Shape};
use crate::media::Encoding;

/// Which events a watcher wants, and in which form.
#[derive(Clone, Debug)]
pub(crate) struct Filter {
    /// Empty for all.
    pub(crate) namespace: SmolStr,
    pub(crate) selector: Arc<Selector>,
    /// Index into `Resource::served`.
    pub(crate) served: usize,
    pub(crate) shape: Shape,
    pub(crate) encoding: Encoding,
}

impl Filter {
    fn matches(&self, object: &dyn Selectable) -> bool {
        (self.namespace.is_empty() || self.namespace == object.namespace()) && self.selector.matches(object)
    }

    /// What the watcher is told about an event, if anything.
    pub(crate) fn judge(&self, event: &Event) -> Option<Change> {
        let before = match (&event.old, event.deleted) {
            (Some(old), _) => self.matches(&**old),
            (None, deleted) => deleted && self.matches(&*event.object),
        };
        let after = !event.deleted && self.matches(&*event.object);
        match (before, after) {
            (false, false) => None,
            (false, true) => Some(Change::Added),
            (true, true) => Some(Change::Modified),
            (true, false) if event.deleted => Some(Change::Deleted),
            (true, false) => Some(Change::Left),
        }
    }

    pub(crate) fn key(&self, change: Change) -> FormKey {
        FormKey { change, served: self.served, shape: self.shape, encoding: self.encoding }
    }
}

/// Why a watcher's stream ends, after what is queued.
#[derive(Clone, Debug)]
pub(crate) enum End {
    /// It did not keep up: the client resumes from what it has seen.
    Slow,
    /// The relay lost its place: the stream says so.
    Expired(Status),
    /// The gateway, or the relay, closes.
    Closed,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    pub(crate) items: VecDeque<Arc<Form>>,
    /// Of the objects in `items`.
    bytes: usize,
    pub(crate) end: Option<End>,
}

/// What may wait for one watcher.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bound {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

impl Queue {
    fn is_full(&self, bound: Bound) -> bool {
        self.items.len() >= bound.events || (self.bytes > bound.bytes && !self.items.is_empty())
    }

    /// Moves the first `limit` items out; returns how many there were.
    pub(crate) fn take(&mut self, limit: usize, out: &mut Vec<Arc<Form>>) -> usize {
        let count = self.items.len().min(limit);
        for form in self.items.drain(..count) {
            self.bytes -= form.event.object.tail().len();
            out.push(form);
        }
        if self.items.is_empty() && self.items.capacity() > 64 {
            // Thousands of idle watchers should not keep the room of their busiest moment.
            self.items.shrink_to(0);
        }
        count
    }
}

/// A watcher as a relay's index sees it.
#[derive(Debug)]
pub(crate) struct Watcher {
    pub(crate) filter: Filter,
    pub(crate) reach: Reach,
    /// It has everything up to here by other means.
    pub(crate) from: Version,
    pub(crate) queue: Mutex<Queue>,
    pub(crate) waker: AtomicWaker,
}

impl Watcher {
    pub(crate) fn new(filter: Filter, reach: Reach, from: Version) -> Self {
        Self { filter, reach, from, queue: Mutex::default(), waker: AtomicWaker::new() }
    }

    /// Queues an event if it is wanted. Returns whether somebody must be woken; A full queue ends the
    /// stream.
    pub(crate) fn push(&self, relayed: &Relayed, bound: Bound) -> bool {
        if relayed.version() <= self.from {
            return false;
        }
        let Some(change) = self.filter.judge(relayed.event()) else { return false };
        let mut queue = self.queue.lock();
        if queue.end.is_some() {
            return false;
        }
        if queue.is_full(bound) {
            queue.end = Some(End::Slow);
            return true;
        }
        queue.bytes += relayed.event().object.tail().len();
        queue.items.push_back(relayed.form(self.filter.key(change)));
        queue.items.len() == 1
    }

    /// Ends the stream behind what is queued.
    pub(crate) fn close(&self, end: End) {
        let mut queue = self.queue.lock();
        queue.end.get_or_insert(end);
        drop(queue);
        self.waker.wake();
    }
}
