//! Putting a backup into a store that holds nothing, before any shard opens it.
//!
//! What is restored are rows: the state at the floor of logs that have no entries. The store's own floor ([`keys::first`]) is
//! set above all of them, and shards start above it. So every version from before the restore is below every floor, and whoever
//! asks for one gets 410, as after a trim.
//!
//! The first thing that is written says that a restore is under way, in the place of the format's number, so that nobody opens
//! the store before the last batch has put the number there. A restore that was interrupted is begun anew.

use std::collections::BTreeMap;
use std::io::{Read, Seek};
use std::ops::Bound;
use std::sync::Arc;

use api::ambient::Ambient;
use api::document::Document;
use api::version::EPOCH_UNIX_MICROS;
use api::{Object, Registry, Resource, Version};
use bytes::Bytes;
use store::{Batch, BatchId, Fence, SharedStore, StoreError, Write};

use super::{Cut, FormatError, Header, Record, is_far_ahead};
use crate::claim::settle;
use crate::keys;

/// What a batch counts for at most, give or take an object.
const BATCH: usize = 1 << 20;
/// The kind of logical clusters' records.
const RECORDS: &str = "logicalclusters.internal.shardplane";
/// The cluster that a service always has, and whose first start makes what leads to it.
const DEFAULT: &str = "default";

/// The kind of definitions: the name of one is the stored identity of the kind that it defines.
const DEFINITIONS: &str = "customresourcedefinitions.apiextensions.k8s.io";

type Kinds = BTreeMap<u16, Arc<Resource>>;

/// What of a backup goes into the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// The cluster at this position, as the cluster `default`.
    AsDefault(u16),
    /// Every cluster under its own name and id, with the tokens of their administrators.
    All,
}

/// Why nothing was restored, or not everything: the store is not opened by anybody then.
#[derive(Debug, thiserror::Error)]
pub enum RestoreError {
    /// The backup is not used.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// There is something in the store.
    #[error(
        "the store is not empty: a backup is restored into a store that no shard has opened yet, and nothing is overwritten"
    )]
    NotEmpty,
    /// It holds what this program does not know.
    #[error("the backup holds {0}, which this program or its --runtime-config does not know")]
    Unknown(String),
    /// An object of it cannot be stored.
    #[error("the backup holds {0}")]
    Object(String),
    /// Its clock was far ahead, or this one's is far behind.
    #[error("the backup's cut is more than a day ahead of this machine's clock: set the clock first")]
    Clock,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What was restored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    /// How many objects.
    pub objects: u64,
    /// Every version from before the restore is below it, and every one that will be issued is above.
    pub floor: Version,
}

/// Restores into an empty store.
pub async fn restore<F: Read + Seek>(
    store: &SharedStore,
    ambient: &Ambient,
    registry: &Registry,
    cut: &mut Cut<F>,
    which: Which,
) -> Result<Restored, RestoreError> {
    let now = Version::new(u64::try_from(ambient.clock.wall_micros() - EPOCH_UNIX_MICROS).unwrap_or(0), 0);
    let at = cut.trailer().version();
    if is_far_ahead(at, now) {
        return Err(RestoreError::Clock);
    }
    let kinds = kinds(cut, registry, which)?;
    let header = cut.header().clone();
    let mut filling = Filling::begin(store, ambient).await?;
    let (mut next, mut count) = (at.max(now).micros() + 1, 0);
    let mut objects = cut.objects()?;
    while let Some(record) = objects.next()? {
        let Some(id) = target(&header, &record, which) else { continue };
        let Some(write) = row(&kinds, &header, &record, id, Version::new(next, 0))? else { continue };
        filling.add(write).await?;
        (next, count) = (next + 1, count + 1);
    }
    let floor = Version::new(next, 0).ceil();
    filling.finish(floor).await?;
    Ok(Restored { objects: count, floor })
}

/// The id of the cluster that an object goes to, if it goes anywhere.
fn target<'a>(header: &'a Header, record: &Record, which: Which) -> Option<&'a str> {
    match which {
        Which::All => Some(&header.clusters[usize::from(record.cluster)].id),
        // Records of clusters that do not come along would lead nowhere.
        Which::AsDefault(only) => {
            let comes = record.cluster == only && header.resources[usize::from(record.resource)] != RECORDS;
            comes.then_some(DEFAULT)
        }
    }
}

/// The kinds that come, by position in the header's list. A kind that is not built in comes with its definition.
fn kinds<F: Read + Seek>(cut: &mut Cut<F>, registry: &Registry, which: Which) -> Result<Kinds, RestoreError> {
    let clusters = match which {
        Which::All => 0..cut.header().clusters.len() as u16,
        Which::AsDefault(only) => only..only + 1,
    };
    let header = cut.header().clone();
    let definitions = header.resources.iter().position(|kind| kind == DEFINITIONS);
    let mut defined = Vec::new();
    let mut objects = cut.objects()?;
    while let Some(record) = objects.next()? {
        if Some(usize::from(record.resource)) == definitions && clusters.contains(&record.cluster) {
            defined.push(record.name);
        }
    }
    let mut kinds = Kinds::new();
    for (at, _) in clusters.flat_map(|cluster| cut.counts(cluster)) {
        let name = &header.resources[usize::from(at)];
        let custom = || Arc::new(Resource::undefined(registry.number(name), name));
        let builtin = registry.named(name).cloned();
        let is_defined = defined.iter().any(|defined| defined == name.as_str());
        let kind = builtin.or_else(|| is_defined.then(custom));
        kinds.insert(at, kind.ok_or_else(|| RestoreError::Unknown(name.clone()))?);
    }
    Ok(kinds)
}

/// The row of an object at its new version; `None` where the first start makes it anew, or it means nothing any more.
fn row(
    kinds: &Kinds,
    header: &Header,
    record: &Record,
    id: &str,
    version: Version,
) -> Result<Option<Write>, RestoreError> {
    let kind = &header.resources[usize::from(record.resource)];
    let resource = kinds.get(&record.resource).ok_or_else(|| RestoreError::Unknown(kind.clone()))?;
    if id == DEFAULT && super::is_own_endpoint(kind, &record.namespace, &record.name) {
        return Ok(None);
    }
    let tail = record.tail.clone().unwrap_or_default();
    let object = Object::load(resource, &tail).map_err(|error| RestoreError::Object(format!("{kind}: {error}")))?;
    if (&object.namespace, &object.name) != (&record.namespace, &record.name) {
        return Err(RestoreError::Object(format!("{kind} {}/{} under another name", object.namespace, object.name)));
    }
    if kind == RECORDS {
        let of = object.document().text(&["spec", "id"]).to_owned();
        if !header.clusters.iter().any(|cluster| *cluster.id == *of) {
            return Ok(None);
        }
    }
    let slot = resource.slot(id, &object.namespace, &object.name);
    let key = keys::row(slot, id, &resource.id_name, &object.namespace, &object.name);
    Ok(Some(Write::Put(key, object.at_version(version).stored().clone())))
}

/// A store that is being filled.
struct Filling<'a> {
    store: &'a SharedStore,
    ambient: &'a Ambient,
    /// Stands in the place of the format meanwhile: unlike any other restore's.
    marker: Bytes,
    writes: Vec<Write>,
    size: usize,
}

impl<'a> Filling<'a> {
    async fn begin(store: &'a SharedStore, ambient: &'a Ambient) -> Result<Self, RestoreError> {
        let found = store.get(keys::format()).await?;
        let interrupted = found.as_deref().is_some_and(keys::is_restoring);
        let (from, to) = (Bytes::new(), Bytes::from_static(&[2]));
        if !interrupted && !store.scan(Bound::Included(from.clone()), to.clone(), 1).await?.pairs.is_empty() {
            return Err(RestoreError::NotEmpty);
        }
        let marker = keys::restoring(ambient.entropy.next_u128());
        let fences = vec![Fence { key: keys::format(), expected: found }];
        let writes = vec![Write::DeleteRange(from, to), Write::Put(keys::format(), marker.clone())];
        settle(store, Batch { id: BatchId(ambient.entropy.next_u128()), fences, writes, adds: false }).await?;
        Ok(Self { store, ambient, marker, writes: Vec::new(), size: 0 })
    }

    async fn add(&mut self, write: Write) -> Result<(), StoreError> {
        self.size += write.size();
        self.writes.push(write);
        if self.size >= BATCH { self.flush().await } else { Ok(()) }
    }

    async fn flush(&mut self) -> Result<(), StoreError> {
        self.size = 0;
        let writes = std::mem::take(&mut self.writes);
        let fences = vec![Fence { key: keys::format(), expected: Some(self.marker.clone()) }];
        settle(self.store, Batch { id: BatchId(self.ambient.entropy.next_u128()), fences, writes, adds: true }).await
    }

    async fn finish(mut self, floor: Version) -> Result<(), StoreError> {
        self.writes.push(Write::Put(keys::first(), keys::encode_version(floor)));
        self.writes.push(Write::Put(keys::format(), Bytes::from(keys::FORMAT.to_string())));
        self.flush().await
    }
}
