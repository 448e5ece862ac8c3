//! One stream out of many: the events of one resource from every shard, while slots move between shards and shards die
//! (DESIGN D5).
//!
//! [`Merger`] is a state machine without I/O. Start reading there: `opened`, `delivered`, `broken`, `answered`, `expired` are
//! all that happens to it, a [`Sink`] hears what it finds out. [`drive`] feeds it from the live shards of a
//! [`crate::Topology`]. A gateway's relays stand on it, and an [`Informer`], for configuration that shards follow.
//!
//! Each slot is attached to at most one source, and events of a slot from any other are dropped. How far a slot is known
//! ("covered") is kept for groups of slots: those of one source are as far as its watermark. When a source breaks, or says
//! that a slot left it, the slot stays as far as it is. Whoever claims it next is asked for its history from there, and what
//! that source sends meanwhile waits in limbo, because only the answer says where history ends.
//!
//! When two sources claim a slot, the one that has promised more has it. That follows the owner because of what shards keep
//! to (DESIGN D4, D6): an owner announces that it lets a slot go before the slot's floor is chosen, and promises nothing
//! above its stored ceiling; a new owner announces a slot with a watermark that is not below that floor, or above that
//! ceiling. So no watermark of a former owner that still claims the slot reaches its successor's.
//!
//! Invariants: per slot, and over all slots for what is released, events come in version order, each once, none missing
//! behind what the sink was told is lost; nothing at or below a covered version or the mark follows; a slot whose source lives
//! waits for no other.

mod driver;
mod groups;
mod informer;
mod machine;
mod sink;
#[cfg(test)]
mod tests;

pub use driver::{Merging, Sources, drive, nudge};
pub use informer::Informer;
pub use machine::Merger;
pub use sink::{Fetch, FetchId, Gaps, Item, Sink, SourceId};
