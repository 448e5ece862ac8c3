//! The committed objects of one resource in one cluster, its recent events, and who follows them.
//!
//! Invariants: what is here is durable and of the slots that are named here; the ring holds every event of theirs above its
//! floor, whoever wrote it; a subscriber has been sent every event up to its watermark, in order, and was told which slots
//! that is about. `Table::consistency_check` recomputes what is derived.

mod slots;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use api::resource::Resource;
use api::selector::{Selectable, Selector};
use api::slot::SlotSet;
use api::{Object, Status, Version};
use parking_lot::RwLock;
use smol_str::SmolStr;
use tokio::sync::mpsc;

use crate::keys::Class;
use crate::service::{Delivery, Event, History, ListPage, ListSlots, ShardError, Subscription};

/// Namespace (empty for cluster-scoped kinds) and name.
pub(crate) type Key = (SmolStr, SmolStr);

/// Deliveries that may wait for one subscriber before it counts as too slow.
const QUEUE: usize = 1024;

/// Objects of a list that are looked at before others get a turn.
const PIECE: usize = 4096;

/// How much of the past a table keeps.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) age: Duration,
    pub(crate) bytes: usize,
}

pub(crate) struct Table {
    pub(crate) resource: Arc<Resource>,
    /// Its place in the layout.
    pub(crate) cluster_at: u16,
    pub(crate) cluster: SmolStr,
    pub(crate) class: Class,
    pub(crate) retention: Retention,
    inner: RwLock<Inner>,
}

struct Inner {
    /// Whose objects and events these are.
    slots: Arc<SlotSet>,
    /// How often `slots` changed.
    moves: u64,
    objects: BTreeMap<Key, Arc<Object>>,
    /// By the value of [`Resource::indexed`], where it is not empty.
    index: BTreeMap<(SmolStr, Key), Arc<Object>>,
    ring: VecDeque<Arc<Event>>,
    ring_bytes: usize,
    /// Every event above this is in `ring`.
    floor: Version,
    subscribers: Vec<Subscriber>,
}

struct Subscriber {
    deliveries: mpsc::Sender<Delivery>,
    /// What it was promised last.
    watermark: Version,
}

impl Table {
    /// One that is empty.
    pub(crate) fn new(
        resource: Arc<Resource>,
        (cluster_at, cluster): (u16, SmolStr),
        class: Class,
        retention: Retention,
        floor: Version,
        slots: Arc<SlotSet>,
    ) -> Self {
        let inner = Inner {
            slots,
            moves: 0,
            objects: BTreeMap::new(),
            index: BTreeMap::new(),
            ring: VecDeque::new(),
            ring_bytes: 0,
            floor,
            subscribers: Vec::new(),
        };
        Self { resource, cluster_at, cluster, class, retention, inner: RwLock::new(inner) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Arc<Object>> {
        self.inner.read().objects.get(key).cloned()
    }

    /// Every event above this is known.
    pub(crate) fn floor(&self) -> Version {
        self.inner.read().floor
    }

    /// How many objects there are.
    pub(crate) fn len(&self) -> usize {
        self.inner.read().objects.len()
    }

    /// Every object that was last written before a version.
    pub(crate) fn older_than(&self, version: Version) -> Vec<Arc<Object>> {
        let inner = self.inner.read();
        inner.objects.values().filter(|object| object.version < version).cloned().collect()
    }

    /// Every object of a namespace, for rules that look across a namespace.
    pub(crate) fn in_namespace(&self, namespace: &str) -> Vec<Arc<Object>> {
        let inner = self.inner.read();
        let from = (SmolStr::new(namespace), SmolStr::default());
        let range = inner.objects.range(from..).take_while(|((at, _), _)| at == namespace);
        range.map(|(_, object)| object.clone()).collect()
    }

    /// Every namespace that has an object.
    pub(crate) fn namespaces(&self) -> Vec<SmolStr> {
        let inner = self.inner.read();
        let mut namespaces: Vec<SmolStr> = inner.objects.keys().map(|(namespace, _)| namespace.clone()).collect();
        namespaces.dedup();
        namespaces
    }

    /// Makes committed events visible and sends them on. `watermark` is not below the last of them.
    pub(crate) fn publish(&self, events: &[Arc<Event>], watermark: Version, now: Version) {
        let mut inner = self.inner.write();
        for event in events {
            inner.apply(&self.resource, event);
        }
        inner.trim(self.retention, now);
        inner.deliver(events, watermark);
    }

    /// Promises subscribers that nothing at or below `watermark` will follow.
    pub(crate) fn promise(&self, watermark: Version) {
        self.inner.write().deliver(&[], watermark);
    }

    /// Whether anybody follows.
    pub(crate) fn is_followed(&self) -> bool {
        !self.inner.read().subscribers.is_empty()
    }

    /// Ends every subscription.
    pub(crate) fn disconnect(&self) {
        self.inner.write().subscribers.clear();
    }

    /// Forgets everything, because the cluster is gone.
    pub(crate) fn clear(&self) {
        let mut inner = self.inner.write();
        inner.subscribers.clear();
        inner.objects.clear();
        inner.index.clear();
        inner.ring = VecDeque::new();
        inner.ring_bytes = 0;
        inner.floor = Version::MAX;
    }

    /// Drops from the ring what is too old, for tables that nobody writes to any more.
    pub(crate) fn expire(&self, now: Version) {
        self.inner.write().trim(self.retention, now);
    }

    /// Follows the table from a version on. `released`: nothing at or below it is still to come.
    pub(crate) fn subscribe(&self, from: Option<Version>, released: Version) -> Result<Subscription, Status> {
        let mut inner = self.inner.write();
        let from = from.unwrap_or(inner.floor);
        if from < inner.floor {
            return Err(too_old(from, inner.floor));
        }
        let start = inner.ring.partition_point(|event| event.version <= from);
        let events: Vec<Arc<Event>> = inner.ring.range(start..).cloned().collect();
        let last = inner.ring.back().map_or(Version::ZERO, |event| event.version);
        let watermark = released.max(last).max(from);
        let (sender, deliveries) = mpsc::channel(QUEUE);
        let first = Delivery { events, watermark, slots: None };
        sender.try_send(first).expect("an empty queue takes one delivery");
        inner.subscribers.retain(|subscriber| !subscriber.deliveries.is_closed());
        inner.subscribers.push(Subscriber { deliveries: sender, watermark });
        Ok(Subscription { from, slots: inner.slots.clone(), deliveries })
    }

    /// What happened in some slots behind a version. `released`: nothing at or below it is still to come.
    pub(crate) fn history(&self, slots: &SlotSet, from: Version, released: Version) -> Result<History, ShardError> {
        let inner = self.inner.read();
        if !slots.difference(&inner.slots).is_empty() {
            return Err(ShardError::NotOwner);
        }
        if from < inner.floor {
            return Err(too_old(from, inner.floor).into());
        }
        let start = inner.ring.partition_point(|event| event.version <= from);
        let events = inner.ring.range(start..).filter(|event| slots.contains(event.slot)).cloned().collect();
        let last = inner.ring.back().map_or(Version::ZERO, |event| event.version);
        Ok(History { events, to: released.max(last).max(from) })
    }

    /// The state at `at`: the present one, undone by the events since. Long lists are read in pieces, all of that one
    /// state, so that nobody who publishes waits for long; `None` when slots came or went in between.
    pub(crate) fn list(&self, read: &ListRead<'_>) -> Result<Option<ListPage>, ShardError> {
        let mut page = Collector { read, objects: Vec::new(), remaining: 0 };
        let mut cursor = read.after.cloned();
        let mut moves = None;
        loop {
            let piece = ListRead { after: cursor.as_ref(), ..*read };
            let inner = self.inner.read();
            if *moves.get_or_insert(inner.moves) != inner.moves {
                return Ok(None);
            }
            inner.check(read.slots)?;
            match inner.collect(&self.resource, &piece, &mut page)? {
                Some(last) => cursor = Some(last),
                None => break,
            }
        }
        Ok(Some(ListPage { version: read.at, objects: page.objects, remaining: page.remaining }))
    }

    /// The object as it was at exactly that version, if that is still known.
    pub(crate) fn at_version(&self, key: &Key, version: Version) -> Option<Arc<Object>> {
        let inner = self.inner.read();
        if let Some(object) = inner.objects.get(key).filter(|object| object.version == version) {
            return Some(object.clone());
        }
        let at = inner.ring.binary_search_by_key(&version, |event| event.version).ok()?;
        Some(inner.ring[at].object.clone())
    }

    /// Recomputes what is derived, and complains about the first difference.
    #[cfg(test)]
    pub(crate) fn consistency_check(&self) {
        let inner = self.inner.read();
        let mut index = BTreeMap::new();
        for (key, object) in &inner.objects {
            assert_eq!((&object.namespace, &object.name), (&key.0, &key.1));
            if let Some(value) = indexed_value(&self.resource, object) {
                index.insert((value, key.clone()), object.version);
            }
        }
        let have: BTreeMap<_, _> = inner.index.iter().map(|(key, object)| (key.clone(), object.version)).collect();
        assert_eq!(index, have, "the index of {} is off", self.resource.id_name);
        for (namespace, name) in inner.objects.keys() {
            let slot = self.resource.slot(&self.cluster, namespace, name);
            assert!(inner.slots.contains(slot), "{namespace}/{name} is in slot {}, which is not here", slot.0);
        }
        assert!(inner.ring.iter().all(|event| inner.slots.contains(event.slot)));
        let bytes: usize = inner.ring.iter().map(|event| cost(event)).sum();
        assert_eq!(bytes, inner.ring_bytes);
        assert!(inner.ring.iter().is_sorted_by(|a, b| a.version < b.version), "the ring is out of order");
        assert!(inner.ring.front().is_none_or(|event| event.version > inner.floor));
        let mut last = BTreeMap::new();
        for event in &inner.ring {
            let key = (event.object.namespace.clone(), event.object.name.clone());
            last.insert(key, (!event.deleted).then_some(event.version));
        }
        for (key, version) in last {
            assert_eq!(inner.objects.get(&key).map(|object| object.version), version, "{key:?}");
        }
    }

    /// What is retained, for tests.
    #[cfg(test)]
    pub(crate) fn ring(&self) -> Vec<Arc<Event>> {
        self.inner.read().ring.iter().cloned().collect()
    }

    /// Keys and versions of everything, for tests.
    #[cfg(test)]
    pub(crate) fn snapshot(&self) -> BTreeMap<Key, Version> {
        self.inner.read().objects.iter().map(|(key, object)| (key.clone(), object.version)).collect()
    }
}

/// What a list wants from one table.
#[derive(Clone, Copy)]
pub(crate) struct ListRead<'a> {
    pub(crate) slots: &'a ListSlots,
    pub(crate) at: Version,
    pub(crate) namespace: &'a str,
    pub(crate) selector: &'a Selector,
    pub(crate) after: Option<&'a Key>,
    pub(crate) limit: usize,
}

impl ListRead<'_> {
    /// The range of keys that may be answered; the end of a namespace is checked by the [`Collector`] as well.
    fn bounds(&self) -> (Bound<Key>, Bound<Key>) {
        let namespace = match self.selector.fields.namespace() {
            Some(only) if self.namespace.is_empty() => only,
            _ => self.namespace,
        };
        let start = (SmolStr::new(namespace), SmolStr::default());
        let from = match self.after {
            Some(after) if *after >= start => Bound::Excluded(after.clone()),
            _ => Bound::Included(start),
        };
        let to = match namespace {
            "" => Bound::Unbounded,
            // No name holds this byte, so every key of the namespace is below.
            _ => Bound::Excluded((SmolStr::new(namespace), SmolStr::new_static("\u{10ffff}"))),
        };
        match (&from, &to) {
            (Bound::Excluded(from), Bound::Excluded(to)) if from >= to => {
                (Bound::Included(to.clone()), Bound::Excluded(to.clone()))
            }
            _ => (from, to),
        }
    }
}

struct Collector<'a> {
    read: &'a ListRead<'a>,
    objects: Vec<Arc<Object>>,
    remaining: usize,
}

impl Collector<'_> {
    fn offer(&mut self, object: Option<&Arc<Object>>) {
        let Some(object) = object else { return };
        if !self.read.namespace.is_empty() && object.namespace != self.read.namespace {
            return;
        }
        if !self.read.selector.is_everything() && !self.read.selector.matches(&**object) {
            return;
        }
        if self.objects.len() < self.read.limit {
            self.objects.push(object.clone());
        } else {
            self.remaining += 1;
        }
    }
}

impl Inner {
    /// Whether the table has what a list is about.
    fn check(&self, slots: &ListSlots) -> Result<(), ShardError> {
        let has = match slots {
            ListSlots::One(slot) => self.slots.contains(*slot),
            ListSlots::Exactly(slots) => **slots == *self.slots,
        };
        if has { Ok(()) } else { Err(ShardError::NotOwner) }
    }

    fn remove(&mut self, resource: &Resource, key: &Key) -> Option<Arc<Object>> {
        let old = self.objects.remove(key)?;
        if let Some(value) = indexed_value(resource, &old) {
            self.index.remove(&(value, key.clone()));
        }
        Some(old)
    }

    /// Offers a piece of a list to the page; answers the last key of it, if there is more behind.
    fn collect(
        &self,
        resource: &Resource,
        read: &ListRead<'_>,
        page: &mut Collector<'_>,
    ) -> Result<Option<Key>, Status> {
        if read.at < self.floor {
            return Err(too_old(read.at, self.floor));
        }
        let start = self.ring.partition_point(|event| event.version <= read.at);
        let mut undone: BTreeMap<Key, Option<Arc<Object>>> = BTreeMap::new();
        for event in self.ring.range(start..).rev() {
            let key = (event.object.namespace.clone(), event.object.name.clone());
            undone.insert(key, event.old.clone());
        }
        let mut past = undone.range::<Key, _>(read.bounds()).peekable();
        let mut last: Option<&Key> = None;
        for (count, (key, object)) in self.candidates(resource, read).enumerate() {
            if count == PIECE {
                return Ok(last.cloned());
            }
            while let Some((_, old)) = past.next_if(|(at, _)| *at < key) {
                page.offer(old.as_ref());
            }
            match past.next_if(|(at, _)| *at == key) {
                Some((_, old)) => page.offer(old.as_ref()),
                None => page.offer(Some(object)),
            }
            last = Some(key);
        }
        past.for_each(|(_, old)| page.offer(old.as_ref()));
        Ok(None)
    }

    fn put(&mut self, resource: &Resource, key: Key, object: Arc<Object>) {
        if let Some(value) = indexed_value(resource, &object) {
            self.index.insert((value, key.clone()), object.clone());
        }
        if let Some(old) = self.objects.insert(key.clone(), object.clone())
            && let Some(value) = indexed_value(resource, &old)
            && indexed_value(resource, &object).as_ref() != Some(&value)
        {
            self.index.remove(&(value, key));
        }
    }

    fn apply(&mut self, resource: &Resource, event: &Arc<Event>) {
        let key = (event.object.namespace.clone(), event.object.name.clone());
        if event.deleted {
            self.remove(resource, &key);
        } else {
            self.put(resource, key, event.object.clone());
        }
        self.ring_bytes += cost(event);
        self.ring.push_back(event.clone());
    }

    fn trim(&mut self, retention: Retention, now: Version) {
        let oldest = now.micros().saturating_sub(retention.age.as_micros() as u64);
        while let Some(event) = self.ring.front() {
            if event.version.micros() >= oldest && self.ring_bytes <= retention.bytes {
                break;
            }
            self.ring_bytes -= cost(event);
            self.floor = event.version;
            self.ring.pop_front();
        }
    }

    fn deliver(&mut self, events: &[Arc<Event>], watermark: Version) {
        self.subscribers.retain_mut(|subscriber| {
            if events.is_empty() && subscriber.watermark >= watermark {
                return !subscriber.deliveries.is_closed();
            }
            // One that asked for a version above these has seen them.
            let seen = events.partition_point(|event| event.version <= subscriber.watermark);
            let watermark = watermark.max(subscriber.watermark);
            subscriber.watermark = watermark;
            let delivery = Delivery { events: events[seen..].to_vec(), watermark, slots: None };
            subscriber.deliveries.try_send(delivery).is_ok()
        });
    }

    /// Present objects that a list may answer, in key order: by name or by index where the selector allows it.
    fn candidates<'a>(
        &'a self,
        resource: &Resource,
        read: &'a ListRead<'_>,
    ) -> Box<dyn Iterator<Item = (&'a Key, &'a Arc<Object>)> + 'a> {
        let namespace_known = !resource.namespaced || !read.namespace.is_empty();
        let fields = &read.selector.fields;
        if let (Some(name), true) = (fields.name(), namespace_known) {
            let key = (SmolStr::new(read.namespace), SmolStr::new(name));
            let behind = read.after.is_none_or(|after| key > *after);
            return Box::new(self.objects.get_key_value(&key).filter(|_| behind).into_iter());
        }
        let value = resource.indexed.and_then(|at| fields.equals(at)).filter(|value| !value.is_empty());
        let (from, to) = read.bounds();
        let Some(value) = value else { return Box::new(self.objects.range((from, to))) };
        let value = SmolStr::new(value);
        let from = from.map(|key| (value.clone(), key));
        let to = match to {
            Bound::Excluded(key) => Bound::Excluded((value.clone(), key)),
            _ => Bound::Unbounded,
        };
        let range = self.index.range((from, to)).take_while(move |((at, _), _)| *at == value);
        Box::new(range.map(|((_, key), object)| (key, object)))
    }
}

fn indexed_value(resource: &Resource, object: &Object) -> Option<SmolStr> {
    let value = object.field(resource.indexed?);
    (!value.is_empty()).then(|| value.into())
}

/// Bytes that an event keeps alive. The old object is the new one of the event before it, so it is not counted twice.
fn cost(event: &Event) -> usize {
    event.object.cost() + size_of::<Event>()
}

fn too_old(asked: Version, floor: Version) -> Status {
    Status::expired(format!("too old resource version: {asked} ({floor})"))
}
