//! NodeUnschedulable: a cordoned node takes only pods that tolerate `node.kubernetes.io/unschedulable`.

use roaring::RoaringBitmap;
use smol_str::SmolStr;

use super::NodeFilter;
use crate::columns::Columns;
use crate::view::{Needs, NodeView, Taint};

pub(crate) struct NodeUnschedulable;

fn tolerates(needs: &Needs) -> bool {
    let taint = Taint {
        key: SmolStr::new_static("node.kubernetes.io/unschedulable"),
        value: SmolStr::default(),
        effect: SmolStr::new_static("NoSchedule"),
    };
    needs.tolerations.iter().any(|toleration| toleration.tolerates(&taint))
}

impl NodeFilter for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn reason(&self) -> &'static str {
        "node(s) were unschedulable"
    }

    fn keep(&self, needs: &Needs, columns: &Columns, rows: &mut RoaringBitmap) {
        if !columns.unschedulable.is_empty() && !tolerates(needs) {
            *rows -= &columns.unschedulable;
        }
    }

    fn allows(&self, needs: &Needs, node: &NodeView) -> bool {
        !node.unschedulable || tolerates(needs)
    }
}
