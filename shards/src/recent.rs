//! Request ids of the last minute and what was answered, so that a write that is sent twice happens once.
//!
//! In memory only: an id that was sent to a former owner of the slot, or before a restart, is not known here. Settling
//! those from the stored batches has its place in this file.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::{Object, Status, Value, Version};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::service::{Answer, Outcome};

/// How long an id is known.
const KEPT: Duration = Duration::from_secs(60);
/// Ids that are kept at most; beyond them the oldest go early.
const CAPACITY: usize = 1 << 16;

/// An answer without the object, whose key the request says again and which the table or its ring still holds.
#[derive(Clone, Debug)]
pub(crate) enum Remembered {
    Object { code: u16, version: Version, warnings: Vec<String> },
    Document { code: u16, document: Arc<Value>, warnings: Vec<String> },
    Refused(Status),
}

enum Entry {
    /// With a channel once somebody waits, which is rare.
    Running(Option<watch::Sender<Option<Remembered>>>),
    Done(Remembered),
}

/// What to do with a request.
pub(crate) enum Seen<'a> {
    /// It is new: run it, then say what became of it. Dropped unsaid, the id is forgotten.
    New(Running<'a>),
    /// It runs already: wait for the answer; `None` when that was given up.
    Runs(watch::Receiver<Option<Remembered>>),
    /// It was answered.
    Was(Remembered),
}

#[derive(Default)]
struct Inner {
    entries: HashMap<u128, Entry>,
    order: VecDeque<(Duration, u128)>,
}

/// See the module.
pub(crate) struct Recent {
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
}

impl Recent {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, inner: Mutex::default() }
    }

    /// Looks an id up, and notes it as running when it is new.
    pub(crate) fn begin(&self, id: u128) -> Seen<'_> {
        let now = self.clock.boot();
        let mut inner = self.inner.lock();
        while let Some((at, oldest)) = inner.order.front().copied() {
            if inner.order.len() < CAPACITY && now.saturating_sub(at) < KEPT {
                break;
            }
            inner.order.pop_front();
            inner.entries.remove(&oldest);
        }
        match inner.entries.get_mut(&id) {
            Some(Entry::Running(waited)) => {
                Seen::Runs(waited.get_or_insert_with(|| watch::Sender::new(None)).subscribe())
            }
            Some(Entry::Done(remembered)) => Seen::Was(remembered.clone()),
            None => {
                inner.entries.insert(id, Entry::Running(None));
                inner.order.push_back((now, id));
                Seen::New(Running { recent: self, id })
            }
        }
    }
}

/// A request that is being carried out.
pub(crate) struct Running<'a> {
    recent: &'a Recent,
    id: u128,
}

impl Running<'_> {
    /// Remembers the answer.
    pub(crate) fn done(self, result: &Result<Answer, Status>) {
        let remembered = match result {
            Ok(Answer { code, outcome: Outcome::Object(object), warnings }) => {
                Remembered::Object { code: *code, version: object.version, warnings: warnings.clone() }
            }
            Ok(Answer { code, outcome: Outcome::Document(document), warnings }) => {
                Remembered::Document { code: *code, document: document.clone(), warnings: warnings.clone() }
            }
            Err(status) => Remembered::Refused(status.clone()),
        };
        let mut inner = self.recent.inner.lock();
        let Some(entry) = inner.entries.get_mut(&self.id) else { return };
        let waited = match entry {
            Entry::Running(waited) => waited.take(),
            Entry::Done(_) => None,
        };
        if let Some(waited) = waited {
            waited.send_replace(Some(remembered.clone()));
        }
        *entry = Entry::Done(remembered);
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        let mut inner = self.recent.inner.lock();
        if matches!(inner.entries.get(&self.id), Some(Entry::Running(_))) {
            inner.entries.remove(&self.id);
        }
    }
}

impl Remembered {
    /// The answer again. `find` looks an object up by its version.
    pub(crate) fn answer(self, find: impl FnOnce(Version) -> Option<Arc<Object>>) -> Result<Answer, Status> {
        match self {
            Self::Refused(status) => Err(status),
            Self::Document { code, document, warnings } => {
                Ok(Answer { code, outcome: Outcome::Document(document), warnings })
            }
            Self::Object { code, version, warnings } => match find(version) {
                Some(object) => Ok(Answer { code, outcome: Outcome::Object(object), warnings }),
                None => Err(Status::new(
                    api::status::Reason::Timeout,
                    "the request was carried out, but its answer is no longer kept: read the object again",
                )),
            },
        }
    }
}
