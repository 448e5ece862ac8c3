//! Records of a history as lines to read.

use crate::history::{Change, End, History, Listed, Outcome, Start, Told, Verb};

use super::log::Source;

/// One operation.
pub(super) fn operation(history: &History, at: usize) -> String {
    let operation = &history.operations[at];
    let verb = match operation.verb {
        Verb::Create => "create".to_owned(),
        Verb::Get => "get".to_owned(),
        Verb::Update(of) => format!("update{}", from(of)),
        Verb::Patch(of) => format!("patch{}", from(of)),
        Verb::Delete(of) => format!("delete{}", from(of)),
    };
    let outcome = match operation.outcome {
        Outcome::Done { version, state } => format!("version {version}, written by w{}", state.write.0),
        Outcome::Deleted { version: Some(version) } => format!("deleted at {version}"),
        Outcome::Deleted { version: None } => "deleted".to_owned(),
        other => format!("{other:?}"),
    };
    let write = if operation.write.0 == 0 { String::new() } else { format!(" w{}", operation.write.0) };
    let returned = operation.returned.map_or_else(|| "…".to_owned(), |returned| returned.to_string());
    let key = history.key(operation.key);
    format!("client {} [{}, {returned}] {verb} {key}{write}: {outcome}", operation.client, operation.invoked)
}

fn from(version: Option<api::Version>) -> String {
    version.map(|version| format!(" from {version}")).unwrap_or_default()
}

/// One page.
pub(super) fn list(history: &History, at: usize) -> String {
    let list = &history.lists[at];
    let outcome = match &list.outcome {
        Listed::Page { version, items, more } => {
            format!("{} items at {version}{}", items.len(), if *more { ", more to come" } else { "" })
        }
        Listed::Expired => "expired".to_owned(),
        Listed::Failed => "failed".to_owned(),
    };
    let returned = list.returned.map_or_else(|| "…".to_owned(), |returned| returned.to_string());
    format!(
        "client {} [{}, {returned}] list {} {:?}, chain {} page {}: {outcome}",
        list.client, list.invoked, list.scope, list.at, list.chain, list.page
    )
}

/// A watch's head.
pub(super) fn watch(history: &History, at: usize) -> String {
    let watch = &history.watches[at];
    let start = match watch.start {
        Start::List(version) => format!("from a list at {version}"),
        Start::Resume(version) => format!("resumed from {version}"),
        Start::Initial => "with the state first".to_owned(),
    };
    let end = match watch.end {
        End::Open => String::new(),
        other => format!(", {other:?}"),
    };
    format!("watch {at} of client {} on {} opened {} {start}{end}", watch.client, watch.scope, watch.opened)
}

/// One line of a watch.
pub(super) fn line(history: &History, watch: usize, at: usize) -> String {
    let line = &history.watches[watch].lines[at];
    let told = match line.told {
        Told::Event { change, key, version, state } => {
            let change = match change {
                Change::Added => "ADDED",
                Change::Modified => "MODIFIED",
                Change::Deleted => "DELETED",
            };
            format!("{change} {} at {version}, written by w{}", history.key(key), state.write.0)
        }
        Told::Bookmark { version, initial_end } => {
            format!("BOOKMARK {version}{}", if initial_end { " (end of the state)" } else { "" })
        }
    };
    format!("watch {watch} line {at} [{}] {told}", line.time)
}

/// The lines of a watch around one of them.
pub(super) fn around(history: &History, watch_at: usize, at: usize) -> Vec<String> {
    let lines = &history.watches[watch_at].lines;
    let from = at.saturating_sub(1);
    let mut shown = vec![watch(history, watch_at)];
    shown.extend((from..lines.len().min(at + 1)).map(|at| line(history, watch_at, at)));
    shown
}

/// Where something is known from.
pub(super) fn source(history: &History, source: Source) -> String {
    match source {
        Source::Operation(at) => operation(history, at),
        Source::List(at) => list(history, at),
        Source::Watch(watch, at) => line(history, watch, at),
    }
}
