//! Server-side apply, and who owns which field (KEP-555; structured-merge-diff v6).
//!
//! Every field of an object may have managers, which metadata.managedFields lists. Who writes a field by an update or a
//! patch takes it from everybody else ([`Tracking::update`]). Who applies a document owns what stands in it, is refused where
//! somebody else owns a field with another value, and gives up what it applied before and does not any more: what nobody
//! else owns of that goes ([`Tracking::apply`]).
//!
//! The parts: an [`Element`] is one step of a path, a [`Set`] is a tree of them ([`fields_v1`] is its JSON); [`place`] reads
//! from the schema how lists and maps are merged; [`mod@compare`], [`mod@merge`], [`mod@remove`], [`mod@field_set`] and
//! [`mod@validate`] are walks of documents along it; [`managers`] reads and writes managedFields; [`reset`] says what each
//! subresource cannot own; [`mod@prune`] is what an apply takes away.
//!
//! A stored object's document holds managedFields as text ([`crate::Object::working_copy`]), so that a write which does not
//! change who owns what costs no more than a look at it.
//!
//! Invariants: applying the same document again changes nothing; a field that its last owner gave up is gone; a write that
//! changes nothing leaves managedFields as they are, to the byte.

mod attempt;
mod compare;
mod conflict;
mod element;
mod field_set;
mod fields_v1;
mod last_applied;
mod managers;
mod merge;
mod named;
mod place;
mod prune;
mod remove;
mod reset;
mod scale;
mod set;
mod track;
mod validate;
mod versions;

pub use attempt::Applied;
pub use compare::Comparison;
pub use element::{Element, Unreadable};
pub use managers::is_same_but_for_times;
pub(crate) use managers::text_of;
pub use scale::ScaleTracking;
pub use set::Set;
pub use track::{Sent, Tracking};
pub use versions::Convert;

#[cfg(test)]
mod tests;
