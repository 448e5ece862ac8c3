//! NodeAffinity: nodeSelector and required node affinity must match; nodes that match more of the preferred terms, by
//! weight, score better.

use roaring::RoaringBitmap;

use super::NodeFilter;
use crate::columns::Columns;
use crate::view::{Needs, NodeView, Term};

pub(crate) const WEIGHT: i64 = 2;

/// Said of nodes that the required affinity does not even name, where all its terms name nodes.
pub(crate) const NOT_NAMED: &str = "node(s) didn't satisfy plugin(s) [NodeAffinity]";

/// Said of a required affinity whose terms name no node that could meet them.
pub(crate) const CONFLICT: &str = "pod affinity terms conflict";

pub(crate) struct NodeAffinity;

impl NodeFilter for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn reason(&self) -> &'static str {
        "node(s) didn't match Pod's node affinity/selector"
    }

    fn keep(&self, needs: &Needs, columns: &Columns, rows: &mut RoaringBitmap) {
        for (key, value) in &needs.node_selector {
            columns.labels.keep_equal(key, value, rows);
        }
        if let Some(terms) = &needs.required {
            *rows = terms.iter().fold(RoaringBitmap::new(), |any, term| any | term_rows(term, columns, rows.clone()));
        }
        keep_named(needs, columns, rows);
    }

    fn allows(&self, needs: &Needs, node: &NodeView) -> bool {
        matches(needs, node) && needs.only_names.as_ref().is_none_or(|names| names.contains(node.name()))
    }
}

/// Whether the node is one that nodeSelector and the required affinity select.
pub(crate) fn matches(needs: &Needs, node: &NodeView) -> bool {
    needs.node_selector.iter().all(|(key, value)| node.meta.labels.get(key) == Some(value))
        && needs.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
}

/// Keeps of `rows` the nodes that the required affinity names, where all its terms name nodes.
pub(crate) fn keep_named(needs: &Needs, columns: &Columns, rows: &mut RoaringBitmap) {
    if let Some(names) = &needs.only_names {
        *rows &= names.iter().filter_map(|name| columns.row(name)).collect::<RoaringBitmap>();
    }
}

/// Of `rows` those that the term matches.
pub(crate) fn term_rows(term: &Term, columns: &Columns, mut rows: RoaringBitmap) -> RoaringBitmap {
    for requirement in &term.labels {
        columns.labels.keep(requirement, &mut rows);
    }
    for field in &term.fields {
        match field.is_name {
            true => {
                let named: RoaringBitmap = columns.row(&field.value).into_iter().collect();
                if field.equal {
                    rows &= named;
                } else {
                    rows -= named;
                }
            }
            false if !field.matches("") => rows.clear(),
            false => (),
        }
    }
    rows
}

/// The weights of the preferred terms that match the node.
pub(crate) fn count(needs: &Needs, node: &NodeView) -> i64 {
    needs.preferred.iter().filter(|one| one.term.matches(node)).map(|one| i64::from(one.weight)).sum()
}
