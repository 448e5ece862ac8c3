//! Who owns whom, over the whole cluster. No I/O: what is to be looked at follows from each change, and is returned.
//!
//! An owner that is named but was not seen is *virtual*: the server has to be asked whether it exists. Only uids,
//! coordinates and owners are kept of an object. Invariant (`consistency_check`): a node is among the dependents of each
//! of its owners, and of nobody else.

use std::collections::VecDeque;

use client::{ApiRef, Meta, OwnerReference};
use hashbrown::{HashMap, HashSet};
use smol_str::SmolStr;

/// Finalizer: delete what depends on it first.
pub const FOREGROUND: &str = "foregroundDeletion";
/// Finalizer: let what depends on it go first.
pub const ORPHAN: &str = "orphan";
/// How many absent owners are remembered. A uid never comes back, so an old answer is as good as a new one.
const ABSENT: usize = 10_000;

/// What kind of object it is.
#[derive(Clone, Debug)]
pub enum Kind {
    /// Seen as one of this resource.
    Known(&'static ApiRef),
    /// Named so by an owner reference.
    Named {
        /// apiVersion
        api_version: SmolStr,
        /// kind
        kind: SmolStr,
    },
}

impl Kind {
    fn names(&self) -> (&str, &str) {
        match self {
            Self::Known(api) => (api.group, api.kind),
            Self::Named { api_version, kind } => (group_of(api_version), kind),
        }
    }
}

/// Versions of a group name the same objects.
fn group_of(api_version: &str) -> &str {
    api_version.split_once('/').map_or("", |(group, _)| group)
}

impl PartialEq for Kind {
    fn eq(&self, other: &Self) -> bool {
        self.names() == other.names()
    }
}

/// Where an object is, or is said to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Identity {
    /// Its kind.
    pub kind: Kind,
    /// Empty for cluster-scoped kinds; of a virtual one, its dependent's.
    pub namespace: SmolStr,
    /// Its name.
    pub name: SmolStr,
    /// Its uid.
    pub uid: SmolStr,
}

impl Identity {
    /// What an owner reference of an object in `namespace` points to.
    pub fn of(reference: &OwnerReference, namespace: &SmolStr) -> Self {
        let kind = Kind::Named { api_version: reference.api_version.clone(), kind: reference.kind.clone() };
        let (name, uid) = (reference.name.clone(), reference.uid.clone());
        Self { kind, namespace: namespace.clone(), name, uid }
    }

    fn is_named_by(&self, reference: &OwnerReference) -> bool {
        self.kind.names() == (group_of(&reference.api_version), reference.kind.as_str())
            && self.name == reference.name
            && self.uid == reference.uid
    }

    fn key(&self) -> (SmolStr, SmolStr, SmolStr) {
        let (group, kind) = self.kind.names();
        (self.uid.clone(), self.namespace.clone(), format!("{kind}.{group}/{}", self.name).into())
    }
}

/// What has to be done after a change.
#[derive(Clone, Debug, PartialEq)]
pub enum Todo {
    /// Look whether this object has to be deleted.
    Delete(SmolStr),
    /// The same, but not at once.
    DeleteLater(SmolStr),
    /// Let go of what depends on this object.
    Orphan(SmolStr),
    /// Tell the user that an object names an owner that is in another namespace.
    Report(SmolStr, OwnerReference),
}

struct Node {
    identity: Identity,
    owners: Vec<OwnerReference>,
    dependents: HashSet<SmolStr>,
    is_virtual: bool,
    is_deleting: bool,
    is_orphaning: bool,
    deletes_dependents: bool,
}

/// An object as a worker sees it.
#[derive(Clone, Debug)]
pub struct Item {
    /// Where it is.
    pub identity: Identity,
    /// Whether it was only named yet.
    pub is_virtual: bool,
    /// Whether its deletion has begun.
    pub is_deleting: bool,
    /// Whether it waits for its dependents.
    pub deletes_dependents: bool,
    /// What depends on it.
    pub dependents: Vec<SmolStr>,
}

/// The graph.
#[derive(Default)]
pub struct Graph {
    nodes: HashMap<SmolStr, Node>,
    absent: HashSet<(SmolStr, SmolStr, SmolStr)>,
    absent_order: VecDeque<(SmolStr, SmolStr, SmolStr)>,
}

impl Graph {
    /// Takes over an object that exists.
    pub fn observe(&mut self, api: &'static ApiRef, meta: &Meta) -> Vec<Todo> {
        let mut todo = Vec::new();
        let (namespace, name, uid) = (meta.namespace.clone(), meta.name.clone(), meta.uid.clone());
        let identity = Identity { kind: Kind::Known(api), namespace, name, uid: uid.clone() };
        let old_owners = match self.nodes.get(&uid) {
            Some(node) => {
                if node.is_virtual && node.identity != identity {
                    self.check_dependents(&identity, &mut todo);
                }
                std::mem::take(&mut self.node(&uid).owners)
            }
            None => {
                self.nodes.insert(uid.clone(), new_node(identity.clone(), false));
                Vec::new()
            }
        };
        let node = self.node(&uid);
        node.is_virtual = false;
        node.identity = identity;
        let new_owners = &meta.owner_references;
        let added: Vec<OwnerReference> =
            new_owners.iter().filter(|new| old_owners.iter().all(|old| old.uid != new.uid)).cloned().collect();
        let changed = new_owners.iter().any(|new| old_owners.iter().any(|old| old.uid == new.uid && old != new));
        node.owners = new_owners.clone();
        self.unblock(&old_owners, new_owners, &mut todo);
        for gone in old_owners.iter().filter(|old| new_owners.iter().all(|new| new.uid != old.uid)) {
            if let Some(owner) = self.nodes.get_mut(&gone.uid) {
                owner.dependents.remove(&uid);
            }
        }
        self.depend(&uid, &added, &mut todo);
        if changed {
            self.depend(&uid, &new_owners.clone(), &mut todo);
        }
        self.transitions(&uid, meta, &mut todo);
        todo
    }

    fn node(&mut self, uid: &SmolStr) -> &mut Node {
        self.nodes.get_mut(uid).expect("the caller has seen or inserted it")
    }

    /// A virtual owner turns out to be somewhere else than some of its dependents say.
    fn check_dependents(&self, identity: &Identity, todo: &mut Vec<Todo>) {
        let Some(owner) = self.nodes.get(&identity.uid) else { return };
        for dependent in owner.dependents.iter().filter_map(|uid| self.nodes.get(uid)) {
            let (_, mismatch) = matches(dependent, identity);
            let Some(reference) = mismatch else { continue };
            let (theirs, its) = (&identity.namespace, &dependent.identity.namespace);
            if !theirs.is_empty() && theirs != its {
                todo.push(Todo::Report(dependent.identity.uid.clone(), reference.clone()));
            }
            todo.push(Todo::Delete(dependent.identity.uid.clone()));
        }
    }

    /// An owner that waited for this object may go when it is not blocked by it any more.
    fn unblock(&self, old: &[OwnerReference], new: &[OwnerReference], todo: &mut Vec<Todo>) {
        let blocks = |reference: &OwnerReference| reference.block_owner_deletion == Some(true);
        for reference in old.iter().filter(|reference| blocks(reference)) {
            let still = new.iter().any(|other| other.uid == reference.uid && blocks(other));
            if !still && self.nodes.contains_key(&reference.uid) {
                todo.push(Todo::Delete(reference.uid.clone()));
            }
        }
    }

    /// Enters an object with its owners. Owners that nobody has seen become virtual; whether a doubtful reference is true
    /// is found out by looking at the dependent.
    fn depend(&mut self, uid: &SmolStr, owners: &[OwnerReference], todo: &mut Vec<Todo>) {
        let namespace = self.node(uid).identity.namespace.clone();
        let mut doubtful = false;
        for reference in owners {
            let Some(owner) = self.nodes.get_mut(&reference.uid) else {
                let mut owner = new_node(Identity::of(reference, &namespace), true);
                owner.dependents.insert(uid.clone());
                self.nodes.insert(reference.uid.clone(), owner);
                todo.push(Todo::Delete(reference.uid.clone()));
                continue;
            };
            owner.dependents.insert(uid.clone());
            let elsewhere = owner.identity.namespace != namespace;
            if elsewhere && !owner.identity.namespace.is_empty() {
                if !owner.is_virtual {
                    todo.push(Todo::Report(uid.clone(), reference.clone()));
                }
                doubtful = true;
            } else if !owner.identity.is_named_by(reference) || (elsewhere && owner.is_virtual) {
                doubtful = true;
            }
        }
        if doubtful {
            todo.push(Todo::Delete(uid.clone()));
        }
    }

    fn transitions(&mut self, uid: &SmolStr, meta: &Meta, todo: &mut Vec<Todo>) {
        let node = self.node(uid);
        let has = |finalizer: &str| meta.finalizers.iter().any(|have| have == finalizer);
        let deleting = meta.is_deleting();
        let (orphaning, foreground) = (deleting && has(ORPHAN), deleting && has(FOREGROUND));
        let (was_orphaning, was_foreground) = (node.is_orphaning, node.deletes_dependents);
        node.is_deleting = deleting;
        node.is_orphaning = orphaning;
        // One that begins to wait for its dependents never stops before it is gone.
        node.deletes_dependents |= foreground;
        if orphaning && !was_orphaning {
            todo.push(Todo::Orphan(uid.clone()));
        } else if foreground && !was_foreground {
            todo.extend(node.dependents.iter().cloned().map(Todo::Delete));
            todo.push(Todo::Delete(uid.clone()));
        }
    }

    /// Takes over that an object is gone.
    pub fn remove(&mut self, uid: &SmolStr) -> Vec<Todo> {
        let mut todo = Vec::new();
        let Some(node) = self.nodes.remove(uid) else { return todo };
        for reference in &node.owners {
            if let Some(owner) = self.nodes.get_mut(&reference.uid) {
                owner.dependents.remove(uid);
                if owner.deletes_dependents {
                    todo.push(Todo::Delete(reference.uid.clone()));
                }
            }
        }
        if !node.dependents.is_empty() {
            self.note_absent(&node.identity);
        }
        todo.extend(node.dependents.into_iter().map(Todo::Delete));
        todo
    }

    /// Takes over that the server knows no such object. What else is said of the uid may still be true.
    pub fn not_found(&mut self, identity: &Identity) -> Vec<Todo> {
        let Some(node) = self.nodes.get(&identity.uid) else { return Vec::new() };
        let dependents: Vec<&Node> = node.dependents.iter().filter_map(|uid| self.nodes.get(uid)).collect();
        let agree: Vec<SmolStr> = dependents
            .iter()
            .filter(|dependent| matches(dependent, identity).0)
            .map(|dependent| dependent.identity.uid.clone())
            .collect();
        let others: Vec<Identity> = dependents
            .iter()
            .filter_map(|dependent| Some(Identity::of(matches(dependent, identity).1?, &dependent.identity.namespace)))
            .filter(|other| other != identity)
            .collect();
        let is_said = node.identity == *identity;
        let keep = if node.is_virtual { !others.is_empty() } else { !is_said };
        if !keep {
            return self.remove(&identity.uid);
        }
        let mut todo: Vec<Todo> = Vec::new();
        if !agree.is_empty() {
            self.note_absent(identity);
            todo.extend(agree.into_iter().map(Todo::Delete));
        }
        if is_said && let Some(other) = next_identity(others, identity) {
            self.node(&identity.uid).identity = other;
            todo.push(Todo::DeleteLater(identity.uid.clone()));
        }
        todo
    }

    /// Whether the owner that an object in `namespace` names is known to be absent.
    pub fn is_absent(&self, reference: &OwnerReference, namespace: &SmolStr) -> bool {
        let anywhere = Identity::of(reference, &SmolStr::default());
        self.absent.contains(&anywhere.key()) || self.absent.contains(&Identity::of(reference, namespace).key())
    }

    /// Remembers that an object does not exist.
    pub fn note_absent(&mut self, identity: &Identity) {
        if self.absent.insert(identity.key()) {
            self.absent_order.push_back(identity.key());
        }
        while self.absent_order.len() > ABSENT {
            if let Some(oldest) = self.absent_order.pop_front() {
                self.absent.remove(&oldest);
            }
        }
    }

    /// An object, if it is in the graph.
    pub fn item(&self, uid: &str) -> Option<Item> {
        let node = self.nodes.get(uid)?;
        Some(Item {
            identity: node.identity.clone(),
            is_virtual: node.is_virtual,
            is_deleting: node.is_deleting,
            deletes_dependents: node.deletes_dependents,
            dependents: node.dependents.iter().cloned().collect(),
        })
    }

    /// The dependents that keep this object from going in a foreground deletion.
    pub fn blocking(&self, uid: &str) -> Vec<SmolStr> {
        let Some(node) = self.nodes.get(uid) else { return Vec::new() };
        let blocks = |dependent: &&Node| {
            let mut references = dependent.owners.iter().filter(|reference| reference.uid == uid);
            references.any(|reference| reference.block_owner_deletion == Some(true))
        };
        let dependents = node.dependents.iter().filter_map(|uid| self.nodes.get(uid));
        dependents.filter(blocks).map(|dependent| dependent.identity.uid.clone()).collect()
    }

    /// Whether an object waits for its own dependents.
    pub fn deletes_dependents(&self, uid: &str) -> bool {
        self.nodes.get(uid).is_some_and(|node| node.deletes_dependents)
    }

    /// Compares both directions of every edge.
    #[cfg(test)]
    pub fn consistency_check(&self) {
        for (uid, node) in &self.nodes {
            for reference in &node.owners {
                let owner = self.nodes.get(&reference.uid);
                let known = self.absent.iter().any(|(absent, _, _)| *absent == reference.uid);
                assert!(owner.map_or(known, |owner| owner.dependents.contains(uid)), "{uid} -> {}", reference.uid);
            }
            for dependent in &node.dependents {
                let dependent = &self.nodes[dependent];
                assert!(dependent.owners.iter().any(|reference| reference.uid == *uid), "{uid} <- nobody");
            }
        }
    }
}

fn new_node(identity: Identity, is_virtual: bool) -> Node {
    Node {
        identity,
        owners: Vec::new(),
        dependents: HashSet::new(),
        is_virtual,
        is_deleting: false,
        is_orphaning: false,
        deletes_dependents: false,
    }
}

/// Whether a dependent names this owner as it is, and a reference by which it names it otherwise.
fn matches<'a>(dependent: &'a Node, owner: &Identity) -> (bool, Option<&'a OwnerReference>) {
    let mut named = dependent.owners.iter().filter(|reference| reference.uid == owner.uid);
    if !owner.namespace.is_empty() && owner.namespace != dependent.identity.namespace {
        return (false, named.next());
    }
    let (right, wrong): (Vec<_>, Vec<_>) = named.partition(|reference| owner.is_named_by(reference));
    (!right.is_empty(), wrong.into_iter().next())
}

/// The next of several identities after one that turned out wrong; they are tried in a circle.
fn next_identity(mut others: Vec<Identity>, after: &Identity) -> Option<Identity> {
    let order = |identity: &Identity| {
        let (group, kind) = identity.kind.names();
        (kind.to_owned(), group.to_owned(), identity.namespace.clone(), identity.name.clone())
    };
    others.sort_by_key(&order);
    let next = others.iter().position(|other| order(other) > order(after)).unwrap_or(0);
    (!others.is_empty()).then(|| others.swap_remove(next))
}

#[cfg(test)]
mod tests;
