//! The tables of a shard: those of one logical cluster after another, in the order in which the shard heard of them.
//!
//! A cluster gets its tables when it is first asked for, or first found in the store. Tables are never moved or taken away,
//! so that whoever knows a [`TableId`] reads without a lock.
//!
//! Invariant: every table is about the same slots ([`Layout::turn`]), and a cluster without tables has nothing in them.

use std::sync::{Arc, OnceLock};

use api::resource::{Registry, Resource, Spread};
use api::slot::SlotSet;
use api::{Status, Version};
use hashbrown::HashMap;
use parking_lot::{Mutex, MutexGuard, RwLock};
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::keys::Class;
use crate::sequencer::TableId;
use crate::shard::ShardOptions;
use crate::table::{Retention, Table};

/// Clusters of one piece of memory.
const CHUNK: usize = 64;
/// Pieces at most: clusters that come and go count until the next start.
const CHUNKS: usize = 256;

/// One cluster.
struct OfCluster {
    name: SmolStr,
    tables: Box<[Table]>,
}

/// Some clusters, one after another.
type Chunk = Box<[OnceLock<OfCluster>]>;

/// See the module.
pub(crate) struct Layout {
    pub(crate) registry: Arc<Registry>,
    /// The floor of a log that was never trimmed.
    pub(crate) first: Version,
    /// By [`Class`].
    retention: [Retention; 2],
    /// Tables of each cluster.
    rows: usize,
    chunks: Box<[OnceLock<Chunk>]>,
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
            rows: registry.iter().count(),
            registry,
            first,
            retention: [retention(options.retention), retention(options.relaxed_retention)],
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
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
        let full = || Status::unavailable("this shard has heard of as many clusters as it can before it starts again");
        let chunk = self.chunks.get(at / CHUNK).ok_or_else(full)?;
        let chunk = chunk.get_or_init(|| (0..CHUNK).map(|_| OnceLock::new()).collect());
        let table = |resource: &Arc<Resource>| {
            let relaxed = resource.relaxed || matches!(resource.spread, Spread::NameIn(_));
            let class = if relaxed { Class::Relaxed } else { Class::Strict };
            let retention = self.retention[class as usize - 1];
            Table::new(resource.clone(), name.clone(), class, retention, self.first, slots.clone())
        };
        let tables = self.registry.iter().map(table).collect();
        let fresh = chunk[at % CHUNK].set(OfCluster { name: name.clone(), tables }).is_ok();
        assert!(fresh, "clusters come one after another");
        self.names.write().insert(name, at);
        self.count.send_replace(at + 1);
        Ok(at)
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

    fn of(&self, cluster_at: usize) -> &OfCluster {
        let chunk = self.chunks[cluster_at / CHUNK].get();
        chunk.and_then(|chunk| chunk[cluster_at % CHUNK].get()).expect("positions are given out once they are filled")
    }

    /// The name of a cluster.
    pub(crate) fn cluster(&self, at: usize) -> &SmolStr {
        &self.of(at).name
    }

    /// The tables of a cluster.
    pub(crate) fn tables_of(&self, cluster_at: usize) -> &[Table] {
        &self.of(cluster_at).tables
    }

    /// All tables, in the order of their ids.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Table> {
        (0..self.clusters()).flat_map(|at| self.tables_of(at))
    }

    /// The table of a resource.
    pub(crate) fn table_id(&self, cluster_at: usize, resource: &Resource) -> TableId {
        TableId((cluster_at * self.rows + usize::from(resource.id.0)) as u32)
    }

    /// The table of an id_name; `None` for a kind that is switched off: what is stored of it stays.
    pub(crate) fn named(&self, cluster_at: usize, id_name: &str) -> Option<TableId> {
        self.registry.named(id_name).map(|resource| self.table_id(cluster_at, resource))
    }

    pub(crate) fn table(&self, id: TableId) -> &Table {
        let at = id.0 as usize;
        &self.tables_of(at / self.rows)[at % self.rows]
    }

    /// The position of a table's cluster.
    pub(crate) fn cluster_of(&self, id: TableId) -> u16 {
        (id.0 as usize / self.rows) as u16
    }

    /// Where tables begin of a cluster.
    pub(crate) fn begin(&self, cluster_at: u16) -> usize {
        usize::from(cluster_at) * self.rows
    }

    /// The slots that the tables are about. As long as it is held nobody else changes them, and no table is added.
    pub(crate) fn turn(&self) -> MutexGuard<'_, Arc<SlotSet>> {
        self.slots.lock()
    }
}
