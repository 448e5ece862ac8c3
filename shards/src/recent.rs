//! Request ids of the last minute and what was answered, so that a write that is sent twice happens once.
//!
//! Ids are stored with the writes, in the logs of the slots. Who loads a slot, after a restart or from another owner, notes
//! what it finds there ([`Recent::note`]), so that an id is answered by whoever owns the slot by then.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use api::{Object, Status, Value, Version};
use hashbrown::HashMap;
use parking_lot::Mutex;

use crate::latest;
use crate::log::Operation;
use crate::sequencer::TableId;
use crate::service::{Answer, Outcome, ShardError};

/// How long an id is known.
pub(crate) const KEPT: Duration = Duration::from_secs(60);
/// Ids that are kept at most; beyond them the oldest go early. Some 50 MB when it is full.
const CAPACITY: usize = 1 << 19;

/// An answer without the object, whose key the request says again and which the table or its ring still holds.
#[derive(Clone, Debug)]
pub(crate) enum Remembered {
    Object {
        code: u16,
        version: Version,
    },
    /// The same with what is rarely there.
    Warned {
        code: u16,
        version: Version,
        warnings: Box<[String]>,
    },
    Document(Box<Answered>),
    Refused(Box<Status>),
    /// Found in a log.
    Logged(Logged),
}

/// An answer that is no object.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    code: u16,
    document: Arc<Value>,
    warnings: Vec<String>,
}

/// What a log says about a request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    pub(crate) table: TableId,
    pub(crate) code: u16,
    pub(crate) operation: Operation,
    pub(crate) version: Version,
}

enum Entry {
    /// With a channel once somebody waits, which is rare.
    Running(Option<latest::Sender<Option<Remembered>>>),
    Done(Remembered),
}

/// What to do with a request.
pub(crate) enum Seen<'a> {
    /// It is new: run it, then say what became of it. Dropped unsaid, the id is forgotten.
    New(Running<'a>),
    /// It runs already: wait for the answer; `None` when that was given up.
    Runs(latest::Receiver<Option<Remembered>>),
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

    /// Notes what a log says, unless it is known better.
    pub(crate) fn note(&self, requests: impl IntoIterator<Item = (u128, Logged)>) {
        let now = self.clock.boot();
        let mut inner = self.inner.lock();
        for (id, logged) in requests {
            let inner = &mut *inner;
            if let hashbrown::hash_map::Entry::Vacant(vacant) = inner.entries.entry(id) {
                vacant.insert(Entry::Done(Remembered::Logged(logged)));
                inner.order.push_back((now, id));
            }
        }
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
                Seen::Runs(waited.get_or_insert_with(|| latest::Sender::new(None)).subscribe())
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
    /// Remembers the answer. What was surely not carried out, or may have been without anybody knowing, is not remembered:
    /// whoever is asked next finds out.
    pub(crate) fn done(self, result: &Result<Answer, ShardError>) {
        let remembered = match result {
            Ok(Answer { code, outcome: Outcome::Object(object), warnings }) if warnings.is_empty() => {
                Remembered::Object { code: *code, version: object.version }
            }
            Ok(Answer { code, outcome: Outcome::Object(object), warnings }) => {
                Remembered::Warned { code: *code, version: object.version, warnings: warnings.as_slice().into() }
            }
            Ok(Answer { code, outcome: Outcome::Document(document), warnings }) => {
                let (code, document, warnings) = (*code, document.clone(), warnings.clone());
                Remembered::Document(Box::new(Answered { code, document, warnings }))
            }
            Err(ShardError::Status(status)) => Remembered::Refused(Box::new(status.clone())),
            Err(_) => return,
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
    /// The answer again. `find` looks an object up by its version, `replay` makes an answer of what a log says.
    pub(crate) fn answer(
        self,
        find: impl Fn(Version) -> Option<Arc<Object>>,
        replay: impl FnOnce(Logged, Arc<Object>) -> Result<Answer, Status>,
    ) -> Result<Answer, Status> {
        let kept = |version| {
            find(version).ok_or_else(|| {
                Status::new(
                    api::status::Reason::Timeout,
                    "the request was carried out, but its answer is no longer kept: read the object again",
                )
            })
        };
        match self {
            Self::Refused(status) => Err(*status),
            Self::Document(answered) => {
                let Answered { code, document, warnings } = *answered;
                Ok(Answer { code, outcome: Outcome::Document(document), warnings })
            }
            Self::Object { code, version } => {
                Ok(Answer { code, outcome: Outcome::Object(kept(version)?), warnings: Vec::new() })
            }
            Self::Warned { code, version, warnings } => {
                Ok(Answer { code, outcome: Outcome::Object(kept(version)?), warnings: warnings.into_vec() })
            }
            Self::Logged(logged) => replay(logged, kept(logged.version)?),
        }
    }
}
