//! NodePorts: a host port is given once per address and protocol.

use crate::columns::{Columns, Row};
use crate::view::{HostPort, Needs};

pub(crate) const NAME: &str = "NodePorts";
pub(crate) const REASON: &str = "node(s) didn't have free ports for the requested pod ports";

const ALL: &str = "0.0.0.0";

fn conflict(a: &HostPort, b: &HostPort) -> bool {
    a.port == b.port && a.protocol == b.protocol && (a.ip == b.ip || a.ip == ALL || b.ip == ALL)
}

/// Whether the row's ports leave room for the pod's.
pub(crate) fn fits(needs: &Needs, columns: &Columns, row: Row) -> bool {
    let taken = columns.ports(row);
    needs.charge.ports.iter().all(|wanted| !taken.iter().any(|one| conflict(wanted, one)))
}
