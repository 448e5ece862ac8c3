//! What the scheduler keeps of pods and nodes: slim views, with quantities already added up.
//!
//! An informer parses each object once and shares it between all schedulers of a process, so everything that is worth
//! computing once per version of an object is computed here: [`PodView`] holds what a pod takes from its node
//! ([`Charge`]) and, while it is not bound, what it asks of one ([`Needs`]).

mod affinity;
mod node;
mod pod;
mod requests;
mod spread;
mod toleration;

pub use affinity::{FieldRequirement, Operator, Requirement, Term};
pub use node::{Allocatable, NodeView};
pub use pod::{Charge, HostPort, Needs, PodView, Preferred, Scheduled};
pub use requests::Requests;
pub use spread::{HOST, Owner, Spread, ZONE};
pub use toleration::{Effect, Taint, Toleration};
