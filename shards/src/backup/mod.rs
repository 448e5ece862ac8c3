//! Backups: a state of logical clusters at one version, in a file.
//!
//! A gateway writes one while writes go on (`gateway/src/backup`): it reads each kind page by page, at whatever moment each
//! page is read, and follows what happens meanwhile; when everything was read it chooses the cut V, waits until every shard
//! has promised that nothing at or below V will follow, and writes the state at V of whatever has changed. So a backup needs
//! no past that is longer than a watch needs, and nothing waits for it.
//!
//! [`mod@format`] is what stands in the file: start reading there. [`Cut`] reads the state at V out of one. [`offline`] puts
//! it into a store that holds nothing; into a service that runs it goes through a gateway and [`crate::service::Verb::Restore`].
//!
//! Invariants: nothing of a file is used before all of it was read and its checksums are right; what a [`Cut`] tells is each
//! object of the cut once.

mod cut;
pub mod format;
pub mod offline;
#[cfg(test)]
mod tests;

use std::time::Duration;

use api::Version;

pub use cut::{Cut, Objects};
pub use format::{Count, FormatError, Header, Origin, Part, Piece, Reader, Record, Trailer, Writer};

/// How far ahead of a clock a cut may lie that clocks are raised above.
const AHEAD: Duration = Duration::from_secs(24 * 3600);

/// Whether a version lies too far ahead of now to raise clocks above it: then a clock is wrong, and what is restored would have
/// versions of the far future for good.
pub fn is_far_ahead(version: Version, now: Version) -> bool {
    version.micros() > now.micros() + AHEAD.as_micros() as u64
}

/// Whether this is the EndpointSlice that leads from a cluster to the gateway that serves it: of what every cluster has, the one
/// thing that is about where it runs. It is made anew.
pub fn is_own_endpoint(kind: &str, namespace: &str, name: &str) -> bool {
    (kind, namespace, name) == ("endpointslices.discovery.k8s.io", "default", "kubernetes")
}
