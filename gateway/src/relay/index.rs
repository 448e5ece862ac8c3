//! Who wants an event: looked up, not scanned for.

use std::hash::Hash;
use std::sync::Arc;

use api::Resource;
use api::selector::Selectable;
use hashbrown::HashMap;
use shards::service::Event;
use smol_str::SmolStr;

use super::watcher::{Filter, Watcher};

/// The one bucket that a watcher stands in: the most selective that its filter allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Bucket {
    /// metadata.name must equal this; the namespace may be empty for any.
    Name(SmolStr, SmolStr),
    /// The resource's indexed field must equal this.
    Field(SmolStr),
    /// One namespace.
    Namespace(SmolStr),
    /// Everything.
    All,
}

impl Bucket {
    pub(crate) fn of(resource: &Resource, filter: &Filter) -> Self {
        let fields = &filter.selector.fields;
        let namespace = match fields.namespace() {
            Some(namespace) if filter.namespace.is_empty() => namespace.into(),
            _ => filter.namespace.clone(),
        };
        if let Some(name) = fields.name() {
            Self::Name(namespace, name.into())
        } else if let Some(value) = resource.indexed.and_then(|at| fields.equals(at)) {
            Self::Field(value.into())
        } else if !namespace.is_empty() {
            Self::Namespace(namespace)
        } else {
            Self::All
        }
    }
}

type Watchers = Vec<Arc<Watcher>>;

/// Watchers that are fed with the same events.
#[derive(Debug, Default)]
pub(crate) struct Index {
    all: Watchers,
    namespaces: HashMap<SmolStr, Watchers>,
    names: HashMap<(SmolStr, SmolStr), Watchers>,
    fields: HashMap<SmolStr, Watchers>,
    count: usize,
}

impl Index {
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    pub(crate) fn insert(&mut self, bucket: Bucket, watcher: Arc<Watcher>) {
        self.count += 1;
        match bucket {
            Bucket::All => self.all.push(watcher),
            Bucket::Namespace(namespace) => self.namespaces.entry(namespace).or_default().push(watcher),
            Bucket::Field(value) => self.fields.entry(value).or_default().push(watcher),
            Bucket::Name(namespace, name) => self.names.entry((namespace, name)).or_default().push(watcher),
        }
    }

    pub(crate) fn remove(&mut self, bucket: &Bucket, watcher: &Arc<Watcher>) {
        let left = match bucket {
            Bucket::All => take(Some(&mut self.all), watcher).0,
            Bucket::Namespace(namespace) => {
                let (taken, empty) = take(self.namespaces.get_mut(namespace), watcher);
                if empty {
                    self.namespaces.remove(namespace);
                }
                taken
            }
            Bucket::Field(value) => {
                let (taken, empty) = take(self.fields.get_mut(value), watcher);
                if empty {
                    self.fields.remove(value);
                }
                taken
            }
            Bucket::Name(namespace, name) => {
                let key = (namespace.clone(), name.clone());
                let (taken, empty) = take(self.names.get_mut(&key), watcher);
                if empty {
                    self.names.remove(&key);
                }
                taken
            }
        };
        self.count -= usize::from(left);
    }

    /// Takes everybody out.
    pub(crate) fn drain(&mut self) -> Watchers {
        let index = std::mem::take(self);
        let maps = [sorted(index.namespaces), sorted(index.fields), sorted(index.names)];
        index.all.into_iter().chain(maps.into_iter().flatten().flatten()).collect()
    }

    /// Takes some out.
    pub(crate) fn extract(&mut self, mut gone: impl FnMut(&Watcher) -> bool) -> Watchers {
        let mut out: Watchers = self.all.extract_if(.., |watcher| gone(watcher)).collect();
        extract_from(&mut self.namespaces, &mut gone, &mut out);
        extract_from(&mut self.names, &mut gone, &mut out);
        extract_from(&mut self.fields, &mut gone, &mut out);
        self.count -= out.len();
        out
    }

    /// Calls `visit` with each watcher that may want the event, each once.
    pub(crate) fn each(&self, resource: &Resource, event: &Event, mut visit: impl FnMut(&Arc<Watcher>)) {
        self.all.iter().for_each(&mut visit);
        if self.count == self.all.len() {
            return;
        }
        let object = &*event.object;
        if let Some(watchers) = self.namespaces.get(&object.namespace) {
            watchers.iter().for_each(&mut visit);
        }
        if !self.names.is_empty() {
            let anywhere = (!object.namespace.is_empty()).then(SmolStr::default);
            for namespace in [Some(object.namespace.clone()), anywhere].into_iter().flatten() {
                if let Some(watchers) = self.names.get(&(namespace, object.name.clone())) {
                    watchers.iter().for_each(&mut visit);
                }
            }
        }
        let Some(at) = resource.indexed.filter(|_| !self.fields.is_empty()) else { return };
        let new = object.field(at);
        if let Some(watchers) = self.fields.get(new) {
            watchers.iter().for_each(&mut visit);
        }
        let old = event.old.as_ref().map_or(new, |old| old.field(at));
        if old != new
            && let Some(watchers) = self.fields.get(old)
        {
            watchers.iter().for_each(&mut visit);
        }
    }
}

/// In the order of the keys, so that watchers are told of the end in the same order each time.
fn sorted<K: Ord>(map: HashMap<K, Watchers>) -> Vec<Watchers> {
    let mut all: Vec<(K, Watchers)> = map.into_iter().collect();
    all.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    all.into_iter().map(|(_, watchers)| watchers).collect()
}

/// Takes some out of a map, in the order of its keys.
fn extract_from<K: Ord + Hash + Clone>(
    map: &mut HashMap<K, Watchers>,
    gone: &mut impl FnMut(&Watcher) -> bool,
    out: &mut Watchers,
) {
    let mut found: Vec<(K, Watchers)> = Vec::new();
    map.retain(|key, watchers| {
        let taken: Watchers = watchers.extract_if(.., |watcher| gone(watcher)).collect();
        if !taken.is_empty() {
            found.push((key.clone(), taken));
        }
        !watchers.is_empty()
    });
    found.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    out.extend(found.into_iter().flat_map(|(_, watchers)| watchers));
}

/// Whether the watcher was in the bucket, and whether that is empty now.
fn take(bucket: Option<&mut Watchers>, watcher: &Arc<Watcher>) -> (bool, bool) {
    let Some(bucket) = bucket else { return (false, false) };
    let at = bucket.iter().position(|have| Arc::ptr_eq(have, watcher));
    if let Some(at) = at {
        bucket.swap_remove(at);
    }
    (at.is_some(), bucket.is_empty())
}
