//! Trimming the logs: entries that nobody needs any more become rows.
//!
//! A batch of the commit loop writes entries only. When they leave the retained window, the newest state of each key becomes
//! its row and the entries go, in one batch that is fenced by the slot's epoch and by the floors that it moves, so that a
//! row never overwrites a newer one, whenever the batch happens. What is changed often is written twice only once in a
//! window: a log is left to grow to twice what is retained, and then cut in half.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::time::Duration;

use api::Version;
use api::slot::{Slot, SlotSet};
use bytes::Bytes;
use parking_lot::Mutex;
use store::{Batch, BatchId, Fence, StoreError, Write};

use crate::claim::settle;
use crate::contents::Log;
use crate::keys::{self, Class, Place};
use crate::layout::Layout;
use crate::log::{Entry, OVERHEAD};
use crate::sequencer::Written;
use crate::shard::Shard;

/// How often it looks for logs that are due.
const EVERY: Duration = Duration::from_secs(1);
/// What a batch counts for at most, give or take a page: small, because group commits share the store with it.
const BATCH: usize = 256 << 10;
/// Entries that are read at once.
const SCAN: usize = 256;

/// A log: slot, position of the cluster, class.
pub(crate) type LogId = (Slot, u16, Class);

/// What is known of a log without reading it.
#[derive(Clone, Copy, Debug)]
struct Size {
    /// At or below its first entry.
    oldest: Version,
    bytes: usize,
}

/// How much there is in the logs of a shard's slots.
#[derive(Default)]
pub(crate) struct Logs {
    sizes: Mutex<BTreeMap<LogId, Size>>,
}

impl Logs {
    /// A batch is durable.
    pub(crate) fn note(&self, layout: &Layout, writes: &[Written]) {
        let mut sizes = self.sizes.lock();
        for write in writes {
            let (event, class) = (&write.event, layout.table(write.table).class);
            let id = (event.slot, layout.cluster_of(write.table), class);
            let size = sizes.entry(id).or_insert(Size { oldest: event.version, bytes: 0 });
            size.bytes += OVERHEAD + if event.deleted { 0 } else { event.object.stored().len() };
        }
    }

    /// A slot was loaded.
    pub(crate) fn insert(&self, slot: Slot, logs: &BTreeMap<(u16, Class), Log>) {
        let mut sizes = self.sizes.lock();
        for ((cluster_at, class), log) in logs {
            if let Some(oldest) = log.oldest {
                sizes.insert((slot, *cluster_at, *class), Size { oldest, bytes: log.bytes });
            }
        }
    }

    /// Slots have left.
    pub(crate) fn remove(&self, slots: &SlotSet) {
        self.sizes.lock().retain(|(slot, ..), _| !slots.contains(*slot));
    }

    /// A cluster is gone.
    fn forget(&self, cluster_at: u16) {
        self.sizes.lock().retain(|(_, at, _), _| *at != cluster_at);
    }

    fn trimmed(&self, id: LogId, to: Version, bytes: usize, is_empty: bool) {
        let mut sizes = self.sizes.lock();
        let Some(size) = sizes.get_mut(&id) else { return };
        size.bytes = size.bytes.saturating_sub(bytes);
        size.oldest = size.oldest.max(Version(to.0 + 1));
        if size.bytes == 0 || is_empty && bytes == 0 {
            sizes.remove(&id);
        }
    }

    /// The logs to trim now, and up to where: what has outlived twice its retention, and the largest ones, by half, while all
    /// together count for more than `budget`.
    fn due(&self, now: Version, age: impl Fn(Class) -> Duration, budget: usize) -> Vec<(LogId, Version)> {
        let sizes = self.sizes.lock();
        let before = |age: Duration| Version::new(now.micros().saturating_sub(age.as_micros() as u64), 0);
        let mut due: BTreeMap<LogId, Version> = BTreeMap::new();
        let mut left = sizes.values().map(|size| size.bytes).sum::<usize>();
        for (id, size) in sizes.iter() {
            if size.oldest < before(2 * age(id.2)) {
                due.insert(*id, before(age(id.2)));
                left = left.saturating_sub(size.bytes / 2);
            }
        }
        if left > budget {
            let mut largest: Vec<(&LogId, &Size)> = sizes.iter().collect();
            largest.sort_by_key(|(id, size)| (std::cmp::Reverse(size.bytes), **id));
            for (id, size) in largest {
                if left <= budget {
                    break;
                }
                let half = Version::new((size.oldest.micros() + now.micros()) / 2, 0);
                let to = due.entry(*id).or_default();
                *to = half.max(*to);
                left = left.saturating_sub(size.bytes / 2);
            }
        }
        due.into_iter().collect()
    }
}

/// For ever.
pub(crate) async fn run(shard: &Shard) {
    loop {
        tokio::time::sleep(EVERY).await;
        match pass(shard).await {
            Ok(()) => {}
            Err(StoreError::Broken(reason)) => {
                tracing::error!(reason, "logs are not trimmed any more");
                return;
            }
            // A slot has left meanwhile, or the store cannot be reached: what is still due is so the next time.
            Err(error) => tracing::debug!(%error, "logs are trimmed later"),
        }
    }
}

/// Trims what is due.
pub(crate) async fn pass(shard: &Shard) -> Result<(), StoreError> {
    let options = &shard.options;
    let age = |class| match class {
        Class::Strict => options.retention,
        Class::Relaxed => options.relaxed_retention,
    };
    let logs = &shard.committer.logs;
    trim(shard, logs.due(shard.sequencer.now(), age, options.log_bytes)).await
}

/// Trims logs up to the versions that are named, or to what is durable.
pub(crate) async fn trim(shard: &Shard, due: Vec<(LogId, Version)>) -> Result<(), StoreError> {
    let mut batch = Trim::new(shard);
    for (id, to) in due {
        if !shard.owned().contains(id.0) {
            continue;
        }
        // Nothing that is still to be committed may be below a floor.
        let to = to.min(shard.sequencer.settled());
        while batch.add(id, to).await? {
            batch.commit().await?;
        }
        if batch.size > BATCH {
            batch.commit().await?;
        }
    }
    batch.commit().await
}

/// A batch that is put together.
struct Trim<'a> {
    shard: &'a Shard,
    fences: Vec<Fence>,
    writes: Vec<Write>,
    slots: BTreeSet<Slot>,
    /// The floors as the batch leaves them, by slot and cluster.
    floors: BTreeMap<(Slot, u16), [Version; 2]>,
    done: Vec<(LogId, Version, usize, bool)>,
    size: usize,
}

impl<'a> Trim<'a> {
    fn new(shard: &'a Shard) -> Self {
        Self {
            shard,
            fences: Vec::new(),
            writes: Vec::new(),
            slots: BTreeSet::new(),
            floors: BTreeMap::new(),
            done: Vec::new(),
            size: 0,
        }
    }

    /// Adds a page of a log; answers whether there is more of it.
    async fn add(&mut self, (slot, cluster_at, class): LogId, to: Version) -> Result<bool, StoreError> {
        let store = &self.shard.committer.store;
        let cluster = &self.shard.layout.cluster(usize::from(cluster_at));
        let key = keys::floors(slot, cluster);
        let floors = match self.floors.get(&(slot, cluster_at)) {
            Some(floors) => *floors,
            None => {
                let expected = store.get(key.clone()).await?;
                let floors = match &expected {
                    Some(value) => keys::decode_floors(value).ok_or_else(|| damaged(&key))?,
                    None => Default::default(),
                };
                self.fences.push(Fence { key, expected });
                floors
            }
        };
        let floor = floors[class as usize - 1];
        if to <= floor {
            return Ok(false);
        }
        let from = Bound::Included(keys::entry(slot, cluster, class, Version::ZERO));
        let page = store.scan(from, keys::entries_behind(slot, cluster, class, to), SCAN).await?;
        let mut rows: BTreeMap<Bytes, Option<Bytes>> = BTreeMap::new();
        let (mut last, mut bytes) = (floor, 0);
        for (key, value) in &page.pairs {
            let Some((_, _, Place::Entry(_, version))) = keys::parse(key) else { return Err(damaged(key)) };
            let (entry, at) = Entry::decode(value).ok_or_else(|| damaged(key))?;
            let row = keys::row(slot, cluster, entry.id_name, entry.namespace, entry.name);
            rows.insert(row, (!entry.operation.is_deletion()).then(|| value.slice(at..)));
            bytes += value.len() - at + OVERHEAD;
            last = version;
        }
        let reached = if page.more { last } else { to };
        self.slots.insert(slot);
        self.done.push(((slot, cluster_at, class), reached, bytes, page.pairs.is_empty()));
        if page.pairs.is_empty() {
            return Ok(false);
        }
        let writes = rows.into_iter().map(|(row, tail)| match tail {
            Some(tail) => Write::Put(row, tail),
            None => Write::Delete(row),
        });
        let from = self.writes.len();
        self.writes.extend(writes);
        self.writes.push(Write::DeleteRange(
            keys::entry(slot, cluster, class, Version::ZERO),
            keys::entries_behind(slot, cluster, class, reached),
        ));
        self.size += self.writes[from..].iter().map(Write::size).sum::<usize>();
        let floors = self.floors.entry((slot, cluster_at)).or_insert(floors);
        floors[class as usize - 1] = reached;
        Ok(page.more)
    }

    /// Commits what was added, and is empty again.
    async fn commit(&mut self) -> Result<(), StoreError> {
        let Self { shard, mut fences, mut writes, slots, floors, done, .. } =
            std::mem::replace(self, Self::new(self.shard));
        if !writes.is_empty() {
            let committer = &shard.committer;
            let epoch = committer.epoch.encode();
            fences.push(Fence { key: keys::ordinal_owner(committer.epoch.ordinal), expected: Some(epoch.clone()) });
            let owners = slots.iter().map(|slot| Fence { key: keys::slot_owner(*slot), expected: Some(epoch.clone()) });
            fences.extend(owners);
            for ((slot, cluster_at), floors) in floors {
                let key = keys::floors(slot, &shard.layout.cluster(usize::from(cluster_at)));
                writes.push(Write::Put(key, keys::encode_floors(floors)));
            }
            let id = BatchId(committer.ambient.entropy.next_u128());
            settle(&committer.store, Batch { id, fences, writes, adds: false }).await?;
        }
        for (id, to, bytes, is_empty) in done {
            shard.committer.logs.trimmed(id, to, bytes, is_empty);
        }
        Ok(())
    }
}

/// Takes all that this shard's slots hold of a logical cluster out of the store and out of memory. Its id must not be asked for
/// any more, nor used again.
pub(crate) async fn drop_cluster(shard: &Shard, cluster: &str) -> Result<(), StoreError> {
    let Some(at) = shard.layout.cluster_at(cluster) else { return Ok(()) };
    let committer = &shard.committer;
    let epoch = committer.epoch.encode();
    let owned: Vec<Slot> = shard.owned().iter().collect();
    for some in owned.chunks(SCAN) {
        let mut fences =
            vec![Fence { key: keys::ordinal_owner(committer.epoch.ordinal), expected: Some(epoch.clone()) }];
        fences.extend(some.iter().map(|slot| Fence { key: keys::slot_owner(*slot), expected: Some(epoch.clone()) }));
        let range =
            |slot: &Slot| Write::DeleteRange(keys::cluster_start(*slot, cluster), keys::cluster_end(*slot, cluster));
        let writes = some.iter().map(range).collect();
        let id = BatchId(committer.ambient.entropy.next_u128());
        settle(&committer.store, Batch { id, fences, writes, adds: false }).await?;
    }
    shard.registry.forget(cluster);
    committer.logs.forget(at as u16);
    shard.sequencer.close_books(at as u16);
    shard.layout.tables_of(at).iter().for_each(|(_, table)| table.clear());
    Ok(())
}

fn damaged(key: &[u8]) -> StoreError {
    StoreError::Broken(format!("what stands at {} makes no sense", keys::printable(key)))
}
