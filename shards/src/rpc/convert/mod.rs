//! The service's words and the protocol's. Bodies, objects and documents pass as the bytes that they are.
//!
//! What a peer says that makes no sense is a [`Misread`]: versions of the program that do not fit, for peers are trusted.

mod answer;
mod request;
mod roster;
mod status;
mod stream;

use api::slot::SlotSet;
use api::status::Reason;
use api::{Registry, ResourceId, Status, Version};

pub(super) use answer::{answer, object, read_answer, read_object};
pub(super) use request::{Context, execute, read_execute};
pub(super) use roster::{pin, read_pin, read_roster, roster};
pub(super) use status::{failure, read_failure};
pub(super) use stream::{Known, event, history, list, read_event, read_history, read_list, read_subscribe, subscribe};

use crate::service::ShardError;

/// What a peer said cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("the peer speaks another version of the internal protocol: {0}")]
pub(super) struct Misread(pub(super) String);

impl From<Misread> for ShardError {
    fn from(misread: Misread) -> Self {
        Self::Status(Status::new(Reason::InternalError, misread.to_string()))
    }
}

/// Something that must be there.
pub(super) fn required<T>(part: Option<T>, what: &str) -> Result<T, Misread> {
    part.ok_or_else(|| Misread(format!("{what} is missing, or of a kind that is not known here")))
}

fn id_name(registry: &Registry, id: ResourceId) -> String {
    registry.id_name(id).to_string()
}

pub(super) fn resource_id(registry: &Registry, id_name: &str) -> Result<ResourceId, Misread> {
    // What is neither built in nor of a group is of another version of the program; which custom kinds there are, a peer may
    // know earlier.
    if registry.named(id_name).is_none() && !id_name.contains('.') {
        return Err(Misread(format!("there are no {id_name} here")));
    }
    Ok(registry.number(id_name))
}

fn version(version: Option<Version>) -> Option<u64> {
    version.map(|version| version.0)
}

fn read_version(version: Option<u64>) -> Option<Version> {
    version.map(Version)
}

pub(super) fn read_slots(bytes: &[u8]) -> Result<SlotSet, Misread> {
    required(SlotSet::of_bytes(bytes), "a set of slots")
}
