//! The ordered key-value store under the shards: atomic, fenced batches and consistent scans (DESIGN D6).
//!
//! [`Store`] is the contract; [`memory`], [`embedded`] (the default, on redb) and, with the feature of that name,
//! `foundationdb` implement it. One suite, `contract`, runs on every implementation. Start reading at [`Store`].

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

mod batch;
#[cfg(any(test, feature = "foundationdb"))]
mod cluster_file;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
pub mod embedded;
#[cfg(feature = "foundationdb")]
pub mod foundationdb;
#[cfg(any(test, feature = "foundationdb"))]
mod layout;
pub mod memory;
mod page;
mod recent;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod url;

pub use batch::{BATCH_BYTES, Batch, BatchId, Fence, KEY_BYTES, REMEMBERED, VALUE_BYTES, Write};
#[cfg(feature = "foundationdb")]
pub use cluster_file::ClusterFileError;
pub use embedded::{Embedded, OpenError};
pub use memory::MemoryStore;
pub use page::{PAGE_BYTES, Page};
pub use url::{OpenUrlError, StoreUrl, UrlError, open};

/// Why a call failed, and so what may be assumed after it.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// A fence did not hold: nothing happened, and nothing will. Terminal for whoever held the fence.
    #[error("another owner has taken over (the fence at {key} does not hold)")]
    Fenced {
        /// The key, printably.
        key: String,
    },
    /// Nothing happened; trying again may help.
    #[error("the store cannot be reached: {0}")]
    Unavailable(String),
    /// Nothing happened, for there is no room: trying again helps when somebody has made some. Only batches that add something
    /// ([`Batch::adds`]) get it.
    #[error("the store is full: {0}")]
    Full(String),
    /// It may have happened, or may still happen within a few seconds, or not. The caller commits the same batch under the
    /// same id again (see [`Store`]: it is applied at most once), or drops what it derived from it, changes a fence of it,
    /// and reads again. A store returns this only when it could not find out itself within its deadline.
    #[error("the outcome of a commit is unknown: {0}")]
    Unknown(String),
    /// The medium failed, an fsync for one: nothing that this process believes to be stored can be trusted. Exit.
    #[error("the store is broken: {0}")]
    Broken(String),
    /// The batch or key is too large for this store: nothing happened, and trying again will not help.
    #[error("too large for the store: {0}")]
    TooLarge(String),
}

impl StoreError {
    /// Whether the same call may be made again without reading first.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Full(_))
    }
}

/// An ordered, transactional key-value store.
///
/// - **Order**: keys compare as bytes. Batches are serialisable; a batch committed after another's `commit` returned
///   sees and follows it.
/// - **Atomicity**: a batch happens whole or not at all.
/// - **At most once**: if a batch with this id was applied less than [`REMEMBERED`] ago, by whatever process, `commit`
///   answers `Ok` and does nothing, without a look at the fences. So whoever got [`StoreError::Unknown`] may commit the very
///   same batch again within that time, and knows: `Ok` means that it was applied once, `Fenced` that it was not and will
///   never be. Another batch under an id that was used is [`StoreError::Broken`].
/// - **Durability**: when `commit` returns `Ok`, the batch survives any crash and power loss.
/// - **Visibility**: `get` and `scan` see only committed batches, and at least every batch whose `commit` returned
///   before they were called, in whatever process. One page of a scan is of one moment; two pages may not be.
/// - **Pages**: see [`Page`]: one ends by the number of pairs or by bytes, and says whether there is more.
/// - **Limits**: keys to [`KEY_BYTES`], values to [`VALUE_BYTES`], batches to [`BATCH_BYTES`] as [`Batch::size`] counts.
///   Every store keeps the same ones, so that what works on one works on all; beyond them is [`StoreError::TooLarge`].
/// - **Room**: when the medium is full, batches that add something are refused as [`StoreError::Full`], before they do anything,
///   and others go on for long enough to make room. Reads go on.
/// - **Cancellation**: dropping the future of `commit` leaves the outcome unknown; dropping others has no effect.
/// - **After an error**: see [`StoreError`]; each variant says whether something may have happened.
pub trait Store: Send + Sync + 'static {
    /// The value of a key.
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>>;

    /// One page of `[from, to)` in key order (`from` may exclude, for paging): at most `limit` pairs, and at most
    /// [`PAGE_BYTES`].
    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>>;

    /// Checks the fences and applies the writes.
    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>>;

    /// Whether the store answers, for /readyz: soon, with what is wrong if something is.
    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        self.get(Bytes::new()).map(|read| read.map(|_| ())).boxed()
    }
}

/// A store as it is handed around.
pub type SharedStore = Arc<dyn Store>;
