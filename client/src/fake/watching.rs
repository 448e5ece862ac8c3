//! Lists and watches.

use api::Value;
use api::document::Document;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde_json::json;
use tokio::sync::watch;

use super::FakeApi;
use super::path::Path;
use super::state::{Answer, Entry, State, failure};
use crate::{BodyStream, TransportError};

/// Which objects of a collection are asked for.
pub(super) struct Selection {
    path: Path,
    labels: String,
    fields: String,
}

impl Selection {
    pub(super) fn new(path: Path, get: &impl Fn(&str) -> String) -> Self {
        Self { path, labels: get("labelSelector"), fields: get("fieldSelector") }
    }

    fn has(&self, path: &str, object: &Value) -> bool {
        self.path.contains(path)
            && self.labels.split(',').filter(|term| !term.is_empty()).all(|term| match term.split_once('=') {
                Some((key, value)) => object.text(&["metadata", "labels", key.trim_end_matches('!')]) == value,
                None => !object.at(&["metadata", "labels", term]).is_null(),
            })
            && self.fields.split(',').filter_map(|term| term.split_once('=')).all(|(field, value)| {
                let (field, wanted) = (field.trim_end_matches('!'), !field.ends_with('!'));
                let steps: Vec<&str> = field.split('.').collect();
                (object.text(&steps) == value.trim_start_matches('=')) == wanted
            })
    }

    fn event(&self, entry: &Entry) -> Option<Value> {
        let old = entry.old.as_ref().filter(|old| self.has(&entry.path, old));
        let new = entry.new.as_ref().filter(|new| self.has(&entry.path, new));
        match (old, new) {
            (None, None) => None,
            (None, Some(new)) => Some(json!({"type": "ADDED", "object": new})),
            (Some(_), Some(new)) => Some(json!({"type": "MODIFIED", "object": new})),
            (Some(old), None) => {
                let mut last = old.clone();
                last.set(&["metadata", "resourceVersion"], entry.version.to_string());
                Some(json!({"type": "DELETED", "object": last}))
            }
        }
    }
}

impl State {
    /// A page of the newest state, of that of a version, or of that which the page before was of.
    pub(super) fn list(&self, selection: &Selection, limit: usize, version: Option<u64>, token: &str) -> Answer {
        let (version, after) = match token.split_once(' ') {
            Some((version, after)) => (version.parse().unwrap_or(0), after),
            None => (version.unwrap_or(self.version), ""),
        };
        if version < self.oldest {
            return failure(410, "Expired", &format!("too old resource version: {version} ({})", self.oldest));
        }
        let past = (version < self.version).then(|| self.at(version));
        let objects = past.as_ref().unwrap_or(&self.objects);
        let mut all = objects.iter().filter(|(path, object)| path.as_str() > after && selection.has(path, object));
        let limit = if limit == 0 { usize::MAX } else { limit };
        let page: Vec<_> = all.by_ref().take(limit).collect();
        let more = all.next().is_some();
        let token = page.last().filter(|_| more).map(|(path, _)| format!("{version} {path}")).unwrap_or_default();
        let items: Vec<&Value> = page.iter().map(|(_, object)| *object).collect();
        (200, json!({"metadata": {"resourceVersion": version.to_string(), "continue": token}, "items": items}))
    }
}

struct Watching {
    api: FakeApi,
    selection: Selection,
    position: u64,
    /// Where the client believes to be: bookmarks raise it.
    told: u64,
    first: Vec<Value>,
    cuts: u64,
    changed: watch::Receiver<u64>,
}

/// Opens a watch, or says why not.
pub(super) fn open(
    api: &FakeApi,
    selection: Selection,
    from: &str,
    initial_events: bool,
) -> Result<BodyStream, Answer> {
    let state = api.state.lock();
    let from: Option<u64> = from.parse().ok().filter(|version| *version > 0);
    if let Some(from) = from.filter(|from| *from < state.oldest) {
        let message = format!("too old resource version: {from} ({})", state.oldest);
        return Err(failure(410, "Expired", &message));
    }
    let mut first = Vec::new();
    let position = match from {
        Some(from) if !initial_events => from,
        _ => {
            let inside = state.objects.iter().filter(|(path, object)| selection.has(path, object));
            first.extend(inside.map(|(_, object)| json!({"type": "ADDED", "object": object})));
            state.version
        }
    };
    if initial_events {
        first.push(json!({"type": "BOOKMARK", "object": {"metadata": {
            "resourceVersion": position.to_string(), "annotations": {"k8s.io/initial-events-end": "true"}}}}));
    }
    let (cuts, changed) = (state.cuts, api.changed.subscribe());
    drop(state);
    let watching = Watching { api: api.clone(), selection, position, told: position, first, cuts, changed };
    let stream = unfold(watching, |mut watching| async { watching.next().await.map(|chunk| (chunk, watching)) });
    Ok(stream.boxed())
}

impl Watching {
    async fn next(&mut self) -> Option<Result<Bytes, TransportError>> {
        loop {
            let mut events = std::mem::take(&mut self.first);
            {
                let state = self.api.state.lock();
                if state.cuts != self.cuts {
                    let broken = TransportError { message: "the connection broke".into(), sent: true };
                    return state.down.then_some(Err(broken));
                }
                if self.position < state.oldest {
                    let (_, status) = failure(410, "Expired", "too old resource version");
                    let line = format!("{}\n", json!({"type": "ERROR", "object": status}));
                    self.cuts = u64::MAX;
                    return Some(Ok(line.into()));
                }
                let from = state.log.partition_point(|entry| entry.version <= self.position);
                events.extend(state.log[from..].iter().filter_map(|entry| self.selection.event(entry)));
                self.position = state.version;
            }
            if events.is_empty() && self.position > self.told + 100 {
                events.push(json!({"type": "BOOKMARK", "object": {"metadata": {
                    "resourceVersion": self.position.to_string()}}}));
            }
            if !events.is_empty() {
                self.told = self.position;
                let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
                return Some(Ok(lines.into()));
            }
            self.changed.changed().await.ok()?;
        }
    }
}
