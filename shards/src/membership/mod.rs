//! Who lives, and who owns which slot: the directory in the store, and the loop that follows and changes it (DESIGN D6).
//!
//! The store is the only judge. A member holds an ordinal by a lease record that it renews, and slots by records that name
//! its epoch. Every change is one batch, fenced by the records that it was decided from, so that two who decide at once
//! change one thing once. Start reading at [`directory::Directory`], then [`plan`], then [`run`].
//!
//! Invariants:
//! - At no moment do two members believe that they may serve a slot. An owner believes it until [`Timing::ttl`] minus
//!   [`Timing::margin`] after the *start* of its last renewal; others wait until they have seen its lease unchanged for the
//!   whole of the TTL, each on its own boot clock. No wall clock is asked.
//! - A member is fenced as a whole, in one batch, before any of its slots is taken. Its clock's ceiling is final then.
//! - Epochs never come back, and the floor of a slot never falls.
//! - Every change but a renewal writes the generation, so that one who reads the same generation before and after has read
//!   one moment.

use std::time::Duration;

pub mod assign;
pub mod directory;
pub mod fence;
pub mod observer;
pub mod peer;
pub mod pins;
pub mod records;
pub mod register;
pub mod renew;
pub mod roster;

mod batch;
mod holder;
mod jobs;
mod member;
mod plan;
mod run;
mod skew;
#[cfg(test)]
mod tests;

pub use directory::Directory;
pub use member::{Departure, Ended, Member};
pub use peer::{LocalPeers, Peer, PeerError, Peers};
pub use records::{Lease, Pin, Standing};
pub use register::{Identity, JoinError, Registration, register};
pub use roster::{MapSource, Mapping, Roster, RosterMember, Services};

/// How often things are done, and how long one waits for others.
///
/// The defaults serve the slots of a dead shard again within 3 s: it is seen to be dead at most `ttl` and two polls after its
/// last renewal (1.9 s), and what is left is for a fence, a claim, and loading. An owner that cannot renew goes on serving
/// for 1.2 s, which outlasts two renewals that fail.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// A lease that did not change for so long is dead.
    pub ttl: Duration,
    /// By how much an owner stops earlier than that: what two boot clocks may drift apart in a TTL, and the time between the
    /// last look at the lease and the answer.
    pub margin: Duration,
    /// From the start of one renewal to the next.
    pub renew: Duration,
    /// From one look at the others to the next; give or take a quarter.
    pub poll: Duration,
    /// How long a shutdown waits for slots to move.
    pub drain: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            ttl: Duration::from_millis(1500),
            margin: Duration::from_millis(300),
            renew: Duration::from_millis(400),
            poll: Duration::from_millis(150),
            drain: Duration::from_secs(20),
        }
    }
}
