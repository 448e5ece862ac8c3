//! Slots that come to a table, and slots that leave it.

use std::sync::Arc;

use api::Version;
use api::slot::SlotSet;
use smol_str::SmolStr;

use super::{Inner, Key, Table, cost};
use crate::contents::Shelf;
use crate::service::{Delivery, Event};

impl Table {
    /// Takes over what slots hold and what has happened in them, and tells subscribers. `slots` are those that it has then,
    /// `watermark` is one from which it knows everything of them.
    pub(crate) fn adopt(&self, shelf: Shelf, slots: Arc<SlotSet>, watermark: Version, now: Version) {
        let mut inner = self.inner.write();
        for (key, object) in shelf.objects {
            inner.put(&self.resource, key, object);
        }
        inner.merge(shelf.events, shelf.floor);
        inner.trim(self.retention, now);
        inner.announce(slots, watermark);
    }

    /// Gives up what is not in `slots`, and tells subscribers.
    pub(crate) fn release(&self, slots: Arc<SlotSet>, watermark: Version) -> Shelf {
        // Nobody writes there any more, so that what goes can be found without keeping others out.
        let gone: Vec<Key> = {
            let inner = self.inner.read();
            // A namespace is hashed once where all of it is in one slot.
            let mut same: Option<(&SmolStr, bool)> = None;
            let mut gone = Vec::new();
            for key in inner.objects.keys() {
                let (namespace, name) = key;
                let leaves = match same {
                    Some((last, leaves)) if last == namespace => leaves,
                    _ => {
                        let whole = self.resource.list_slot(&self.cluster, namespace);
                        let slot = whole.unwrap_or_else(|| self.resource.slot(&self.cluster, namespace, name));
                        let leaves = !slots.contains(slot);
                        same = whole.map(|_| (namespace, leaves));
                        leaves
                    }
                };
                if leaves {
                    gone.push(key.clone());
                }
            }
            gone
        };
        let mut inner = self.inner.write();
        let mut shelf = Shelf { floor: inner.floor, ..Shelf::default() };
        for key in gone {
            let object = inner.remove(&self.resource, &key).expect("it was there, and nobody writes there");
            shelf.objects.push((key, object));
        }
        let (kept, events) = inner.ring.drain(..).partition(|event| slots.contains(event.slot));
        inner.ring = kept;
        inner.ring_bytes = inner.ring.iter().map(|event| cost(event)).sum();
        shelf.events = Vec::from(events);
        inner.announce(slots, watermark);
        shelf
    }
}

impl Inner {
    /// Adds events of slots that have come, which may be older than others that are here.
    fn merge(&mut self, events: Vec<Arc<Event>>, floor: Version) {
        self.floor = self.floor.max(floor);
        let mut all: Vec<Arc<Event>> = self.ring.drain(..).chain(events).collect();
        all.retain(|event| event.version > self.floor);
        all.sort_unstable_by_key(|event| event.version);
        self.ring_bytes = all.iter().map(|event| cost(event)).sum();
        self.ring = all.into();
    }

    /// From now on the table is about these slots.
    fn announce(&mut self, slots: Arc<SlotSet>, watermark: Version) {
        self.moves += 1;
        self.slots = slots.clone();
        self.subscribers.retain_mut(|subscriber| {
            subscriber.watermark = watermark.max(subscriber.watermark);
            let watermark = subscriber.watermark;
            let delivery = Delivery { events: Vec::new(), watermark, slots: Some(slots.clone()) };
            subscriber.deliveries.try_send(delivery).is_ok()
        });
    }
}
