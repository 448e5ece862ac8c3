//! How many pods of each owner stand on which rows.

use hashbrown::HashMap;

use super::Row;
use crate::view::Owner;

/// Numbers of pods by owner and row; there are no zeros and no empty maps.
#[derive(Default)]
pub(crate) struct Owned {
    rows: HashMap<Owner, HashMap<Row, u32>>,
}

impl Owned {
    /// The rows that hold pods of an owner, with their number.
    pub(crate) fn rows(&self, owner: Owner) -> Option<&HashMap<Row, u32>> {
        self.rows.get(&owner)
    }

    pub(super) fn add(&mut self, owner: Option<Owner>, row: Row) {
        let Some(owner) = owner else { return };
        *self.rows.entry(owner).or_default().entry(row).or_default() += 1;
    }

    pub(super) fn remove(&mut self, owner: Option<Owner>, row: Row) {
        let Some(owner) = owner else { return };
        let Some(rows) = self.rows.get_mut(&owner) else { return };
        if let Some(count) = rows.get_mut(&row) {
            *count -= 1;
            if *count == 0 {
                rows.remove(&row);
            }
        }
        if rows.is_empty() {
            self.rows.remove(&owner);
        }
    }

    /// Everything, in no order; for the consistency check.
    pub(super) fn content(&self) -> impl Iterator<Item = (Owner, Row, u32)> {
        self.rows.iter().flat_map(|(owner, rows)| rows.iter().map(|(row, count)| (*owner, *row, *count)))
    }
}
