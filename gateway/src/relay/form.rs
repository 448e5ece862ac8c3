//! What is sent for an event: made when first asked for, shared by every watcher that waits for it (DESIGN D2).

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};

use api::{Object, Resource, Version};
use bytes::Bytes;
use parking_lot::Mutex;
use shards::merge::Item;
use shards::service::Event;
use smallvec::SmallVec;

use crate::forms::Forms;
use crate::media::Encoding;
use crate::render;

/// What a watcher is told about an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The object is new, or has come into the selector.
    Added,
    /// It was there before.
    Modified,
    /// It is gone.
    Deleted,
    /// It is there, but has left the selector: told as DELETED, with its previous state at the new version.
    Left,
}

impl Change {
    /// `type` of the watch event.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted | Self::Left => "DELETED",
        }
    }
}

/// In which shape objects are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// As they are.
    Object,
    /// metav1.PartialObjectMetadata, of that version of meta.k8s.io.
    Metadata(&'static str),
}

/// Which bytes of an event are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FormKey {
    pub(crate) change: Change,
    /// Index into `Resource::served`.
    pub(crate) served: usize,
    pub(crate) shape: Shape,
    pub(crate) encoding: Encoding,
}

/// One event in one form. Lives as long as somebody has yet to send it.
#[derive(Debug)]
pub(crate) struct Form {
    pub(crate) event: Arc<Event>,
    pub(crate) key: FormKey,
    /// What it was made of in the version of `key`, where that is not what is stored.
    read: OnceLock<Arc<Object>>,
    bytes: OnceLock<Bytes>,
}

impl Form {
    /// The line or frame of the stream. `encodings` counts how often one was made.
    pub(crate) fn bytes(&self, resource: &Resource, encodings: &AtomicU64, forms: &Forms) -> &Bytes {
        self.bytes.get_or_init(|| {
            encodings.fetch_add(1, Ordering::Relaxed);
            let FormKey { change, served, shape, encoding } = self.key;
            render::event(change.name(), resource, served, &self.object(), shape, encoding, forms)
        })
    }

    /// The object that the event shows.
    pub(crate) fn object(&self) -> Arc<Object> {
        match (self.key.change, &self.event.old, self.read.get()) {
            (Change::Left | Change::Deleted, Some(_), Some(read)) => Arc::new(read.at_version(self.event.version)),
            (Change::Left, Some(old), None) => Arc::new(old.at_version(self.event.version)),
            (.., Some(read)) => read.clone(),
            (.., None) => self.event.object.clone(),
        }
    }

    /// What has to be read in the version of the key: of what is gone its last state, which may have been read before.
    pub(crate) fn source(&self) -> &Arc<Object> {
        match (self.key.change, &self.event.old) {
            (Change::Left | Change::Deleted, Some(old)) => old,
            _ => &self.event.object,
        }
    }

    pub(crate) fn is_read(&self) -> bool {
        self.read.get().is_some()
    }

    /// The source in the version of the key.
    pub(crate) fn set_read(&self, object: Arc<Object>) {
        // Whoever was first has set the same.
        let _ = self.read.set(object);
    }
}

/// The forms that an event was wanted in: one, for most.
type Known = SmallVec<[(FormKey, Weak<Form>); 1]>;

/// An event in a relay's rings: clones are the same one. It remembers its forms only as long as somebody else holds them,
/// so that the rings cost pointers and laggards still share.
#[derive(Clone, Debug)]
pub(crate) struct Relayed(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    event: Arc<Event>,
    cost: usize,
    forms: Mutex<Known>,
}

impl Relayed {
    pub(crate) fn version(&self) -> Version {
        self.0.event.version
    }

    pub(crate) fn form(&self, key: FormKey) -> Arc<Form> {
        let mut forms = self.0.forms.lock();
        if let Some(form) = forms.iter().find(|(have, _)| *have == key).and_then(|(_, form)| form.upgrade()) {
            return form;
        }
        forms.retain(|(_, form)| form.strong_count() > 0);
        let form = Arc::new(Form { event: self.0.event.clone(), key, read: OnceLock::new(), bytes: OnceLock::new() });
        forms.push((key, Arc::downgrade(&form)));
        form
    }
}

impl Item for Relayed {
    fn of(event: Arc<Event>) -> Self {
        // The event, its pointers and its place in the shard's own ring.
        let cost = event.object.cost() + 128;
        Self(Arc::new(Shared { event, cost, forms: Mutex::default() }))
    }

    fn event(&self) -> &Event {
        &self.0.event
    }

    fn cost(&self) -> usize {
        self.0.cost
    }
}
