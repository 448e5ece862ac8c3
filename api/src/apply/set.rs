//! Sets of fields: who owns what. A tree, whose nodes say whether they are members themselves.
//!
//! Invariants: the entries of a set are sorted, and no two are equal; an entry that is no member has members below it. So
//! equal sets are equal trees, and every operation on two sets is one walk along both.

use std::cmp::Ordering;

use super::element::Element;

/// A set of fields. Parents of a member are not members, unless they are there themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set(pub(super) Vec<Entry>);

/// A field below which there is something, or which is a member itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) element: Element,
    pub(super) node: Node,
}

/// What a set says about one field.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) member: bool,
    pub(super) children: Set,
}

impl Node {
    pub(super) fn is_empty(&self) -> bool {
        !self.member && self.children.is_empty()
    }
}

impl Set {
    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many fields are members.
    pub fn len(&self) -> usize {
        self.0.iter().map(|entry| usize::from(entry.node.member) + entry.node.children.len()).sum()
    }

    /// Adds a field. The empty path is the whole object, which nobody owns.
    pub fn insert(&mut self, path: impl IntoIterator<Item = Element>) {
        let mut path = path.into_iter().peekable();
        let mut set = self;
        while let Some(element) = path.next() {
            let node = set.descend(element);
            if path.peek().is_none() {
                node.member = true;
                return;
            }
            set = &mut node.children;
        }
    }

    /// The node of a field, made where there is none. The caller makes it or something below it a member.
    pub(super) fn descend(&mut self, element: Element) -> &mut Node {
        let at = match self.position(&element) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, Entry { element, node: Node::default() });
                at
            }
        };
        &mut self.0[at].node
    }

    /// Puts a node at its place, if there is anything in it.
    pub(super) fn put(&mut self, element: Element, node: Node) {
        if node.is_empty() {
            return;
        }
        // Mostly in order already.
        if self.0.last().is_none_or(|last| last.element < element) {
            self.0.push(Entry { element, node });
            return;
        }
        let place = self.descend(element);
        place.member |= node.member;
        place.children = if place.children.is_empty() { node.children } else { place.children.union(&node.children) };
    }

    fn position(&self, element: &Element) -> Result<usize, usize> {
        self.0.binary_search_by(|entry| entry.element.cmp(element))
    }

    /// What the set says about a field right below it.
    pub(super) fn get(&self, element: &Element) -> Option<&Node> {
        self.position(element).ok().map(|at| &self.0[at].node)
    }

    /// Whether a field is a member.
    pub fn has(&self, path: &[&Element]) -> bool {
        let Some((last, parents)) = path.split_last() else { return false };
        let set = parents.iter().try_fold(self, |set, element| set.get(element).map(|node| &node.children));
        set.and_then(|set| set.get(last)).is_some_and(|node| node.member)
    }

    /// Every field of either.
    pub fn union(&self, other: &Self) -> Self {
        self.join(other, &|ours, theirs| match (ours, theirs) {
            (Some(one), None) | (None, Some(one)) => one.clone(),
            (Some(a), Some(b)) => Node { member: a.member || b.member, children: a.children.union(&b.children) },
            (None, None) => Node::default(),
        })
    }

    /// Every field of both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.join(other, &|ours, theirs| match (ours, theirs) {
            (Some(a), Some(b)) => Node { member: a.member && b.member, children: a.children.intersection(&b.children) },
            _ => Node::default(),
        })
    }

    /// Whether no field is in both.
    pub fn is_disjoint(&self, other: &Self) -> bool {
        let (mut ours, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        while let (Some(a), Some(b)) = (ours.first(), theirs.first()) {
            match a.element.cmp(&b.element) {
                Ordering::Less => ours = &ours[1..],
                Ordering::Greater => theirs = &theirs[1..],
                Ordering::Equal => {
                    if (a.node.member && b.node.member) || !a.node.children.is_disjoint(&b.node.children) {
                        return false;
                    }
                    (ours, theirs) = (&ours[1..], &theirs[1..]);
                }
            }
        }
        true
    }

    /// Whether every field is in the other one.
    pub fn is_subset(&self, other: &Self) -> bool {
        let mut theirs = other.0.as_slice();
        self.0.iter().all(|entry| {
            while theirs.first().is_some_and(|their| their.element < entry.element) {
                theirs = &theirs[1..];
            }
            let their = theirs.first().filter(|their| their.element == entry.element);
            their.is_some_and(|their| {
                (!entry.node.member || their.node.member) && entry.node.children.is_subset(&their.node.children)
            })
        })
    }

    /// The fields that are not in the other one. What lies below a field of the other one stays.
    pub fn difference(&self, other: &Self) -> Self {
        self.join(other, &|ours, theirs| match (ours, theirs) {
            (Some(a), Some(b)) => Node { member: a.member && !b.member, children: a.children.difference(&b.children) },
            (Some(a), None) => a.clone(),
            (None, _) => Node::default(),
        })
    }

    /// The fields that are neither in the other one nor below one of its fields.
    pub fn recursive_difference(&self, other: &Self) -> Self {
        self.join(other, &|ours, theirs| match (ours, theirs) {
            (Some(_), Some(b)) if b.member => Node::default(),
            (Some(a), Some(b)) => Node { member: a.member, children: a.children.recursive_difference(&b.children) },
            (Some(a), None) => a.clone(),
            (None, _) => Node::default(),
        })
    }

    /// What is on the way to, at or below one of the paths; `None` in a path is any step.
    pub fn only(&self, paths: &[&[Option<&str>]]) -> Self {
        let mut kept = Self::default();
        for entry in &self.0 {
            let matches = |step: &Option<&str>| match (step, &entry.element) {
                (None, _) => true,
                (Some(name), Element::Field(field)) => field == name,
                _ => false,
            };
            let rests: Vec<&[Option<&str>]> = paths
                .iter()
                .filter_map(|path| path.split_first().filter(|(first, _)| matches(first)).map(|(_, rest)| rest))
                .collect();
            if rests.is_empty() {
                continue;
            }
            let all = rests.iter().any(|rest| rest.is_empty());
            let children = if all { entry.node.children.clone() } else { entry.node.children.only(&rests) };
            kept.put(entry.element.clone(), Node { member: entry.node.member, children });
        }
        kept
    }

    /// The members that have no members below them.
    pub fn leaves(&self) -> Self {
        let leaves = self.0.iter().map(|Entry { element, node }| {
            let children = node.children.leaves();
            Entry { element: element.clone(), node: Node { member: node.member && children.is_empty(), children } }
        });
        Self(leaves.collect())
    }

    /// Every member's path: those of a level before those below it.
    pub fn each<'a>(&'a self, visit: &mut impl FnMut(&[&'a Element])) {
        self.walk(&mut Vec::new(), visit);
    }

    fn walk<'a>(&'a self, path: &mut Vec<&'a Element>, visit: &mut impl FnMut(&[&'a Element])) {
        for entry in self.0.iter().filter(|entry| entry.node.member) {
            path.push(&entry.element);
            visit(path);
            path.pop();
        }
        for entry in self.0.iter().filter(|entry| !entry.node.children.is_empty()) {
            path.push(&entry.element);
            entry.node.children.walk(path, visit);
            path.pop();
        }
    }

    /// Walks along both and keeps what `choose` makes of each field that is in one of them.
    fn join(&self, other: &Self, choose: &dyn Fn(Option<&Node>, Option<&Node>) -> Node) -> Self {
        let mut joined = Vec::with_capacity(self.0.len());
        let (mut ours, mut theirs) = (self.0.as_slice(), other.0.as_slice());
        loop {
            let order = match (ours.first(), theirs.first()) {
                (None, None) => return Self(joined),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(a), Some(b)) => a.element.cmp(&b.element),
            };
            let our = (order != Ordering::Greater).then(|| &ours[0]);
            let their = (order != Ordering::Less).then(|| &theirs[0]);
            let node = choose(our.map(|entry| &entry.node), their.map(|entry| &entry.node));
            if !node.is_empty()
                && let Some(entry) = our.or(their)
            {
                joined.push(Entry { element: entry.element.clone(), node });
            }
            ours = &ours[usize::from(our.is_some())..];
            theirs = &theirs[usize::from(their.is_some())..];
        }
    }
}

impl FromIterator<Vec<Element>> for Set {
    fn from_iter<I: IntoIterator<Item = Vec<Element>>>(paths: I) -> Self {
        let mut set = Self::default();
        for path in paths {
            set.insert(path);
        }
        set
    }
}
