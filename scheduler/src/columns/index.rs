//! Labels of nodes, as bitmaps over rows.

use hashbrown::HashMap;
use roaring::RoaringBitmap;
use smol_str::SmolStr;

use super::Row;
use crate::view::{NodeView, Operator, Requirement};

#[derive(Default)]
struct Key {
    rows: RoaringBitmap,
    values: HashMap<SmolStr, RoaringBitmap>,
}

/// Which rows have which labels.
#[derive(Default)]
pub(crate) struct LabelIndex {
    keys: HashMap<SmolStr, Key>,
}

impl LabelIndex {
    pub(super) fn insert(&mut self, row: Row, node: &NodeView) {
        for (key, value) in &node.meta.labels {
            let key = self.keys.entry_ref(key).or_default();
            key.rows.insert(row);
            key.values.entry_ref(value).or_default().insert(row);
        }
    }

    pub(super) fn remove(&mut self, row: Row, node: &NodeView) {
        for (name, value) in &node.meta.labels {
            let Some(key) = self.keys.get_mut(name) else { continue };
            key.rows.remove(row);
            if let Some(rows) = key.values.get_mut(value) {
                rows.remove(row);
                if rows.is_empty() {
                    key.values.remove(value);
                }
            }
            if key.rows.is_empty() {
                self.keys.remove(name);
            }
        }
    }

    /// Keeps of `rows` those with this label.
    pub(crate) fn keep_equal(&self, key: &str, value: &str, rows: &mut RoaringBitmap) {
        match self.keys.get(key).and_then(|key| key.values.get(value)) {
            Some(equal) => *rows &= equal,
            None => rows.clear(),
        }
    }

    /// Keeps of `rows` those that meet the requirement.
    pub(crate) fn keep(&self, requirement: &Requirement, rows: &mut RoaringBitmap) {
        let key = self.keys.get(&requirement.key);
        let those = |of: &dyn Fn(&str) -> bool| {
            let values = key.into_iter().flat_map(|key| &key.values);
            values.filter(|(value, _)| of(value)).fold(RoaringBitmap::new(), |rows, (_, more)| rows | more)
        };
        let any = |values: &[SmolStr]| {
            let found = values.iter().filter_map(|value| key.and_then(|key| key.values.get(value)));
            found.fold(RoaringBitmap::new(), |rows, more| rows | more)
        };
        match &requirement.operator {
            Operator::In(values) => *rows &= any(values),
            Operator::NotIn(values) => *rows -= any(values),
            Operator::Exists => match key {
                Some(key) => *rows &= &key.rows,
                None => rows.clear(),
            },
            Operator::DoesNotExist => {
                if let Some(key) = key {
                    *rows -= &key.rows;
                }
            }
            compare @ (Operator::Gt(_) | Operator::Lt(_)) => *rows &= those(&|value| compare.matches(Some(value))),
        }
    }

    /// Every label with its rows (`None`: the rows with any value), in no order; for the consistency check.
    pub(super) fn content(&self) -> impl Iterator<Item = (&SmolStr, Option<&SmolStr>, &RoaringBitmap)> {
        self.keys.iter().flat_map(|(name, key)| {
            let values = key.values.iter().map(move |(value, rows)| (name, Some(value), rows));
            std::iter::once((name, None, &key.rows)).chain(values)
        })
    }
}
