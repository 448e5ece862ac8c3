//! Recomputes a shard's tables from the store, and complains about the first difference.

use std::collections::BTreeMap;
use std::ops::Bound;

use api::Version;
use api::slot::SLOTS;
use store::Store;

use super::cluster::Cluster;
use super::faulty::FaultyStore;
use crate::Shard;
use crate::keys::{self, Class, Place};
use crate::log::Entry;
use crate::sequencer::TableId;
use crate::table::{Key, Table};

/// What the store holds, over all slots: objects, and what happened since the floors.
#[derive(Default)]
pub(super) struct Stored {
    pub(super) objects: BTreeMap<(String, Key), Version>,
    pub(super) rows: usize,
    pub(super) entries: usize,
    /// By kind: version, what was there before, and whether it is gone.
    events: BTreeMap<String, BTreeMap<Version, (Option<Version>, bool)>>,
    floors: BTreeMap<Class, Version>,
}

/// Reads everything of the cluster `default`.
pub(super) async fn stored(store: &FaultyStore, registry: &api::Registry) -> Stored {
    let mut found = Stored::default();
    let mut entries = BTreeMap::new();
    let mut floors: BTreeMap<u16, [Version; 2]> = BTreeMap::new();
    let mut from = Bound::Included(keys::slot_start(0));
    loop {
        let page = store.scan(from, keys::slot_start(SLOTS), 512).await.unwrap();
        for (key, value) in &page.pairs {
            let (slot, cluster, place) = keys::parse(key).expect("every key is known");
            assert_eq!(cluster, "default");
            match place {
                Place::Floors => drop(floors.insert(slot.0, keys::decode_floors(value).unwrap())),
                Place::Entry(class, version) => {
                    let floor = floors.get(&slot.0).map_or(Version::ZERO, |floors| floors[class as usize - 1]);
                    assert!(version > floor, "an entry below the floor of its log");
                    let before = entries.insert(version, value.clone());
                    assert!(before.is_none(), "version {version} was given twice");
                }
                Place::Row { id_name, namespace, name } => {
                    let resource = registry.named(id_name).unwrap();
                    let object = api::Object::load(resource, value).unwrap();
                    assert_eq!(resource.slot("default", namespace, name), slot, "{namespace}/{name} is elsewhere");
                    found.rows += 1;
                    let key = (id_name.to_owned(), (namespace.into(), name.into()));
                    found.objects.insert(key, object.version);
                }
            }
        }
        match page.pairs.last() {
            Some((key, _)) if page.more => from = Bound::Excluded(key.clone()),
            _ => break,
        }
    }
    for floors in floors.values() {
        for class in Class::ALL {
            let floor = found.floors.entry(class).or_default();
            *floor = floors[class as usize - 1].max(*floor);
        }
    }
    for (version, value) in entries {
        let (entry, _) = Entry::decode(&value).unwrap();
        let key = (entry.id_name.to_owned(), (entry.namespace.into(), entry.name.into()));
        let old = found.objects.get(&key).copied();
        assert!(old.is_none_or(|old| old < version), "the row of {key:?} is newer than the log");
        let deleted = entry.operation.is_deletion();
        assert!(!deleted || old.is_some(), "{key:?} was deleted and not there");
        found.entries += 1;
        found.events.entry(entry.id_name.to_owned()).or_default().insert(version, (old, deleted));
        if deleted {
            found.objects.remove(&key);
        } else {
            found.objects.insert(key, version);
        }
    }
    found
}

/// Compares what shards have in memory with the store. Nothing may be pending.
pub(super) async fn audit(cluster: &Cluster) -> Stored {
    let found = stored(&cluster.store, &cluster.registry).await;
    let mut memory = BTreeMap::new();
    for shard in &cluster.shards {
        assert!(shard.sequencer.is_idle());
        for (at, table) in shard.layout.tables().enumerate() {
            table.consistency_check();
            for (key, version) in table.snapshot() {
                let before = memory.insert((table.resource.id_name.to_string(), key), version);
                assert!(before.is_none(), "two shards have it");
            }
            rings_agree(shard, TableId(at as u32), table, &found);
        }
    }
    assert_eq!(memory, found.objects, "rows and log make what is in memory");
    found
}

/// What is in a ring is in the logs, where both go back as far.
fn rings_agree(shard: &Shard, id: TableId, table: &Table, found: &Stored) {
    let none = BTreeMap::new();
    let logged = found.events.get(table.resource.id_name.as_str()).unwrap_or(&none);
    let floor = found.floors.get(&table.class).copied().unwrap_or_default();
    for event in table.ring().iter().filter(|event| event.version > floor) {
        let known = (event.old.as_ref().map(|old| old.version), event.deleted);
        let id_name = &shard.table(id).resource.id_name;
        assert_eq!(logged.get(&event.version), Some(&known), "{id_name} at {}", event.version);
    }
}
