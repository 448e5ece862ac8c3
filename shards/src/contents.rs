//! What the store holds of slots, read for the tables: rows and the log since, made into objects and events.
//!
//! A slot may be read while its owner still writes it ([`load`]), and be brought up to date once it does not any more
//! ([`catch_up`]). What a trim of the log did in between shows in the floors, which are read last.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use api::slot::{SLOTS, Slot, SlotSet};
use api::{Object, Version};
use bytes::Bytes;
use futures_util::future::try_join_all;
use store::{Page, SharedStore, StoreError};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::keys::{self, Class, Place};
use crate::layout::Layout;
use crate::log::{Entry, OVERHEAD, Operation};
use crate::recent::{KEPT, Logged};
use crate::sequencer::TableId;
use crate::service::Event;
use crate::shard::OpenError;
use crate::table::Key;

/// Pairs that one page holds.
const SCAN: usize = 4096;
/// Ranges that are read at once.
const AT_ONCE: usize = 8;
/// Objects that are decoded before others get a turn.
const TURN: usize = 256;

/// One log of one slot, as far as it was read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Log {
    /// Everything above it is known.
    pub(crate) floor: Version,
    /// The last entry that was read.
    pub(crate) last: Version,
    /// The first entry, where there is one.
    pub(crate) oldest: Option<Version>,
    /// What its entries count for.
    pub(crate) bytes: usize,
}

/// What one slot holds of one table.
#[derive(Default)]
struct Part {
    objects: BTreeMap<Key, Arc<Object>>,
    events: Vec<Arc<Event>>,
    floor: Version,
}

/// What one slot holds.
#[derive(Default)]
pub(crate) struct Loaded {
    parts: BTreeMap<TableId, Part>,
    /// By position of the cluster.
    pub(crate) logs: BTreeMap<(u16, Class), Log>,
    /// Requests of the last minute.
    pub(crate) requests: Vec<(u128, Logged)>,
}

/// What a table gets, or gives up: of some slots.
#[derive(Default)]
pub(crate) struct Shelf {
    pub(crate) objects: Vec<(Key, Arc<Object>)>,
    /// In version order.
    pub(crate) events: Vec<Arc<Event>>,
    /// Every event above it is there.
    pub(crate) floor: Version,
}

/// An entry as it was read.
struct RawEntry {
    cluster_at: u16,
    class: Class,
    version: Version,
    /// `None`: a kind that is switched off.
    table: Option<TableId>,
    key: Key,
    operation: Operation,
    code: u16,
    request: u128,
    /// The whole entry, and where the object begins.
    value: Bytes,
    at: usize,
}

impl RawEntry {
    fn tail(&self) -> Bytes {
        self.value.slice(self.at..)
    }
}

/// A row that is not decoded yet.
struct RawRow {
    slot: Slot,
    table: TableId,
    key: Key,
    tail: Bytes,
}

/// A row, decoded.
type Row = (Slot, TableId, Key, Arc<Object>);

#[derive(Default)]
struct Raw {
    rows: Vec<(TableId, Key, Arc<Object>)>,
    entries: Vec<RawEntry>,
    floors: BTreeMap<u16, [Version; 2]>,
}

/// Reads slots, in parallel ranges. What is not theirs is read as long as that is little, and jumped over otherwise.
pub(crate) async fn load(
    layout: &Arc<Layout>,
    store: &SharedStore,
    slots: &SlotSet,
    now: Version,
) -> Result<BTreeMap<Slot, Loaded>, OpenError> {
    let all: Vec<Slot> = slots.iter().collect();
    let each = all.len().div_ceil(AT_ONCE).max(1);
    let chunks = all.chunks(each).map(|chunk| {
        let (layout, store, chunk) = (layout.clone(), store.clone(), chunk.iter().copied().collect::<SlotSet>());
        // Tasks of their own, so that what is decoded uses all processors.
        let task = tokio::spawn(async move { load_chunk(&layout, &store, &chunk, now).await });
        async move { task.await.map_err(ended)? }
    });
    Ok(try_join_all(chunks).await?.into_iter().flatten().collect())
}

async fn load_chunk(
    layout: &Arc<Layout>,
    store: &SharedStore,
    slots: &SlotSet,
    now: Version,
) -> Result<Vec<(Slot, Loaded)>, OpenError> {
    let mut raws: BTreeMap<Slot, Raw> = slots.iter().map(|slot| (slot, Raw::default())).collect();
    let Some((first, last)) = slots.iter().next().zip(slots.iter().last()) else { return Ok(Vec::new()) };
    let end = keys::slot_start(last.0 + 1);
    let mut decoding = Vec::new();
    let mut reading = Some(read(store, Bound::Included(keys::slot_start(first.0)), end.clone()));
    while let Some(page) = reading.take() {
        let page = page.await.map_err(ended)??;
        // What comes behind it is read while this one is sorted, and decoded by whoever has time.
        if page.more {
            reading = behind(slots, &page)?.map(|from| read(store, from, end.clone()));
        }
        let mut rows = Vec::new();
        for (key, value) in page.pairs {
            rows.extend(sort(layout, &mut raws, &key, value)?);
        }
        if !rows.is_empty() {
            decoding.push(AbortOnDropHandle::new(tokio::spawn(decode_rows(layout.clone(), rows))));
        }
    }
    for rows in decoding {
        for (slot, table, key, object) in rows.await.map_err(ended)?? {
            raws.get_mut(&slot).expect("sorted out before").rows.push((table, key, object));
        }
    }
    let cutoffs = cutoffs(layout, &raws, now);
    let mut loaded = Vec::with_capacity(raws.len());
    let mut turn = 0;
    for (slot, raw) in raws {
        turn += raw.rows.len() / 8 + raw.entries.len();
        loaded.push((slot, build(layout, slot, raw, &cutoffs, now)?));
        if turn > TURN {
            turn = 0;
            tokio::task::yield_now().await;
        }
    }
    Ok(loaded)
}

fn ended(error: JoinError) -> OpenError {
    OpenError::Damaged(format!("a reader failed: {error}"))
}

/// Starts to read a page.
fn read(store: &SharedStore, from: Bound<Bytes>, end: Bytes) -> AbortOnDropHandle<Result<Page, StoreError>> {
    let store = store.clone();
    AbortOnDropHandle::new(tokio::spawn(async move { patiently(|| store.scan(from.clone(), end.clone(), SCAN)).await }))
}

/// Where to go on behind a page; `None`: nothing that is wanted comes there.
fn behind(slots: &SlotSet, page: &Page) -> Result<Option<Bound<Bytes>>, OpenError> {
    let Some((key, _)) = page.pairs.last() else { return Ok(None) };
    let (slot, ..) = keys::parse(key).ok_or_else(|| damaged(key))?;
    if slots.contains(slot) {
        return Ok(Some(Bound::Excluded(key.clone())));
    }
    let next = (slot.0..SLOTS).find(|slot| slots.contains(Slot(*slot)));
    Ok(next.map(|next| Bound::Included(keys::slot_start(next))))
}

async fn decode_rows(layout: Arc<Layout>, rows: Vec<RawRow>) -> Result<Vec<Row>, OpenError> {
    let mut decoded = Vec::with_capacity(rows.len());
    for (at, RawRow { slot, table, key, tail }) in rows.into_iter().enumerate() {
        decoded.push((slot, table, key, decode(&layout, table, &tail, slot)?));
        if at % TURN == TURN - 1 {
            tokio::task::yield_now().await;
        }
    }
    Ok(decoded)
}

/// Reads again while the store cannot be reached.
async fn patiently<'a, T>(
    mut read: impl FnMut() -> futures_util::future::BoxFuture<'a, Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let mut tries = 0;
    loop {
        match read().await {
            Err(error) if error.is_retryable() && tries < 8 => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10 << tries)).await;
            }
            other => return other,
        }
    }
}

/// Puts a pair where it belongs; answers it where it is a row.
fn sort(
    layout: &Layout,
    raws: &mut BTreeMap<Slot, Raw>,
    key: &Bytes,
    value: Bytes,
) -> Result<Option<RawRow>, OpenError> {
    let (slot, cluster, place) = keys::parse(key).ok_or_else(|| damaged(key))?;
    let Some(raw) = raws.get_mut(&slot) else { return Ok(None) };
    let cluster_at = layout.ensure(cluster).map_err(|status| OpenError::Config(status.to_string()))?;
    match place {
        Place::Floors => {
            raw.floors.insert(cluster_at as u16, keys::decode_floors(&value).ok_or_else(|| damaged(key))?);
        }
        Place::Entry(class, version) => raw.entries.push(entry(layout, cluster_at, class, version, key, value)?),
        Place::Row { id_name, namespace, name } => {
            let row = |table| RawRow { slot, table, key: (namespace.into(), name.into()), tail: value };
            return Ok(layout.named(cluster_at, id_name).map(row));
        }
    }
    Ok(None)
}

fn entry(
    layout: &Layout,
    cluster_at: usize,
    class: Class,
    version: Version,
    key: &[u8],
    value: Bytes,
) -> Result<RawEntry, OpenError> {
    let (entry, at) = Entry::decode(&value).ok_or_else(|| damaged(key))?;
    let Entry { request, code, operation, id_name, namespace, name } = entry;
    let table = layout.named(cluster_at, id_name);
    let key = (namespace.into(), name.into());
    let cluster_at = cluster_at as u16;
    Ok(RawEntry { cluster_at, class, version, table, key, operation, code, request, value, at })
}

fn damaged(key: &[u8]) -> OpenError {
    OpenError::Damaged(format!("what stands at {}", keys::printable(key)))
}

/// For each table the version up to which entries make no events: they would not be kept anyway.
fn cutoffs(layout: &Layout, raws: &BTreeMap<Slot, Raw>, now: Version) -> BTreeMap<TableId, Version> {
    let mut costs: BTreeMap<TableId, Vec<(Version, usize)>> = BTreeMap::new();
    for entry in raws.values().flat_map(|raw| &raw.entries) {
        if let Some(table) = entry.table {
            costs.entry(table).or_default().push((entry.version, entry.value.len() + size_of::<Event>()));
        }
    }
    costs
        .into_iter()
        .map(|(table, mut costs)| {
            costs.sort_unstable();
            let retention = layout.table(table).retention;
            let oldest = now.micros().saturating_sub(retention.age.as_micros() as u64);
            let mut left = retention.bytes;
            let dropped = costs.iter().rev().find(|(version, cost)| {
                let fits = *cost <= left && version.micros() >= oldest;
                left = left.saturating_sub(*cost);
                !fits
            });
            (table, dropped.map_or(Version::ZERO, |(version, _)| *version))
        })
        .collect()
}

fn build(
    layout: &Layout,
    slot: Slot,
    raw: Raw,
    cutoffs: &BTreeMap<TableId, Version>,
    now: Version,
) -> Result<Loaded, OpenError> {
    let mut loaded = Loaded::default();
    for at in 0..layout.clusters() {
        let floors = raw.floors.get(&(at as u16)).copied().unwrap_or_default();
        for class in Class::ALL {
            let floor = layout.first.max(floors[class as usize - 1]);
            let log = Log { floor, last: floor, oldest: None, bytes: 0 };
            loaded.logs.insert((at as u16, class), log);
        }
    }
    for (table, key, object) in raw.rows {
        loaded.parts.entry(table).or_default().objects.insert(key, object);
    }
    // What no event is made of is folded before anything is decoded.
    let mut folded: BTreeMap<(TableId, Key), Option<Bytes>> = BTreeMap::new();
    let mut rest = Vec::new();
    for entry in raw.entries {
        let cutoff = entry.table.and_then(|table| cutoffs.get(&table)).copied().unwrap_or_default();
        match entry.table {
            Some(table) if entry.version <= cutoff => {
                loaded.note(&entry, now);
                loaded.parts.entry(table).or_default().floor = cutoff;
                let tail = (entry.operation == Operation::Put).then(|| entry.tail());
                folded.insert((table, entry.key), tail);
            }
            _ => rest.push(entry),
        }
    }
    for ((table, key), tail) in folded {
        let objects = &mut loaded.parts.entry(table).or_default().objects;
        match tail {
            Some(tail) => objects.insert(key, decode(layout, table, &tail, slot)?),
            None => objects.remove(&key),
        };
    }
    for entry in rest {
        loaded.apply(layout, slot, entry, now)?;
    }
    Ok(loaded)
}

fn decode(layout: &Layout, table: TableId, tail: &[u8], slot: Slot) -> Result<Arc<Object>, OpenError> {
    let resource = &layout.table(table).resource;
    let damaged = |error| OpenError::Damaged(format!("slot {}, {}: {error}", slot.0, resource.id_name));
    Object::load(resource, tail).map(Arc::new).map_err(damaged)
}

impl Loaded {
    /// Counts an entry, and remembers who asked for it.
    fn note(&mut self, entry: &RawEntry, now: Version) {
        let log = self.logs.get_mut(&(entry.cluster_at, entry.class)).expect("every cluster has its logs");
        log.last = log.last.max(entry.version);
        log.oldest.get_or_insert(entry.version);
        log.bytes += entry.value.len() - entry.at + OVERHEAD;
        let Some(table) = entry.table else { return };
        if entry.request != 0 && entry.version.micros() + KEPT.as_micros() as u64 >= now.micros() {
            let (code, operation, version) = (entry.code, entry.operation, entry.version);
            self.requests.push((entry.request, Logged { table, code, operation, version }));
        }
    }

    fn apply(&mut self, layout: &Layout, slot: Slot, entry: RawEntry, now: Version) -> Result<(), OpenError> {
        self.note(&entry, now);
        let Some(table) = entry.table else { return Ok(()) };
        let log = self.logs.get_mut(&(entry.cluster_at, entry.class)).expect("every cluster has its logs");
        let part = self.parts.entry(table).or_default();
        let (version, old) = (entry.version, part.objects.get(&entry.key).cloned());
        // A row that is as new: a trim came between reading the log and reading the row. What it trimmed is no history
        // any more.
        if let Some(newer) = old.as_ref().filter(|old| old.version >= version) {
            log.floor = log.floor.max(newer.version);
            return Ok(());
        }
        let (object, deleted) = match (entry.operation, &old) {
            (Operation::Put, _) => (decode(layout, table, &entry.tail(), slot)?, false),
            (_, Some(old)) => (Arc::new(old.at_version(version)), true),
            (_, None) => {
                log.floor = log.floor.max(version);
                return Ok(());
            }
        };
        if deleted {
            part.objects.remove(&entry.key);
        } else {
            part.objects.insert(entry.key, object.clone());
        }
        part.events.push(Arc::new(Event { version, slot, object, old, deleted }));
        Ok(())
    }
}

/// Reads what has come since a slot was loaded. Its former owner must not write it any more. False: a trim has taken away
/// what had not been read; load it again.
pub(crate) async fn catch_up(
    layout: &Layout,
    store: &SharedStore,
    slot: Slot,
    loaded: &mut Loaded,
    now: Version,
) -> Result<bool, OpenError> {
    discover(layout, store, slot).await?;
    for at in 0..layout.clusters() {
        let cluster = &layout.cluster(at);
        let key = keys::floors(slot, cluster);
        let floors = match patiently(|| store.get(key.clone())).await? {
            Some(value) => keys::decode_floors(&value).ok_or_else(|| damaged(&key))?,
            None => Default::default(),
        };
        for class in Class::ALL {
            let fresh = Log { floor: layout.first, last: layout.first, oldest: None, bytes: 0 };
            let log = loaded.logs.entry((at as u16, class)).or_insert(fresh);
            let floor = floors[class as usize - 1];
            if floor > log.last {
                return Ok(false);
            }
            log.floor = log.floor.max(floor);
            let mut from = Bound::Included(keys::entries_behind(slot, cluster, class, log.last));
            let end = keys::entries_behind(slot, cluster, class, Version::MAX);
            loop {
                let page = patiently(|| store.scan(from.clone(), end.clone(), SCAN)).await?;
                let last = page.pairs.last().map(|(key, _)| key.clone());
                for (key, value) in page.pairs {
                    let Some((_, _, Place::Entry(class, version))) = keys::parse(&key) else {
                        return Err(damaged(&key));
                    };
                    let entry = entry(layout, at, class, version, &key, value)?;
                    loaded.apply(layout, slot, entry, now)?;
                }
                match last {
                    Some(last) if page.more => from = Bound::Excluded(last),
                    _ => break,
                }
            }
        }
    }
    Ok(true)
}

/// Finds clusters that have come since the slot was loaded.
async fn discover(layout: &Layout, store: &SharedStore, slot: Slot) -> Result<(), OpenError> {
    let end = keys::slot_start(slot.0 + 1);
    let mut from = Bound::Included(keys::slot_start(slot.0));
    loop {
        let page = patiently(|| store.scan(from.clone(), end.clone(), 1)).await?;
        let Some((key, _)) = page.pairs.first() else { return Ok(()) };
        let (_, cluster, _) = keys::parse(key).ok_or_else(|| damaged(key))?;
        layout.ensure(cluster).map_err(|status| OpenError::Config(status.to_string()))?;
        from = Bound::Included(keys::cluster_end(slot, cluster));
    }
}

/// Everything that was loaded, by table; those that get nothing still get a floor.
pub(crate) fn shelve(layout: &Layout, loaded: impl IntoIterator<Item = Loaded>) -> Vec<Shelf> {
    let mut shelves: Vec<Shelf> = layout.tables().map(|_| Shelf::default()).collect();
    for loaded in loaded {
        for ((cluster_at, class), log) in &loaded.logs {
            for (id, _) in layout.tables_of(usize::from(*cluster_at)).iter().filter(|(_, t)| t.class == *class) {
                let shelf = &mut shelves[id.0 as usize];
                shelf.floor = shelf.floor.max(log.floor);
            }
        }
        for (table, part) in loaded.parts {
            let shelf = &mut shelves[table.0 as usize];
            shelf.floor = shelf.floor.max(part.floor);
            shelf.objects.extend(part.objects);
            shelf.events.extend(part.events);
        }
    }
    for shelf in &mut shelves {
        shelf.events.retain(|event| event.version > shelf.floor);
        shelf.events.sort_unstable_by_key(|event| event.version);
    }
    shelves
}
