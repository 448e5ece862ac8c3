//! An in-memory Kubernetes API behind [`Transport`], for tests of clients: what a client can tell apart is there (versions,
//! conflicts, watches that resume, 410, pages, graceful deletion of pods, finalizers), and what only a server needs
//! (validation, defaults, admission) is not.
//!
//! Start reading at [`FakeApi`]. Faults are asked for: [`FakeApi::fail_next`], [`FakeApi::cut_watches`],
//! [`FakeApi::forget_history`], [`FakeApi::disconnect`].

mod ambient;
mod patch;
mod path;
mod state;
mod transport;
mod watching;

use std::sync::Arc;

use api::Value;
use api::ambient::Ambient;
use parking_lot::Mutex;
use tokio::sync::watch;

pub use ambient::{manual_ambient, seeded_ambient};

use self::state::State;
use crate::{Client, Transport};

/// The server. Cheap to clone.
#[derive(Clone)]
pub struct FakeApi {
    state: Arc<Mutex<State>>,
    /// Raised after every change that a watch must look at.
    changed: Arc<watch::Sender<u64>>,
}

impl Default for FakeApi {
    fn default() -> Self {
        Self::new()
    }
}

impl FakeApi {
    /// An empty server.
    pub fn new() -> Self {
        Self { state: Arc::default(), changed: Arc::new(watch::Sender::new(0)) }
    }

    /// A client of it.
    pub fn client(&self, ambient: Ambient) -> Client {
        let transport: Arc<dyn Transport> = Arc::new(self.clone());
        Client::new(transport, "test", ambient)
    }

    /// The object at a path such as `/api/v1/namespaces/default/pods/a`.
    pub fn object(&self, path: &str) -> Option<Value> {
        self.state.lock().objects.get(path).cloned()
    }

    /// The objects under a collection's path, by name.
    pub fn collection(&self, path: &str) -> Vec<Value> {
        let prefix = format!("{path}/");
        let state = self.state.lock();
        let inside = state.objects.range(prefix.clone()..).take_while(|(path, _)| path.starts_with(&prefix));
        inside.map(|(_, object)| object.clone()).collect()
    }

    /// Puts an object at its path, new or replaced, as another client would. kind and apiVersion must be set.
    pub fn put(&self, path: &str, object: Value) {
        self.state.lock().put(path, object);
        self.wake();
    }

    /// Takes an object away, whatever its finalizers.
    pub fn remove(&self, path: &str) {
        self.state.lock().remove(path);
        self.wake();
    }

    /// Answers the next `times` requests of that method whose path contains `part` with an error. `retry_after` in
    /// seconds, 0 for none.
    pub fn fail_next(&self, times: usize, method: &str, part: &str, code: u16, retry_after: u32) {
        let fault = state::Fault { times, method: method.to_owned(), part: part.to_owned(), code, retry_after };
        self.state.lock().faults.push(fault);
    }

    /// Ends every running watch, without an error.
    pub fn cut_watches(&self) {
        self.state.lock().cuts += 1;
        self.wake();
    }

    /// Forgets all events: a watch from before now gets 410.
    pub fn forget_history(&self) {
        let mut state = self.state.lock();
        state.log.clear();
        state.oldest = state.version;
    }

    /// While `down`, every request fails without having been sent and every watch breaks.
    pub fn disconnect(&self, down: bool) {
        let mut state = self.state.lock();
        state.down = down;
        state.cuts += u64::from(down);
        drop(state);
        self.wake();
    }

    /// The requests so far, as `GET /path?query`.
    pub fn requests(&self) -> Vec<String> {
        self.state.lock().requests.clone()
    }

    /// How many requests of that method had `part` in their path.
    pub fn count(&self, method: &str, part: &str) -> usize {
        let state = self.state.lock();
        let wanted = |request: &&String| request.starts_with(method) && request.contains(part);
        state.requests.iter().filter(wanted).count()
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count += 1);
    }
}
