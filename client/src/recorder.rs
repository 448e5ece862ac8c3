//! Events about objects, aggregated as client-go's recorder does, written in the background.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use crate::{ApiRef, Client, Meta};

/// `Normal` or `Warning`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// As it should be.
    Normal,
    /// Somebody should look.
    Warning,
}

/// The object that an event is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Regarding {
    /// Its kind.
    pub api: ApiRef,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
    /// fieldPath, as in `spec.containers{nginx}`; may be empty.
    pub field_path: String,
}

impl Regarding {
    /// About an object.
    pub fn object(api: ApiRef, meta: &Meta) -> Self {
        Self {
            api,
            namespace: meta.namespace.to_string(),
            name: meta.name.to_string(),
            uid: meta.uid.to_string(),
            field_path: String::new(),
        }
    }
}

/// Writes events. Cheap to clone; never blocks its caller: when its bounded queue is full, events are counted and dropped.
#[derive(Clone)]
pub struct Recorder {
    inner: Arc<()>,
}

impl Recorder {
    /// A recorder for `component` (source.component, reportingComponent) on `host` (may be empty).
    pub fn start(_client: Client, _component: &str, _host: &str, _shutdown: CancellationToken) -> Self {
        todo!()
    }

    /// Records one event. Repeats of the same within ten minutes raise its count instead.
    pub fn event(&self, _regarding: &Regarding, _kind: EventKind, _reason: &str, _message: &str) {
        todo!()
    }
}
