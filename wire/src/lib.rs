//! The internal protocol: what processes of one Shardplane say to each other, and how they know each other (DESIGN D12).
//!
//! gRPC over HTTP/2 over TLS 1.3; the messages are `proto/*.proto`, compiled to [`proto`]. [`pki`] is the internal CA and
//! the roles in its certificates; [`Link`] keeps a connection to a peer, [`serve`] serves; [`store`](mod@store) carries the
//! store's contract over them. The shards' own service is `shards::rpc`, which builds on this crate.
//!
//! Invariants: nobody without a certificate of the internal CA gets further than the handshake; each service names the roles
//! that it serves, each client the role that it calls. An error says whether something may have happened.

use std::time::Duration;

pub mod latest;
pub mod pki;
pub mod proto;
pub mod serve;
pub mod store;

mod codec;
mod connection;
mod cork;
mod link;
mod net;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tls;
mod turn;

pub use connection::{ConnectError, Connection};
pub use cork::{Cork, Corked, cork};
pub use link::{Followed, Link};
pub use net::{Accept, BoxedIo, Dial, Io, Tcp};
pub use pki::{Distrust, Identity, Role};
pub use turn::{Turn, after_others};

/// How long a connection waits for what.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// Everything from the first packet to the peer's first bytes of HTTP/2.
    pub connect: Duration,
    /// A silent connection with calls on it is pinged this often.
    pub ping_every: Duration,
    /// A ping that is not answered for so long ends the connection.
    pub ping_timeout: Duration,
    /// The pause before the second attempt to connect; it doubles.
    pub pause_min: Duration,
    /// The longest pause.
    pub pause_max: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            ping_every: Duration::from_millis(400),
            ping_timeout: Duration::from_millis(800),
            pause_min: Duration::from_millis(20),
            pause_max: Duration::from_secs(1),
        }
    }
}

/// What a peer may send ahead on one stream. A stream that its reader lets wait holds so much at most.
const STREAM_WINDOW: u32 = 1 << 20;
/// … and on all streams of a connection: more than they can hold together, so that none waits for another's reader.
const CONNECTION_WINDOW: u32 = 1 << 30;
/// The largest frame: large bodies go in few pieces.
const FRAME: u32 = 64 << 10;
/// The largest message: a batch as large as a store takes, with room.
pub const MESSAGE_BYTES: usize = 16 << 20;
