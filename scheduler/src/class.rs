//! Equivalence classes: pods with equal [`Needs`] share one ranking of the nodes (DESIGN D8).
//!
//! Ranking n nodes for a new class costs n; each further pod of it costs the rows that have changed since, which is one
//! per pod that was placed in between. A class keeps the rows that the filters on Node objects allow as a bitmap, and
//! the feasible ones of them in a [`Ranking`] by the score that is local to a row. The scores that are normalised over all
//! feasible nodes are the same for all rows with equal [`Counts`], so there is one ranking per distinct counts, and its
//! share of the normalised scores is an offset that is computed when a pod is placed.

use std::sync::Arc;

use hashbrown::HashMap;
use rand::{Rng, RngExt};
use roaring::RoaringBitmap;

use crate::columns::{Columns, Row};
use crate::diagnosis::Diagnosis;
use crate::plugins::{self, Counts, node_affinity, taint_toleration};
use crate::ranking::Ranking;
use crate::view::Needs;

const UNRANKED: u32 = u32::MAX;

/// Where a row stands in its class.
#[derive(Clone, Copy)]
struct Place {
    group: u32,
    position: u32,
    score: u8,
}

const NOWHERE: Place = Place { group: 0, position: UNRANKED, score: 0 };

#[derive(Default)]
struct Group {
    counts: Counts,
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
    diagnosis: Option<(u64, i32, Arc<Diagnosis>)>,
    used: u64,
}

impl Class {
    pub(crate) fn new(needs: Arc<Needs>) -> Self {
        let (allowed, places, groups) = Default::default();
        Self { needs, seen: 0, allowed, places, groups, diagnosis: None, used: 0 }
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
            self.places[row as usize].group = self.group(counts.get(&row).copied().unwrap_or_default());
            self.rank(columns, row);
        }
    }

    fn group(&mut self, counts: Counts) -> u32 {
        let at = self.groups.iter().position(|group| group.counts == counts).unwrap_or_else(|| {
            self.groups.push(Group { counts, ranking: Ranking::default() });
            self.groups.len() - 1
        });
        u32::try_from(at).expect("no more groups than rows")
    }

    /// Asks the filters and scores that look at the Node object about one row again.
    fn look_at_node(&mut self, columns: &Columns, row: Row) {
        self.unrank(row);
        let node = columns.node(row).filter(|node| plugins::node_allows(&self.needs, node));
        match node {
            Some(node) => {
                self.allowed.insert(row);
                self.places[row as usize].group = self.group(Counts::of(&self.needs, node));
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
        if place.position != UNRANKED && place.score == score {
            return;
        }
        self.unrank(row);
        let position = self.groups[place.group as usize].ranking.insert(row, score);
        self.places[row as usize] = Place { group: place.group, position, score };
    }

    /// The groups that have feasible rows: index, best local score, and the offset that normalised scores add to it.
    fn offsets(&self) -> impl Iterator<Item = (usize, u8, i64)> {
        let live = self.groups.iter().filter(|group| group.ranking.len() > 0);
        let highest = live.fold(Counts::default(), |highest, group| highest.max(group.counts));
        self.groups.iter().enumerate().filter_map(move |(at, group)| {
            let best = group.ranking.best()?;
            Some((at, best, group.counts.score(&self.needs, highest)))
        })
    }

    /// The best row and its score; ties are broken at random. `None` where no row is feasible.
    pub(crate) fn best(&self, random: &mut impl Rng) -> Option<(Row, i64)> {
        let total = |(_, best, offset): &(usize, u8, i64)| i64::from(*best) + *offset;
        let highest = self.offsets().map(|group| total(&group)).max()?;
        let tied = || self.offsets().filter(|group| total(group) == highest);
        let ties: usize = tied().map(|(at, best, _)| self.groups[at].ranking.ties(best)).sum();
        let mut chosen = random.random_range(0..ties);
        for (at, best, _) in tied() {
            let here = self.groups[at].ranking.ties(best);
            if chosen < here {
                return Some((self.groups[at].ranking.any(best, random), highest));
            }
            chosen -= here;
        }
        unreachable!("the ties were counted just above")
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
        let rankings: usize = self.groups.iter().map(|group| group.ranking.size()).sum();
        rankings + self.places.len() * size_of::<Place>() + self.allowed.serialized_size() + size_of::<Self>()
    }

    /// Every feasible row with its total score, for tests that compare a class with one made from scratch.
    #[cfg(test)]
    pub(crate) fn scores(&self) -> std::collections::BTreeMap<Row, i64> {
        let offsets: HashMap<usize, i64> = self.offsets().map(|(at, _, offset)| (at, offset)).collect();
        let rows = (0..).zip(&self.places).filter(|(_, place)| place.position != UNRANKED);
        rows.map(|(row, place)| (row, i64::from(place.score) + offsets[&(place.group as usize)])).collect()
    }
}

/// The classes that have been asked for lately, as many as a byte budget holds.
pub(crate) struct Classes {
    classes: HashMap<Arc<Needs>, Class>,
    budget: usize,
    clock: u64,
}

/// How many uses go by between two looks at the budget.
const REVIEW: u64 = 256;

impl Classes {
    pub(crate) fn new(budget: usize) -> Self {
        Self { classes: HashMap::new(), budget, clock: 0 }
    }

    /// The class of these needs, up to date with the nodes.
    pub(crate) fn get(&mut self, needs: &Arc<Needs>, columns: &Columns) -> &mut Class {
        self.clock += 1;
        if self.clock.is_multiple_of(REVIEW) {
            self.shrink();
        }
        let class = self.classes.entry_ref(needs).or_insert_with(|| Class::new(needs.clone()));
        class.used = self.clock;
        class.refresh(columns);
        class
    }

    /// Drops the classes that were not used for longest until the rest is within the budget.
    fn shrink(&mut self) {
        let mut sizes: Vec<_> = self.classes.values().map(|class| (class.used, class.size())).collect();
        sizes.sort_unstable_by_key(|(used, _)| std::cmp::Reverse(*used));
        let mut sum = 0;
        let first_out = sizes.iter().find(|(_, size)| {
            sum += size;
            sum > self.budget
        });
        if let Some((oldest, _)) = first_out.copied() {
            self.classes.retain(|_, class| class.used > oldest);
        }
    }

    /// Number of classes.
    pub(crate) fn len(&self) -> usize {
        self.classes.len()
    }

    /// Compares every class with one that is made from scratch.
    #[cfg(test)]
    pub(crate) fn consistency_check(&mut self, columns: &Columns) -> Result<(), String> {
        for (needs, class) in &mut self.classes {
            class.refresh(columns);
            let mut fresh = Class::new(needs.clone());
            fresh.refresh(columns);
            if class.scores() != fresh.scores() || class.allowed != fresh.allowed {
                return Err(format!("class {needs:?}: kept {:?}, fresh {:?}", class.scores(), fresh.scores()));
            }
        }
        Ok(())
    }
}
