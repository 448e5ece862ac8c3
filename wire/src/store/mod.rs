//! The store's contract over the wire: [`StoreService`] serves any store, [`RemoteStore`] is one.
//!
//! A connection may break while a batch is under way. Then the very same batch is sent again under its id, which every store
//! remembers durably: it is applied at most once, and whichever process serves the store then answers with what became of
//! it. So [`RemoteStore`] says `Unknown` only when it reached no server until its patience ended, which is far below the
//! time for which ids are remembered.

mod client;
mod convert;
mod server;
#[cfg(test)]
mod tests;

pub use client::{RemoteOptions, RemoteStore};
pub use server::{StoreService, routes};
