//! The library's network thread: one for the whole process, started once, stopped once.
//!
//! The library runs one thread per process, for whatever number of databases, and cannot start it again. [`start`] is called
//! by whoever opens a store and only does something the first time. [`stop`] ends the thread and waits for it; `main` calls
//! it when the stores are gone and the runtime has ended. Should nobody call it, a handler that runs at the process's exit
//! does: the library's own globals must not be taken down while its thread uses them.
//!
//! The order that is always safe: end the tasks that use a store, drop the stores, stop, exit. If calls are still waiting
//! when the thread stops, as when `std::process::exit` ends a running server, they never end; nothing else happens.

use foundationdb::api::{FdbApiBuilder, NetworkAutoStop, get_max_api_version};
use parking_lot::Mutex;

/// The version of the interface that this is written for: FoundationDB 7.3.
const API_VERSION: i32 = 730;

enum State {
    Idle,
    Running(NetworkAutoStop),
    Stopped,
}

static NETWORK: Mutex<State> = Mutex::new(State::Idle);

/// Starts the thread, if this is the first call. The error is for the operator.
pub(super) fn start() -> Result<(), String> {
    let mut state = NETWORK.lock();
    match *state {
        State::Running(_) => return Ok(()),
        State::Stopped => return Err("the network thread was stopped: it starts once in a process".to_owned()),
        State::Idle => {}
    }
    let newest = get_max_api_version();
    if newest < API_VERSION {
        return Err(format!("it speaks API version {newest}, and {API_VERSION} is needed: install version 7.3"));
    }
    let builder = FdbApiBuilder::default().build().map_err(|error| error.to_string())?;
    #[cfg(test)]
    let builder = super::tests::with_faults(builder).map_err(|error| error.to_string())?;
    let network = boot(builder)?;
    *state = State::Running(network);
    Ok(())
}

#[allow(unsafe_code, reason = "the proofs stand beside the calls")]
fn boot(builder: foundationdb::api::NetworkBuilder) -> Result<NetworkAutoStop, String> {
    // SAFETY: `atexit` may be called at any time, and the function lives as long as the program. It is registered before
    // the thread starts, so there is no moment at which the process could exit without it.
    if unsafe { libc::atexit(stop_at_exit) } != 0 {
        return Err("the handler that stops its thread at exit cannot be registered".to_owned());
    }
    // SAFETY: what it returns must be dropped before the program exits. It goes into `NETWORK`, from which `stop` drops it;
    // and `stop` is called at exit at the latest.
    unsafe { builder.boot() }.map_err(|error| error.to_string())
}

extern "C" fn stop_at_exit() {
    stop();
}

/// Ends the thread and waits for it. Stores that are still open answer nothing any more. Later calls do nothing.
pub fn stop() {
    let mut state = NETWORK.lock();
    match std::mem::replace(&mut *state, State::Stopped) {
        // Dropping it stops the loop and joins the thread.
        State::Running(network) => drop(network),
        State::Stopped => {}
        State::Idle => *state = State::Idle,
    }
}
