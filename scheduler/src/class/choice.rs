//! The best row of a class for a pod.
//!
//! Rows that are alike in everything but their local score form a [`Lot`]: one per counts, spot and number of siblings.
//! What normalised scores add is the same for a whole lot, so only the best local score of each has to be looked at.

use rand::{Rng, RngExt};

use super::siblings::{self, Siblings};
use super::{Class, Group};
use crate::columns::Row;
use crate::plugins::{Counts, pod_topology_spread as spreading};
use crate::ranking::Ranking;
use crate::view::Spread;

/// Feasible rows that differ in their local score only; there is one at least.
pub(super) struct Lot<'a> {
    group: &'a Group,
    /// How many pods of the same owner each of them holds.
    siblings: u32,
    /// They are here,
    ranking: &'a Ranking,
    /// without those that are also here.
    except: &'a [siblings::Lot],
    best: u8,
    /// What normalised scores add.
    offset: i64,
}

impl<'a> Lot<'a> {
    fn new(group: &'a Group, siblings: u32, ranking: &'a Ranking, except: &'a [siblings::Lot]) -> Option<Self> {
        let mut lot = Self { group, siblings, ranking, except, best: 0, offset: 0 };
        lot.best = ranking.scores().find(|score| lot.ties(*score) > 0)?;
        Some(lot)
    }

    fn len(&self) -> usize {
        self.ranking.len() - self.except.iter().map(|(_, except)| except.len()).sum::<usize>()
    }

    fn ties(&self, score: u8) -> usize {
        self.ranking.ties(score) - self.except.iter().map(|(_, except)| except.ties(score)).sum::<usize>()
    }

    fn total(&self) -> i64 {
        i64::from(self.best) + self.offset
    }
}

impl Class {
    /// All lots of feasible rows, with what normalised scores add to each.
    fn lots<'a>(&'a self, siblings: Option<&'a Siblings>) -> Vec<Lot<'a>> {
        let mut lots = Vec::new();
        for (at, group) in (0..).zip(&self.groups) {
            let held = siblings.map_or(&[][..], |siblings| siblings.lots(at));
            lots.extend(Lot::new(group, 0, &group.ranking, held));
            lots.extend(held.iter().filter_map(|(count, ranking)| Lot::new(group, *count, ranking, &[])));
        }
        let highest = lots.iter().fold(Counts::default(), |highest, lot| highest.max(lot.group.counts));
        for lot in &mut lots {
            lot.offset = lot.group.counts.score(&self.needs, highest);
        }
        if let (Some(spread), Some(siblings)) = (self.needs.spread, siblings) {
            add_spreading(&mut lots, spread, siblings);
        }
        lots
    }

    /// The best row and its score; ties are broken at random. `None` where no row is feasible.
    pub(super) fn choose(&self, siblings: Option<&Siblings>, random: &mut impl Rng) -> Option<(Row, i64)> {
        let lots = self.lots(siblings);
        let highest = lots.iter().map(Lot::total).max()?;
        let tied = || lots.iter().filter(|lot| lot.total() == highest);
        let ties: usize = tied().map(|lot| lot.ties(lot.best)).sum();
        let mut chosen = random.random_range(0..ties);
        for lot in tied() {
            let here = lot.ties(lot.best);
            if chosen < here {
                let is_other = |row| !lot.except.is_empty() && siblings.is_some_and(|siblings| siblings.hold(row));
                return Some((lot.ranking.any(lot.best, is_other, random), highest));
            }
            chosen -= here;
        }
        unreachable!("the ties were counted just above")
    }

    /// Every feasible row with its total score, for tests that compare a class with one made from scratch.
    #[cfg(test)]
    pub(super) fn scores_with(&self, siblings: Option<&Siblings>) -> std::collections::BTreeMap<Row, i64> {
        let mut scores = std::collections::BTreeMap::new();
        for lot in self.lots(siblings) {
            let is_other = |row: Row| !lot.except.is_empty() && siblings.is_some_and(|siblings| siblings.hold(row));
            let rows = lot.ranking.rows().filter(|(row, _)| !is_other(*row));
            let before = scores.len();
            scores.extend(rows.map(|(row, score)| (row, i64::from(score) + lot.offset)));
            assert_eq!(scores.len() - before, lot.len());
        }
        scores
    }
}

fn add_spreading(lots: &mut [Lot<'_>], spread: Spread, siblings: &Siblings) {
    let counted = || lots.iter().filter(|lot| !spreading::is_ignored(spread, lot.group.spot));
    let mut zones: Vec<_> = counted().map(|lot| lot.group.spot.zone).collect();
    zones.sort_unstable();
    zones.dedup();
    let scale = spreading::Scale::new(spread, counted().map(Lot::len).sum(), zones.len());
    let crowding = |lot: &Lot<'_>| {
        let in_zone = lot.group.spot.zone.map_or(0, |zone| siblings.in_zone(zone));
        scale.crowding(lot.group.spot, lot.siblings, in_zone)
    };
    let lowest = lots.iter().filter_map(crowding).min().unwrap_or_default();
    let highest = lots.iter().filter_map(crowding).max().unwrap_or_default();
    for lot in lots {
        lot.offset += spreading::WEIGHT * spreading::score(crowding(lot), lowest, highest);
    }
}
