//! A process: a runtime of its own, whose clock goes only while the world lets it. So it can stand still between any two
//! tasks' turns, as under SIGSTOP, and end there, as under SIGKILL.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::net::{Net, TICK};

/// What may happen to a process in the middle of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Blow {
    /// It ends.
    Crash,
    /// It stands still for so many microseconds.
    Freeze(u64),
}

/// A blow at one of the next commits, before it has left the process or when its answer has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fate {
    pub(crate) commits: u64,
    pub(crate) before: bool,
    pub(crate) blow: Blow,
}

/// How a process is hit from within.
#[derive(Default)]
pub(crate) struct Interrupt {
    fate: Mutex<Option<Fate>>,
    struck: Mutex<Option<Blow>>,
    wake: Notify,
}

impl Interrupt {
    pub(crate) fn set_fate(&self, fate: Option<Fate>) {
        *self.fate.lock() = fate;
    }

    fn count(&self, before: bool) -> Option<Blow> {
        let mut fate = self.fate.lock();
        let due = fate.as_mut().filter(|fate| fate.before == before)?;
        if due.commits > 0 {
            due.commits -= 1;
            return None;
        }
        let blow = due.blow;
        *fate = None;
        drop(fate);
        *self.struck.lock() = Some(blow);
        self.wake.notify_one();
        Some(blow)
    }

    pub(crate) async fn before_commit(&self) {
        match self.count(true) {
            Some(Blow::Crash) => std::future::pending().await,
            // It goes on after the pause, with what it had decided before.
            Some(Blow::Freeze(_)) => tokio::task::yield_now().await,
            None => {}
        }
    }

    /// What the answer leads to in this task happens before the blow; what others would make of it does not.
    pub(crate) async fn after_commit(&self) {
        if self.count(false) == Some(Blow::Crash) {
            std::future::pending::<()>().await;
        }
    }

    async fn struck(&self) -> Blow {
        loop {
            self.wake.notified().await;
            if let Some(blow) = self.struck.lock().take() {
                return blow;
            }
        }
    }
}

/// One that runs.
pub(crate) struct Process {
    runtime: Runtime,
    began: Instant,
    at: u64,
    frozen_until: u64,
    interrupt: Arc<Interrupt>,
}

impl Process {
    pub(crate) fn new(net: &Net, interrupt: Arc<Interrupt>) -> Self {
        let runtime = Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            // The world's hand is felt after every turn of a task.
            .event_interval(1)
            .build()
            .expect("a runtime without threads and sockets");
        let began = runtime.block_on(async { Instant::now() });
        Self { runtime, began, at: net.now(), frozen_until: 0, interrupt }
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    pub(crate) fn began(&self) -> Instant {
        self.began
    }

    pub(crate) fn freeze(&mut self, until: u64) {
        self.frozen_until = self.frozen_until.max(until);
    }

    pub(crate) fn thaw(&mut self) {
        self.frozen_until = 0;
    }

    pub(crate) fn is_frozen(&self, now: u64) -> bool {
        self.frozen_until > now
    }

    /// Lets it run up to a moment; answers what hit it on the way.
    pub(crate) fn step(&mut self, to: u64) -> Option<Blow> {
        if self.is_frozen(to) {
            return None;
        }
        let until = self.began + Duration::from_micros(to - self.at);
        let interrupt = self.interrupt.clone();
        self.runtime.block_on(async move {
            // Its timers did not wait while it stood still.
            let behind = until.saturating_duration_since(Instant::now());
            if behind > Duration::from_micros(2 * TICK) {
                tokio::time::advance(behind - Duration::from_micros(TICK)).await;
            }
            tokio::select! {
                biased;
                blow = interrupt.struck() => Some(blow),
                () = tokio::time::sleep_until(until) => None,
            }
        })
    }
}
