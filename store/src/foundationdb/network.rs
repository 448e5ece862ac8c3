//! The library's network thread: one for the whole process, started once, stopped once.
//!
//! The library runs one thread per process, for whatever number of databases, and cannot start it again. [`start`] is called
//! by whoever opens a store and only does something the first time. [`stop`] ends the thread and waits for it; `main` calls
//! it when the stores are gone and the runtime has ended. That is the order that is always safe: end the tasks that use a
//! store, drop the stores, stop, exit. Calls that still wait when the thread stops never end.
//!
//! The library's own globals must not be taken down while its thread uses them: it crashes then, and it does so in practice.
//! So, should nobody call [`stop`], an exit handler does. Two things make that less simple than it sounds:
//!
//! - Exit handlers run in the reverse order of their registration, and the library makes some of its globals, each with a
//!   handler of its own, when they are first used. So ours is registered again whenever a store was opened or dropped
//!   ([`stop_before_exit`]): whatever was used until then outlives the thread.
//! - When a process exits, the main thread's variables are gone before the handlers run, and the library, asked to stop by
//!   that thread, crashes over them. So a second thread, the keeper, does the starting and the stopping.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use foundationdb::api::{FdbApiBuilder, NetworkBuilder, get_max_api_version};

/// The version of the interface that this is written for: FoundationDB 7.3.
const API_VERSION: i32 = 730;

#[derive(Clone, PartialEq, Eq)]
enum State {
    Idle,
    Starting,
    Running,
    Stopping,
    Stopped,
    /// It did not start, and will not: for the operator.
    Failed(String),
}

// The standard library's: they need no variables of the thread that exits.
static STATE: Mutex<State> = Mutex::new(State::Idle);
static CHANGED: Condvar = Condvar::new();

fn state() -> MutexGuard<'static, State> {
    // Nothing that could panic runs under the lock.
    STATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn set(next: State) {
    *state() = next;
    CHANGED.notify_all();
}

/// Waits as long as the state is that one.
fn wait_while(present: &State) -> State {
    let waited = CHANGED.wait_while(state(), |state| state == present);
    waited.unwrap_or_else(PoisonError::into_inner).clone()
}

/// Starts the thread, if this is the first call. The error is for the operator.
pub(super) fn start() -> Result<(), String> {
    let first = {
        let mut state = state();
        let first = *state == State::Idle;
        if first {
            *state = State::Starting;
        }
        first
    };
    if first && let Err(error) = begin() {
        set(State::Failed(error));
    }
    match wait_while(&State::Starting) {
        State::Running => Ok(()),
        State::Failed(error) => Err(error),
        _ => Err("the network thread was stopped: it starts once in a process".to_owned()),
    }
}

fn begin() -> Result<(), String> {
    let newest = get_max_api_version();
    if newest < API_VERSION {
        return Err(format!("it speaks API version {newest}, and {API_VERSION} is needed: install version 7.3"));
    }
    let builder = FdbApiBuilder::default().build().map_err(|error| error.to_string())?;
    #[cfg(test)]
    let builder = super::tests::with_faults(builder).map_err(|error| error.to_string())?;
    stop_before_exit()?;
    let keeper = std::thread::Builder::new().name("fdb-keeper".to_owned());
    keeper.spawn(move || keep(builder)).map(|_| ()).map_err(|error| error.to_string())
}

/// Has [`stop`] called when the process exits, before what was made until now is taken down.
#[allow(unsafe_code, reason = "the proof stands beside the call")]
pub(super) fn stop_before_exit() -> Result<(), String> {
    extern "C" fn handler() {
        stop();
    }
    // SAFETY: `atexit` may be called at any time, and the function lives as long as the program.
    match unsafe { libc::atexit(handler) } {
        0 => Ok(()),
        _ => Err("the handler that stops its thread at exit cannot be registered".to_owned()),
    }
}

/// The keeper: starts the network thread, waits until it is asked to stop it, and does.
#[allow(unsafe_code, reason = "the proof stands beside the call")]
fn keep(builder: NetworkBuilder) {
    // SAFETY: what it returns must be dropped before the program exits. It is dropped below, as soon as `stop` is called,
    // which waits for that and which the exit handler calls; the handler was registered before this thread was made.
    match unsafe { builder.boot() } {
        Ok(network) => {
            set(State::Running);
            wait_while(&State::Running);
            // This stops the loop and joins the thread.
            drop(network);
            set(State::Stopped);
        }
        Err(error) => set(State::Failed(error.to_string())),
    }
}

/// Ends the thread and waits for it. Stores that are still open answer nothing any more. Later calls do nothing.
pub fn stop() {
    if wait_while(&State::Starting) == State::Running {
        set(State::Stopping);
    }
    wait_while(&State::Stopping);
}
