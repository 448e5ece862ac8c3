//! Equivalence classes: pods with equal [`Needs`] share one ranking of the nodes (DESIGN D8).
//!
//! Ranking n nodes for a new class costs n; each further pod of it costs the rows that have changed since, which is one
//! per pod that was placed in between. A class keeps the rows that the filters on Node objects allow as a bitmap, and
//! the feasible ones of them in a [`Ranking`] by the score that is local to a row. The scores that are normalised over all
//! feasible nodes are the same for all rows with equal [`Counts`] that stand in one [`Spot`], so there is one ranking per
//! distinct pair of these, and its share of the normalised scores is an offset that is computed when a pod is placed.
//!
//! Who owns a pod is no part of its needs: owners with equal templates share a class, and only the rows that hold an
//! owner's own pods are ranked apart for it ([`siblings`]). [`choice`] puts the two together.

mod cache;
mod choice;
mod siblings;

use std::sync::Arc;

use hashbrown::HashMap;
use rand::Rng;
use roaring::RoaringBitmap;

use self::siblings::{Ground, Siblings};
use crate::columns::{Columns, Row, Spot};
use crate::diagnosis::Diagnosis;
use crate::plugins::{self, Counts, node_affinity, taint_toleration};
use crate::ranking::Ranking;
use crate::view::{Needs, Owner};
pub(crate) use cache::Classes;

const UNRANKED: u32 = u32::MAX;

/// Where a row stands in its class.
#[derive(Clone, Copy)]
struct Place {
    group: u32,
    position: u32,
    score: u8,
}

const NOWHERE: Place = Place { group: 0, position: UNRANKED, score: 0 };

impl Place {
    /// Whether the row is feasible, and so has a position.
    fn is_ranked(self) -> bool {
        self.position != UNRANKED
    }
}

/// Rows that normalised scores do not tell apart.
struct Group {
    counts: Counts,
    spot: Spot,
    ranking: Ranking,
}

/// A class and its view of the nodes.
pub(crate) struct Class {
    needs: Arc<Needs>,
    /// How far in the change log this class has read.
    seen: u64,
    /// Rows that the filters on Node objects allow.
    allowed: RoaringBitmap,
    places: Vec<Place>,
    groups: Vec<Group>,
    by_kind: HashMap<(Counts, Spot), u32>,
    /// How often everything was ranked from scratch.
    built: u64,
    siblings: HashMap<Owner, Siblings>,
    diagnosis: Option<(u64, i32, Arc<Diagnosis>)>,
    used: u64,
}

impl Class {
    pub(crate) fn new(needs: Arc<Needs>) -> Self {
        let (allowed, places, groups, by_kind, siblings) = Default::default();
        Self { needs, seen: 0, allowed, places, groups, by_kind, built: 0, siblings, diagnosis: None, used: 0 }
    }

    /// Takes in what has changed on the nodes.
    pub(crate) fn refresh(&mut self, columns: &Columns) {
        let end = columns.changes.end();
        if self.seen == end {
            return;
        }
        match columns.changes.since(self.seen) {
            Some(changes) => {
                self.places.resize(columns.capacity(), NOWHERE);
                for (row, of_node) in changes {
                    if of_node {
                        self.look_at_node(columns, row);
                    }
                    self.rank(columns, row);
                }
            }
            None => self.rebuild(columns),
        }
        self.seen = end;
    }

    /// Ranks every row from scratch, by bitmaps.
    fn rebuild(&mut self, columns: &Columns) {
        self.allowed = plugins::allowed_rows(&self.needs, columns);
        self.places = vec![NOWHERE; columns.capacity()];
        self.groups.clear();
        self.by_kind.clear();
        self.built += 1;
        let mut counts: HashMap<Row, Counts> = HashMap::new();
        for rows in taint_toleration::counted(&self.needs, columns) {
            for row in rows & &self.allowed {
                counts.entry(row).or_default().taints += 1;
            }
        }
        for preferred in &self.needs.preferred {
            for row in node_affinity::term_rows(&preferred.term, columns, self.allowed.clone()) {
                counts.entry(row).or_default().affinity += i64::from(preferred.weight);
            }
        }
        for row in self.allowed.clone() {
            self.places[row as usize].group = self.group(columns, row, counts.get(&row).copied().unwrap_or_default());
            self.rank(columns, row);
        }
    }

    fn group(&mut self, columns: &Columns, row: Row, counts: Counts) -> u32 {
        let spot = columns.topology.spot(row);
        *self.by_kind.entry((counts, spot)).or_insert_with(|| {
            self.groups.push(Group { counts, spot, ranking: Ranking::default() });
            u32::try_from(self.groups.len() - 1).expect("no more groups than rows")
        })
    }

    /// Asks the filters and scores that look at the Node object about one row again.
    fn look_at_node(&mut self, columns: &Columns, row: Row) {
        self.unrank(row);
        let node = columns.node(row).filter(|node| plugins::node_allows(&self.needs, node));
        match node {
            Some(node) => {
                self.allowed.insert(row);
                self.places[row as usize].group = self.group(columns, row, Counts::of(&self.needs, node));
            }
            None => {
                self.allowed.remove(row);
            }
        }
    }

    fn unrank(&mut self, row: Row) {
        let Place { group, position, score } = self.places[row as usize];
        if position == UNRANKED {
            return;
        }
        if let Some(moved) = self.groups[group as usize].ranking.remove(score, position) {
            self.places[moved as usize].position = position;
        }
        self.places[row as usize].position = UNRANKED;
    }

    /// Asks the filters and scores that look at the row's amounts about one row again.
    fn rank(&mut self, columns: &Columns, row: Row) {
        let is_feasible = self.allowed.contains(row) && plugins::row_has_room(&self.needs, columns, row);
        let place = self.places[row as usize];
        if !is_feasible {
            self.unrank(row);
            return;
        }
        let score = plugins::local_score(&self.needs, columns, row);
        if place.is_ranked() && place.score == score {
            return;
        }
        self.unrank(row);
        let position = self.groups[place.group as usize].ranking.insert(row, score);
        self.places[row as usize] = Place { group: place.group, position, score };
    }

    /// The best row for a pod of this owner, and its score; ties are broken at random. `None` where no row is feasible.
    pub(crate) fn best(
        &mut self,
        owner: Option<Owner>,
        columns: &Columns,
        random: &mut impl Rng,
    ) -> Option<(Row, i64)> {
        self.refresh_siblings(owner, columns);
        self.choose(owner.and_then(|owner| self.siblings.get(&owner)), random)
    }

    /// Looks where the owner's pods stand, if these needs are to stand apart.
    fn refresh_siblings(&mut self, owner: Option<Owner>, columns: &Columns) {
        let Some(owner) = owner.filter(|_| self.needs.spread.is_some()) else { return };
        let ground = Ground { needs: &self.needs, places: &self.places, built: self.built, columns };
        let siblings = self.siblings.entry(owner).or_default();
        siblings.used = self.used;
        siblings.refresh(owner, &ground);
    }

    /// Forgets where the pods of owners stand that were not asked about since.
    fn forget_siblings(&mut self, since: u64) {
        self.siblings.retain(|_, siblings| siblings.used >= since);
    }

    /// Why no row is feasible. Pods of one class and priority share it until something changes.
    pub(crate) fn diagnose(&mut self, columns: &Columns, priority: i32) -> Arc<Diagnosis> {
        if let Some((seen, of, diagnosis)) = &self.diagnosis
            && (*seen, *of) == (self.seen, priority)
        {
            return diagnosis.clone();
        }
        let diagnosis = Arc::new(Diagnosis::make(&self.needs, columns, priority));
        self.diagnosis = Some((self.seen, priority, diagnosis.clone()));
        diagnosis
    }

    fn size(&self) -> usize {
        let rankings: usize = self.groups.iter().map(|group| group.ranking.size() + size_of::<Group>()).sum();
        let siblings: usize = self.siblings.values().map(Siblings::size).sum();
        let rows = self.places.len() * size_of::<Place>() + self.allowed.serialized_size();
        rankings + siblings + rows + size_of::<Self>()
    }

    /// Every feasible row with its total score for a pod of this owner.
    #[cfg(test)]
    pub(crate) fn scores(&mut self, owner: Option<Owner>, columns: &Columns) -> std::collections::BTreeMap<Row, i64> {
        self.refresh_siblings(owner, columns);
        self.scores_with(owner.and_then(|owner| self.siblings.get(&owner)))
    }
}
