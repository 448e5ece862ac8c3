//! Where the pods of one owner stand, among the rows of one class.
//!
//! Pods of one class and of different owners share the class's ranking of all rows; they differ in the few rows that hold
//! pods of their own owner. So an owner keeps those rows only, ranked like the class ranks them, and whoever looks for the
//! best row passes over them in the class's ranking. What an owner costs grows with its pods, not with the nodes.

use hashbrown::HashMap;

use super::Place;
use crate::columns::{Columns, Row};
use crate::plugins::node_affinity;
use crate::plugins::pod_topology_spread::is_ignored;
use crate::ranking::Ranking;
use crate::view::{Needs, Owner};

/// Feasible rows that hold so many siblings.
pub(super) type Lot = (u32, Ranking);

/// A row that holds siblings.
struct Held {
    count: u32,
    /// The zone that they are counted in.
    zone: Option<u32>,
    /// Where the row stands, if it is feasible: group of the class, score, and position in the lot.
    place: Option<Place>,
}

/// The rows that hold pods of one owner.
#[derive(Default)]
pub(super) struct Siblings {
    /// How far in the change log this has read.
    seen: u64,
    /// Which of the class's rebuilds it has read.
    built: u64,
    pub(super) used: u64,
    held: HashMap<Row, Held>,
    /// Feasible ones of these rows, by the class's group; none is empty.
    lots: HashMap<u32, Vec<Lot>>,
    /// Numbers of siblings by zone, on nodes that count.
    zones: HashMap<u32, u32>,
}

/// What a class knows, as far as siblings look at it. It is up to date with the columns.
pub(super) struct Ground<'a> {
    pub(super) needs: &'a Needs,
    pub(super) places: &'a [Place],
    pub(super) built: u64,
    pub(super) columns: &'a Columns,
}

impl Siblings {
    /// Takes in what has changed on the nodes and in the class.
    pub(super) fn refresh(&mut self, owner: Owner, ground: &Ground<'_>) {
        let changes = &ground.columns.changes;
        let end = changes.end();
        if (self.seen, self.built) == (end, ground.built) {
            return;
        }
        let rows = ground.columns.owned.rows(owner);
        let count = |row: Row| rows.and_then(|rows| rows.get(&row)).copied().unwrap_or_default();
        match changes.since(self.seen).filter(|_| self.built == ground.built) {
            Some(changes) => {
                for (row, _) in changes {
                    self.drop_row(row);
                    self.add_row(row, count(row), ground);
                }
            }
            None => {
                *self = Self { built: ground.built, used: self.used, ..Self::default() };
                for (row, count) in rows.into_iter().flatten() {
                    self.add_row(*row, *count, ground);
                }
            }
        }
        self.seen = end;
    }

    fn add_row(&mut self, row: Row, count: u32, ground: &Ground<'_>) {
        let (Some(node), true) = (ground.columns.node(row), count > 0) else { return };
        let spot = ground.columns.topology.spot(row);
        let counts = node_affinity::matches(ground.needs, node)
            && ground.needs.spread.is_some_and(|spread| !is_ignored(spread, spot));
        let zone = spot.zone.filter(|_| counts);
        if let Some(zone) = zone {
            *self.zones.entry(zone).or_default() += count;
        }
        let place = ground.places[row as usize];
        let place = place.is_ranked().then(|| {
            let lots = self.lots.entry(place.group).or_default();
            let at = lots.iter().position(|(of, _)| *of == count).unwrap_or_else(|| {
                lots.push((count, Ranking::default()));
                lots.len() - 1
            });
            Place { position: lots[at].1.insert(row, place.score), ..place }
        });
        self.held.insert(row, Held { count, zone, place });
    }

    fn drop_row(&mut self, row: Row) {
        let Some(Held { count, zone, place }) = self.held.remove(&row) else { return };
        if let Some(in_zone) = zone.and_then(|zone| self.zones.get_mut(&zone)) {
            *in_zone -= count;
        }
        let Some(Place { group, position, score }) = place else { return };
        let lots = self.lots.get_mut(&group).expect("a feasible row is in a lot");
        let at = lots.iter().position(|(of, _)| *of == count).expect("a feasible row is in a lot");
        let moved = lots[at].1.remove(score, position);
        if lots[at].1.len() == 0 {
            lots.swap_remove(at);
        }
        if lots.is_empty() {
            self.lots.remove(&group);
        }
        if let Some(place) = moved.and_then(|moved| self.held.get_mut(&moved)?.place.as_mut()) {
            place.position = position;
        }
    }

    /// Whether the row holds siblings.
    pub(super) fn hold(&self, row: Row) -> bool {
        self.held.contains_key(&row)
    }

    /// The rows of a group that hold siblings, by their number.
    pub(super) fn lots(&self, group: u32) -> &[Lot] {
        self.lots.get(&group).map_or(&[], Vec::as_slice)
    }

    /// How many siblings there are in a zone.
    pub(super) fn in_zone(&self, zone: u32) -> u32 {
        self.zones.get(&zone).copied().unwrap_or_default()
    }

    /// Bytes on the heap, about.
    pub(super) fn size(&self) -> usize {
        let lots: usize = self.lots.values().flatten().map(|(_, ranking)| ranking.size() + size_of::<Lot>()).sum();
        lots + 2 * self.held.len() * (size_of::<Row>() + size_of::<Held>()) + size_of::<Self>()
    }
}
