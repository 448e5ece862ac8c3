//! The store's contract over the wire: [`StoreService`] serves any store, [`RemoteStore`] is one.
//!
//! A connection may break while a batch is under way, and then its outcome is asked for by the batch's id: the server writes
//! the id in the same transaction (`outcomes`), so that sending the batch again is safe, applies it at most once, and is
//! answered with what became of it, by whichever process serves the store then. So [`RemoteStore`] says `Unknown` only when
//! it reached no server until its patience ended.

mod client;
mod convert;
mod outcomes;
mod server;
#[cfg(test)]
mod tests;

pub use client::{RemoteOptions, RemoteStore};
pub use server::{StoreService, routes};
