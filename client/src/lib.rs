//! What every client of a Kubernetes API shares: calls, reflectors, work queues, membership by Lease.
//!
//! Nothing here knows Shardplane: scheduler, controllers, kubelet and loadtest run against any Kubernetes API. A
//! [`Transport`] is HTTPS to a server ([`https`]) or, within one process, a call that the binary hands in. Start reading at
//! [`Client`], then [`Informer`].

mod api_ref;
mod backoff;
mod call;
mod error;
#[cfg(any(test, feature = "fake"))]
pub mod fake;
pub mod https;
mod informer;
pub mod kubeconfig;
mod membership;
mod meta;
mod query;
mod queue;
mod recorder;
mod request;
mod transport;
mod watch;

pub use api_ref::{ApiRef, known};
pub use call::{Client, ListOptions, Page, WatchEvent, WatchOptions, WatchStream};
pub use error::ClientError;
pub use informer::{Change, Informer, InformerOptions};
pub use membership::{Members, Membership, MembershipOptions};
pub use meta::{Kept, Key, Meta, OwnerReference, identity, tight};
pub use queue::{QueueOptions, WorkQueue};
pub use recorder::{EventKind, Recorder, Regarding};
pub use transport::{BodyStream, Transport, TransportError};
