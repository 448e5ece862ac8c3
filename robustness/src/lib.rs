//! What clients saw, and whether a correct control plane could have shown it to them.
//!
//! A [`Recorder`] collects a [`History`] from writers, readers and watchers, wherever they run: in a simulation or
//! against real processes. [`check`](check()) takes the history apart afterwards and knows nothing of the server: it holds
//! what was seen against what Kubernetes and etcd promise, and each promise has a name ([`Guarantee`]). A history can be
//! saved as JSON lines and checked again later. Nothing in `history` and `check` does I/O or waits.
//!
//! The checker is only worth something if it can fail: `tests/planted.rs` breaks a model server in each way that the
//! checker must notice, and `tests/mod.rs` shows that correct histories pass.
//!
//! [`load`] is a source of histories: clients of any Kubernetes API that write, list and watch while faults are injected.
//!
//! Start reading at `history/mod.rs`, then `check/mod.rs`.

pub mod check;
pub mod history;
pub mod load;
#[cfg(test)]
mod tests;

pub use check::{Guarantee, Rules, Verdict, Violation, check};
pub use history::{ClientLog, History, Recorder};
