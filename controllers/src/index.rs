//! Indexes over an informer's cache: the objects of one owner, one node, one service, without scanning the others.

use std::hash::Hash;
use std::sync::Arc;

use client::{Change, Informer, Kept};
use hashbrown::HashMap;
use parking_lot::RwLock;
use smol_str::SmolStr;

/// Objects by a key that is read off each. Updated before the handlers that are registered after it run.
pub struct Index<K, T> {
    groups: RwLock<HashMap<K, HashMap<SmolStr, Arc<T>>>>,
    key_of: fn(&T) -> Option<K>,
}

impl<K: Eq + Hash + Send + Sync + 'static, T: Kept> Index<K, T> {
    /// Starts to index a cache. Objects without a key are left out.
    pub fn follow(informer: &Informer<T>, key_of: fn(&T) -> Option<K>) -> Arc<Self> {
        let index = Arc::new(Self::new(key_of));
        let follower = index.clone();
        informer.on_change(move |change| follower.apply(change));
        index
    }

    /// An empty index.
    pub fn new(key_of: fn(&T) -> Option<K>) -> Self {
        Self { groups: RwLock::default(), key_of }
    }

    /// The objects with a key, in no particular order.
    pub fn group<Q>(&self, key: &Q) -> Vec<Arc<T>>
    where
        Q: Hash + hashbrown::Equivalent<K> + ?Sized,
    {
        self.groups.read().get(key).map(|group| group.values().cloned().collect()).unwrap_or_default()
    }

    /// Takes one change of the cache over.
    pub fn apply(&self, change: &Change<T>) {
        let (old, new) = match change {
            Change::Added(new) => (None, Some(new)),
            Change::Updated(old, new) => (Some(old), Some(new)),
            Change::Deleted(old) => (Some(old), None),
        };
        let mut groups = self.groups.write();
        let stays = |old: &Arc<T>| new.is_some_and(|new| new.meta().uid == old.meta().uid);
        if let Some(old) = old
            && let Some(key) = (self.key_of)(old)
            && !(stays(old) && new.and_then(|new| (self.key_of)(new)).as_ref() == Some(&key))
            && let Some(group) = groups.get_mut(&key)
        {
            group.remove(&old.meta().uid);
            if group.is_empty() {
                groups.remove(&key);
            }
        }
        if let Some(new) = new
            && let Some(key) = (self.key_of)(new)
        {
            groups.entry(key).or_default().insert(new.meta().uid.clone(), new.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::views::Pod;

    fn pod(uid: &str, node: &str) -> Arc<Pod> {
        let pod = serde_json::json!({ "metadata": { "name": "p", "uid": uid }, "spec": { "nodeName": node } });
        Arc::new(serde_json::from_value(pod).unwrap())
    }

    #[test]
    fn objects_move_between_groups_and_leave() {
        let index: Index<SmolStr, Pod> =
            Index::new(|pod| Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty()));
        let uids = |node: &str| {
            let mut uids: Vec<_> = index.group(node).iter().map(|pod| pod.metadata.uid.to_string()).collect();
            uids.sort();
            uids
        };
        let (unbound, bound) = (pod("1", ""), pod("1", "a"));
        index.apply(&Change::Added(unbound.clone()));
        assert!(uids("a").is_empty());
        index.apply(&Change::Updated(unbound, bound.clone()));
        index.apply(&Change::Added(pod("2", "a")));
        assert_eq!(uids("a"), ["1", "2"]);
        // Deleted and created again under the same name between two lists: another uid.
        let reborn = pod("3", "a");
        index.apply(&Change::Updated(bound, reborn.clone()));
        assert_eq!(uids("a"), ["2", "3"]);
        index.apply(&Change::Updated(reborn.clone(), pod("3", "b")));
        assert_eq!((uids("a"), uids("b")), (vec!["2".to_owned()], vec!["3".to_owned()]));
        index.apply(&Change::Deleted(pod("3", "b")));
        assert!(index.groups.read().get("b").is_none(), "empty groups are dropped");
    }
}
