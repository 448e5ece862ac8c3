//! NodeName: a pod that names its node goes there or nowhere.

use roaring::RoaringBitmap;

use super::NodeFilter;
use crate::columns::Columns;
use crate::view::{Needs, NodeView};

pub(crate) struct NodeName;

impl NodeFilter for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn reason(&self) -> &'static str {
        "node(s) didn't match the requested node name"
    }

    fn keep(&self, needs: &Needs, columns: &Columns, rows: &mut RoaringBitmap) {
        if !needs.node_name.is_empty() {
            *rows &= RoaringBitmap::from_iter(columns.row(&needs.node_name));
        }
    }

    fn allows(&self, needs: &Needs, node: &NodeView) -> bool {
        needs.node_name.is_empty() || needs.node_name == *node.name()
    }
}
