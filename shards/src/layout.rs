//! The tables of a shard: those of one logical cluster after another, in the order in which the shard heard of them.
//!
//! A cluster gets the tables of the built-in kinds when it is first asked for, or first found in the store; a custom kind
//! gets its table in a cluster in the same way, whether or not its definition is known yet. Tables are never moved or taken
//! away, so that whoever knows a [`TableId`] reads without a lock.
//!
//! Invariant: every table is about the same slots ([`Layout::turn`]), and a cluster without tables has nothing in them.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use api::resource::{Resource, Spread};
use api::slot::SlotSet;
use api::{Registry, ResourceId, Status, Version};
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::keys::Class;
use crate::sequencer::TableId;
use crate::shard::ShardOptions;
use crate::table::{Retention, Table};

/// Tables of one piece of memory.
const CHUNK: usize = 1024;
/// Pieces at most: clusters and kinds that come and go count until the next start.
const CHUNKS: usize = 1024;

/// One cluster.
struct OfCluster {
    name: SmolStr,
    /// Where the tables of the built-in kinds stand, in the order of their numbers.
    builtin: Range<usize>,
    custom: RwLock<HashMap<ResourceId, TableId>>,
}

/// Some tables, one after another.
type Chunk = Box<[OnceLock<Table>]>;

/// See the module.
pub(crate) struct Layout {
    pub(crate) registry: Arc<Registry>,
    /// The floor of a log that was never trimmed.
    pub(crate) first: Version,
    /// By [`Class`].
    retention: [Retention; 2],
    chunks: Box<[OnceLock<Chunk>]>,
    /// How many tables there are.
    tables: RwLock<usize>,
    clusters: RwLock<Vec<Arc<OfCluster>>>,
    names: RwLock<HashMap<SmolStr, usize>>,
    count: watch::Sender<usize>,
    /// The slots that all tables are about.
    slots: Mutex<Arc<SlotSet>>,
}

impl Layout {
    /// Without slots, and with the tables of some clusters.
    pub(crate) fn new(registry: Arc<Registry>, options: &ShardOptions, first: Version, clusters: &[SmolStr]) -> Self {
        let retention = |age| Retention { age, bytes: options.retention_bytes };
        let layout = Self {
            registry,
            first,
            retention: [retention(options.retention), retention(options.relaxed_retention)],
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            tables: RwLock::default(),
            clusters: RwLock::default(),
            names: RwLock::default(),
            count: watch::Sender::new(0),
            slots: Mutex::default(),
        };
        for cluster in clusters {
            layout.ensure(cluster).expect("a few fit");
        }
        layout
    }

    /// The position of a cluster, which gets its tables if it is new.
    pub(crate) fn ensure(&self, cluster: &str) -> Result<usize, Status> {
        if let Some(at) = self.cluster_at(cluster) {
            return Ok(at);
        }
        if cluster.is_empty() || cluster.contains('\0') {
            return Err(Status::unknown_path());
        }
        let slots = self.slots.lock();
        if let Some(at) = self.cluster_at(cluster) {
            return Ok(at);
        }
        let (at, name) = (self.clusters(), SmolStr::new(cluster));
        let kinds: Vec<Arc<Resource>> = self.registry.iter().cloned().collect();
        let builtin = self.add(at, &name, &kinds, self.first, &slots)?;
        self.clusters.write().push(Arc::new(OfCluster { name: name.clone(), builtin, custom: RwLock::default() }));
        self.names.write().insert(name, at);
        self.count.send_replace(at + 1);
        Ok(at)
    }

    /// Adds tables behind those that there are. The caller holds the slots.
    fn add(
        &self,
        cluster_at: usize,
        cluster: &SmolStr,
        kinds: &[Arc<Resource>],
        floor: Version,
        slots: &Arc<SlotSet>,
    ) -> Result<Range<usize>, Status> {
        let begin = *self.tables.read();
        let end = begin + kinds.len();
        if end > CHUNK * CHUNKS {
            return Err(Status::unavailable("this shard has heard of as many kinds as it can before it starts again"));
        }
        for (at, resource) in (begin..).zip(kinds) {
            let relaxed = resource.relaxed || matches!(resource.spread, Spread::NameIn(_));
            let class = if relaxed { Class::Relaxed } else { Class::Strict };
            let retention = self.retention[class as usize - 1];
            let cluster = (cluster_at as u16, cluster.clone());
            let table = Table::new(resource.clone(), cluster, class, retention, floor, slots.clone());
            let chunk = self.chunks[at / CHUNK].get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
            assert!(chunk[at % CHUNK].set(table).is_ok(), "tables come one after another");
        }
        *self.tables.write() = end;
        Ok(begin..end)
    }

    /// The position of a cluster that has tables.
    pub(crate) fn cluster_at(&self, cluster: &str) -> Option<usize> {
        self.names.read().get(cluster).copied()
    }

    /// How many clusters have tables.
    pub(crate) fn clusters(&self) -> usize {
        *self.count.borrow()
    }

    /// The same as it grows.
    pub(crate) fn growth(&self) -> watch::Receiver<usize> {
        self.count.subscribe()
    }

    fn of(&self, cluster_at: usize) -> Arc<OfCluster> {
        self.clusters.read()[cluster_at].clone()
    }

    /// The name of a cluster.
    pub(crate) fn cluster(&self, at: usize) -> SmolStr {
        self.of(at).name.clone()
    }

    /// The tables of a cluster.
    pub(crate) fn tables_of(&self, cluster_at: usize) -> Vec<(TableId, &Table)> {
        let of = self.of(cluster_at);
        let custom: Vec<TableId> = of.custom.read().values().copied().collect();
        let all = of.builtin.clone().map(|at| TableId(at as u32)).chain(custom);
        all.map(|id| (id, self.table(id))).collect()
    }

    /// All tables, in the order of their ids.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        let count = *self.tables.read();
        (0..count).map(|at| self.table(TableId(at as u32)))
    }

    /// The table of a kind, which gets one if it is new.
    pub(crate) fn table_id(&self, cluster_at: usize, resource: ResourceId) -> Result<TableId, Status> {
        let of = self.of(cluster_at);
        let at = resource.0 as usize;
        if at < of.builtin.len() {
            return Ok(TableId((of.builtin.start + at) as u32));
        }
        if let Some(id) = of.custom.read().get(&resource) {
            return Ok(*id);
        }
        let slots = self.slots.lock();
        if let Some(id) = of.custom.read().get(&resource) {
            return Ok(*id);
        }
        let kind = Resource::undefined(resource, &self.registry.id_name(resource));
        // Nothing of it is in the slots that are here, or it would have a table. What was there may have been forgotten, but
        // no later than what other tables of that class know of.
        let strict = self.tables_of(cluster_at).into_iter().filter(|(_, table)| table.class == Class::Strict);
        let floor = strict.map(|(_, table)| table.floor()).min().unwrap_or(self.first);
        let added = self.add(cluster_at, &of.name, &[Arc::new(kind)], floor, &slots)?;
        let id = TableId(added.start as u32);
        of.custom.write().insert(resource, id);
        Ok(id)
    }

    /// The table of an id_name; `None` for what is neither built in nor could be a custom kind.
    pub(crate) fn named(&self, cluster_at: usize, id_name: &str) -> Option<TableId> {
        self.table_id(cluster_at, self.registry.number(id_name)).ok()
    }

    pub(crate) fn table(&self, id: TableId) -> &Table {
        let at = id.0 as usize;
        let chunk = self.chunks[at / CHUNK].get();
        chunk.and_then(|chunk| chunk[at % CHUNK].get()).expect("ids are given out once there is a table")
    }

    /// The position of a table's cluster.
    pub(crate) fn cluster_of(&self, id: TableId) -> u16 {
        self.table(id).cluster_at
    }

    /// The slots that the tables are about. As long as it is held nobody else changes them, and no table is added.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Arc<SlotSet>> {
        self.slots.lock()
    }
}
