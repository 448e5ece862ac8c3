//! TaintToleration: NoSchedule and NoExecute taints keep pods away that do not tolerate them; nodes with the fewest
//! untolerated PreferNoSchedule taints score best.

use roaring::RoaringBitmap;

use super::NodeFilter;
use crate::columns::Columns;
use crate::view::{Effect, Needs, NodeView, Taint};

pub(crate) const WEIGHT: i64 = 3;

pub(crate) struct TaintToleration;

fn is_untolerated(needs: &Needs, taint: &Taint, effect: Effect) -> bool {
    taint.effect() == effect && !needs.tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

impl NodeFilter for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn reason(&self) -> &'static str {
        "node(s) had untolerated taint(s)"
    }

    fn keep(&self, needs: &Needs, columns: &Columns, rows: &mut RoaringBitmap) {
        for (taint, tainted) in &columns.taints {
            if is_untolerated(needs, taint, Effect::Forbids) {
                *rows -= tainted;
            }
        }
    }

    fn allows(&self, needs: &Needs, node: &NodeView) -> bool {
        !node.taints.iter().any(|taint| is_untolerated(needs, taint, Effect::Forbids))
    }
}

/// Untolerated PreferNoSchedule taints of a node: the fewer, the better.
pub(crate) fn count(needs: &Needs, node: &NodeView) -> i64 {
    node.taints.iter().filter(|taint| is_untolerated(needs, taint, Effect::Discourages)).count() as i64
}

/// The bitmaps of the taints that [`count`] counts.
pub(crate) fn counted<'a>(needs: &'a Needs, columns: &'a Columns) -> impl Iterator<Item = &'a RoaringBitmap> {
    columns.taints.iter().filter(|(taint, _)| is_untolerated(needs, taint, Effect::Discourages)).map(|(_, rows)| rows)
}
