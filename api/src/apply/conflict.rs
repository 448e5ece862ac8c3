//! Fields that somebody else owns, and what is said about them.

use std::collections::BTreeMap;

use super::element::path_text;
use super::managers::{Manager, Operation};
use super::set::Set;
use crate::status::{Cause, Reason, Status};

/// Fields that an apply would take from their manager.
#[derive(Clone, Debug)]
pub(super) struct Conflict {
    /// In the words of messages.
    pub(super) manager: String,
    pub(super) fields: Set,
}

impl Conflict {
    /// `version` is the one of the manager's fields, as messages call it.
    pub(super) fn new(manager: &Manager<'_>, version: &str, fields: Set) -> Self {
        let mut name = format!("{:?}", manager.name);
        if !manager.subresource.is_empty() {
            name.push_str(&format!(" with subresource {:?}", manager.subresource));
        }
        if manager.operation == Operation::Update {
            name.push_str(&format!(" using {version}"));
        }
        Self { manager: name, fields }
    }
}

/// 409 with a cause for each field.
pub(super) fn refusal(conflicts: Vec<Conflict>) -> Status {
    let mut by_manager: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for Conflict { manager, fields } in conflicts {
        let paths = by_manager.entry(manager).or_default();
        fields.each(&mut |path| paths.push(path_text(path)));
    }
    let count: usize = by_manager.values().map(Vec::len).sum();
    let message = match by_manager.iter().next() {
        Some((manager, paths)) if count == 1 => {
            format!("Apply failed with 1 conflict: conflict with {manager}: {}", paths.join(""))
        }
        _ => {
            let lines = by_manager.iter().flat_map(|(manager, paths)| {
                let paths = paths.iter().map(|path| format!("- {path}"));
                std::iter::once(format!("conflicts with {manager}:")).chain(paths)
            });
            format!("Apply failed with {count} conflicts: {}", lines.collect::<Vec<_>>().join("\n"))
        }
    };
    let mut status = Status::new(Reason::Conflict, message);
    for (manager, paths) in by_manager {
        for field in paths {
            let message = format!("conflict with {manager}");
            status = status.with_cause(Cause { reason: "FieldManagerConflict", message, field });
        }
    }
    status
}
