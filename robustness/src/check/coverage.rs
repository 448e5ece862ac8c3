//! Between which versions somebody watched everything.

use api::Version;
use hashbrown::HashMap;

use super::place::{self, Place};
use crate::history::{History, Key, Start, Told};

/// Spans of versions by place.
pub(super) struct Coverage<'a> {
    spans: HashMap<Place<'a>, Vec<Span>>,
}

/// Watched behind the first, up to the second.
type Span = (Version, Version);

impl<'a> Coverage<'a> {
    pub(super) fn of(history: &'a History) -> Self {
        let mut spans: HashMap<Place<'_>, Vec<Span>> = HashMap::new();
        for watch in &history.watches {
            let scope = &watch.scope;
            if scope.tags != 0 || !scope.name.is_empty() {
                continue;
            }
            let from = match watch.start {
                Start::List(version) | Start::Resume(version) => Some(version),
                Start::Initial => watch.lines.iter().find_map(|line| match line.told {
                    Told::Bookmark { version, initial_end: true } => Some(version),
                    _ => None,
                }),
            };
            let reached = watch.lines.iter().map(|line| match line.told {
                Told::Event { version, .. } | Told::Bookmark { version, .. } => version,
            });
            if let (Some(from), Some(to)) = (from, reached.max()) {
                spans.entry(place::of_scope(scope)).or_default().push((from, to));
            }
        }
        for spans in spans.values_mut() {
            spans.sort_unstable();
            let mut merged: Vec<Span> = Vec::new();
            for (from, to) in spans.drain(..) {
                match merged.last_mut() {
                    Some(last) if last.1 >= from => last.1 = last.1.max(to),
                    _ => merged.push((from, to)),
                }
            }
            *spans = merged;
        }
        Self { spans }
    }

    /// Whether one unbroken line of watches told everything behind `from` up to `to`.
    pub(super) fn covers(&self, key: &Key, from: Version, to: Version) -> bool {
        place::of_key(key).any(|place| {
            let Some(spans) = self.spans.get(&place) else { return false };
            let next = spans.partition_point(|span| span.0 <= from);
            next.checked_sub(1).is_some_and(|at| spans[at].1 >= to)
        })
    }
}
