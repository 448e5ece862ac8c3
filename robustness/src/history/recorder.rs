//! Takes down what clients see, while they see it.
//!
//! Each client writes to a page of its own behind a lock that nobody else wants until the history is taken, so 64 writers
//! and 200 watchers do not wait for each other. What is under way when the history is taken stands in it as open.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Version;
use api::ambient::Clock;
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};

use super::{
    At, Change, End, History, Key, KeyId, Line, List, Listed, Micros, Operation, Outcome, Scope, Start, State, Told,
    Verb, Watch, WriteId,
};

#[derive(Default)]
struct Page {
    operations: Vec<Operation>,
    lists: Vec<List>,
    watches: Vec<Watch>,
}

#[derive(Default)]
struct Keys {
    ids: HashMap<Key, KeyId>,
    keys: Vec<Key>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    began: Duration,
    /// The newest time that was given out.
    last: AtomicU64,
    /// The newest id of a write or chain.
    ids: AtomicU64,
    keys: RwLock<Keys>,
    terms: Vec<String>,
    pages: Mutex<Vec<Arc<Mutex<Page>>>>,
    crashes: Mutex<Vec<Micros>>,
}

/// The collector of one run. Cheap to clone.
#[derive(Clone)]
pub struct Recorder {
    shared: Arc<Shared>,
}

/// One client's part of the history.
pub struct ClientLog {
    shared: Arc<Shared>,
    page: Arc<Mutex<Page>>,
    client: u32,
}

/// An operation under way.
#[derive(Debug)]
#[must_use = "an operation that is not finished counts as one of unknown outcome"]
pub struct Call(usize);

/// A list under way.
#[derive(Debug)]
#[must_use = "a list that is not finished counts as failed"]
pub struct OpenList(usize);

/// A watch under way.
#[derive(Debug)]
pub struct OpenWatch(usize);

impl Recorder {
    /// A recorder that tells the time by a clock; `terms` are what the bits of [`State::tags`] mean, at most 64.
    pub fn new(clock: Arc<dyn Clock>, terms: Vec<String>) -> Self {
        let began = clock.boot();
        let shared = Shared {
            clock,
            began,
            last: AtomicU64::new(0),
            ids: AtomicU64::new(0),
            keys: RwLock::default(),
            terms,
            pages: Mutex::default(),
            crashes: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// A new client.
    pub fn client(&self) -> ClientLog {
        let mut pages = self.shared.pages.lock();
        let page: Arc<Mutex<Page>> = Arc::default();
        pages.push(page.clone());
        let client = u32::try_from(pages.len()).expect("a run has fewer clients");
        ClientLog { shared: self.shared.clone(), page, client }
    }

    /// The id of a name.
    pub fn key(&self, key: &Key) -> KeyId {
        self.shared.key(key)
    }

    /// The time now, as the history tells it.
    pub fn now(&self) -> Micros {
        self.shared.stamp()
    }

    /// A server crashes now: what it acknowledged early may be lost.
    pub fn crash(&self) {
        let now = self.now();
        self.shared.crashes.lock().push(now);
    }

    /// What was seen until now.
    pub fn history(&self) -> History {
        let pages = self.shared.pages.lock();
        let mut history = History { terms: self.shared.terms.clone(), ..History::default() };
        for page in &*pages {
            let page = page.lock();
            history.operations.extend_from_slice(&page.operations);
            history.lists.extend_from_slice(&page.lists);
            history.watches.extend_from_slice(&page.watches);
        }
        // Taken last: every key that a page names is in it.
        history.keys = self.shared.keys.read().keys.clone();
        history.crashes.clone_from(&self.shared.crashes.lock());
        history
    }
}

impl Shared {
    /// Later than every time that was given out before.
    fn stamp(&self) -> Micros {
        let now = self.clock.boot().saturating_sub(self.began).as_micros();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let before = self.last.fetch_update(Ordering::AcqRel, Ordering::Acquire, |last| Some(now.max(last + 1)));
        let before = before.unwrap_or_else(|last| last);
        now.max(before + 1)
    }

    fn key(&self, key: &Key) -> KeyId {
        if let Some(id) = self.keys.read().ids.get(key) {
            return *id;
        }
        let mut keys = self.keys.write();
        let next = KeyId(u32::try_from(keys.keys.len()).expect("a run has fewer keys"));
        let id = *keys.ids.entry(key.clone()).or_insert(next);
        if id == next {
            keys.keys.push(key.clone());
        }
        id
    }

    fn id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }
}

impl ClientLog {
    /// The id of a name.
    pub fn key(&self, key: &Key) -> KeyId {
        self.shared.key(key)
    }

    /// An id for the next write, to be put into the object.
    pub fn write_id(&self) -> WriteId {
        WriteId(self.shared.id())
    }

    /// An operation begins. `write` is zero for deletes and reads.
    pub fn invoke(&mut self, key: KeyId, verb: Verb, write: WriteId) -> Call {
        let invoked = self.shared.stamp();
        let mut page = self.page.lock();
        page.operations.push(Operation {
            client: self.client,
            invoked,
            returned: None,
            key,
            verb,
            write,
            outcome: Outcome::Unknown,
        });
        Call(page.operations.len() - 1)
    }

    /// It ended.
    pub fn returned(&mut self, call: Call, outcome: Outcome) {
        let returned = self.shared.stamp();
        let operation = &mut self.page.lock().operations[call.0];
        operation.returned = Some(returned);
        operation.outcome = outcome;
    }

    /// The first page of a list is asked for.
    pub fn list(&mut self, scope: Scope, at: At) -> OpenList {
        let chain = self.shared.id();
        self.page_of(scope, at, chain, 0, false)
    }

    /// The same, after all writes have ended.
    pub fn last_list(&mut self, scope: Scope) -> OpenList {
        let chain = self.shared.id();
        self.page_of(scope, At::Latest, chain, 0, true)
    }

    /// A page ended; `Some` where it has a continue token, for the page after it, which begins now.
    pub fn listed(&mut self, list: OpenList, outcome: Listed) -> Option<OpenList> {
        let more = matches!(outcome, Listed::Page { more: true, .. });
        let returned = self.shared.stamp();
        let (scope, at, chain, page, last) = {
            let list = &mut self.page.lock().lists[list.0];
            list.returned = Some(returned);
            list.outcome = outcome;
            (list.scope.clone(), list.at, list.chain, list.page, list.last)
        };
        more.then(|| self.page_of(scope, at, chain, page + 1, last))
    }

    fn page_of(&mut self, scope: Scope, at: At, chain: u64, page: u32, last: bool) -> OpenList {
        let (client, invoked) = (self.client, self.shared.stamp());
        let lists = &mut self.page.lock().lists;
        lists.push(List { client, invoked, returned: None, scope, at, chain, page, last, outcome: Listed::Failed });
        OpenList(lists.len() - 1)
    }

    /// A watch is asked for.
    pub fn watch(&mut self, scope: Scope, start: Start) -> OpenWatch {
        let (client, opened) = (self.client, self.shared.stamp());
        let watches = &mut self.page.lock().watches;
        watches.push(Watch { client, scope, start, opened, lines: Vec::new(), ended: None, end: End::Open });
        OpenWatch(watches.len() - 1)
    }

    /// A line with an event came.
    pub fn event(&mut self, watch: &OpenWatch, change: Change, key: KeyId, version: Version, state: State) {
        self.told(watch, Told::Event { change, key, version, state });
    }

    /// A bookmark came.
    pub fn bookmark(&mut self, watch: &OpenWatch, version: Version, initial_end: bool) {
        self.told(watch, Told::Bookmark { version, initial_end });
    }

    fn told(&mut self, watch: &OpenWatch, told: Told) {
        let time = self.shared.stamp();
        self.page.lock().watches[watch.0].lines.push(Line { time, told });
    }

    /// It ended.
    pub fn ended(&mut self, watch: &OpenWatch, end: End) {
        let time = self.shared.stamp();
        let watch = &mut self.page.lock().watches[watch.0];
        watch.ended = Some(time);
        watch.end = end;
    }
}
