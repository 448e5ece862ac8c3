//! The way past one machine: FoundationDB 7.3, through its client library.
//!
//! Start reading at [`FoundationDb`]. `layout.rs` says what stands where, `foundationdb/commit.rs` how a batch is applied
//! at most once, `foundationdb/read.rs` how pages and large values are read, `foundationdb/network.rs` what the library's
//! thread needs.
//!
//! What holds here:
//! - A call is one transaction with a read version of its own, tried again with a fresh one, and is over within
//!   [`Options::deadline`]. So no read version comes near FoundationDB's limit of five seconds.
//! - A value and its pieces are changed and read in the same transaction.
//! - A batch and its id are written in the same transaction, and every attempt reads the id first.

mod commit;
mod generations;
mod network;
mod read;
mod status;
#[cfg(test)]
mod tests;

use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::foundationdb::options::TransactionOption;
use ::foundationdb::{Database, FdbError, RangeOption, Transaction};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::task::AbortHandle;

use crate::batch::check_key;
use crate::cluster_file::{ClusterFileError, coordinators};
use crate::layout::{FORMAT, Header, Layout, PREFIX_BYTES};
use crate::{Batch, Page, Store, StoreError};

pub use network::stop;

/// What keys begin with unless it is said otherwise.
pub const DEFAULT_PREFIX: &str = "shardplane";
/// How long a question about the store's health waits.
const PING: Duration = Duration::from_secs(2);

/// Which cluster, and which part of it.
#[derive(Clone, Debug)]
pub struct Options {
    /// FoundationDB's cluster file. The library writes it when the coordinators change, so file and directory should be
    /// writable.
    pub cluster_file: PathBuf,
    /// What every key begins with: two prefixes are two stores. None may be the start of another. At most 24 bytes.
    pub prefix: Bytes,
    /// How long a call tries before it gives up: longer than a recovery of FoundationDB, which takes a few seconds.
    pub deadline: Duration,
}

impl Options {
    /// The defaults for a cluster file.
    pub fn new(cluster_file: impl Into<PathBuf>) -> Self {
        let prefix = Bytes::from_static(DEFAULT_PREFIX.as_bytes());
        Self { cluster_file: cluster_file.into(), prefix, deadline: Duration::from_secs(10) }
    }
}

/// Why the cluster is not used, in words for the operator.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ConnectError {
    /// The cluster file is missing or malformed.
    #[error(transparent)]
    ClusterFile(#[from] ClusterFileError),
    /// The client library does not fit, or its thread does not start.
    #[error("FoundationDB's client library (libfdb_c) cannot be used: {0}")]
    Library(String),
    /// No answer in time.
    #[error(
        "the FoundationDB cluster of {path} (coordinators {coordinators}) does not answer within {seconds} s: {found}; \
         `fdbcli -C {path} --exec status` says more"
    )]
    Unreachable {
        /// The cluster file.
        path: String,
        /// The addresses in it.
        coordinators: String,
        /// How long it was tried.
        seconds: u64,
        /// What is wrong, as far as is known.
        found: String,
    },
    /// The keys were written by a newer version, or by something else.
    #[error("the store `{prefix}` in the FoundationDB cluster of {path} cannot be used: {found}")]
    Format {
        /// The cluster file.
        path: String,
        /// What the keys begin with.
        prefix: String,
        /// What was found, and what helps.
        found: String,
    },
    /// The prefix is empty or too long.
    #[error("the prefix `{prefix}` has {length} bytes: 1 to {PREFIX_BYTES} are allowed")]
    Prefix {
        /// The prefix.
        prefix: String,
        /// Its length in bytes.
        length: usize,
    },
}

impl ConnectError {
    /// Whether it may well be otherwise in a while.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

/// A store in a FoundationDB cluster, under a prefix.
///
/// The contract of [`Store`] in its words: batches are serialisable transactions whose fences are reads of the same
/// transaction; `get` and `scan` read at a version that FoundationDB gives after they were called. Any number of processes may
/// use the same prefix. Must be opened within a tokio runtime; a task in it lives as long as the store and forgets ids of
/// batches ([`generations`]). [`stop`] says what is due before the process ends.
pub struct FoundationDb {
    cluster: Arc<Cluster>,
    forgetting: AbortHandle,
}

struct Cluster {
    database: Database,
    layout: Layout,
    deadline: Duration,
    cluster_file: String,
    /// The newest that was seen: a guess, which each batch verifies.
    generation: AtomicU64,
    /// See [`FoundationDb::unknown_results`].
    unknown_results: AtomicU64,
}

/// What ends an attempt: the first kind may be worth another.
enum Failure {
    Database(FdbError),
    Store(StoreError),
}

impl From<FdbError> for Failure {
    fn from(error: FdbError) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl FoundationDb {
    /// Connects, and makes the header of an empty store. Fails when the cluster does not answer within the deadline.
    pub async fn open(options: Options) -> Result<Self, ConnectError> {
        let prefix = options.prefix;
        if prefix.is_empty() || prefix.len() > PREFIX_BYTES {
            let length = prefix.len();
            return Err(ConnectError::Prefix { prefix: prefix.escape_ascii().to_string(), length });
        }
        let path = options.cluster_file.display().to_string();
        let coordinators = coordinators(Path::new(&options.cluster_file))?;
        network::start().map_err(ConnectError::Library)?;
        let database = Database::from_path(&path).map_err(|error| ConnectError::Library(error.to_string()))?;
        let shown = prefix.escape_ascii().to_string();
        let cluster = Cluster {
            database,
            layout: Layout::new(prefix),
            deadline: options.deadline,
            cluster_file: path.clone(),
            generation: AtomicU64::new(0),
            unknown_results: AtomicU64::new(0),
        };
        let header = cluster.within(options.deadline, cluster.header_or_new()).await;
        network::stop_before_exit().map_err(ConnectError::Library)?;
        let header = match header {
            Ok(header) => header,
            Err(StoreError::Broken(found)) => return Err(ConnectError::Format { path, prefix: shown, found }),
            Err(error) => {
                let found = cluster.trouble().await.unwrap_or_else(|| error.to_string());
                let seconds = options.deadline.as_secs();
                return Err(ConnectError::Unreachable { path, coordinators, seconds, found });
            }
        };
        cluster.generation.store(header.generation, Ordering::Relaxed);
        let cluster = Arc::new(cluster);
        let forgetting = tokio::spawn(generations::forget_in_time(Arc::downgrade(&cluster), header.generation));
        Ok(Self { cluster, forgetting: forgetting.abort_handle() })
    }

    /// How often FoundationDB could not say what became of a commit, so that the next attempt looked for the batch's id.
    pub fn unknown_results(&self) -> u64 {
        self.cluster.unknown_results.load(Ordering::Relaxed)
    }
}

impl Drop for FoundationDb {
    fn drop(&mut self) {
        self.forgetting.abort();
        // It was registered before: this only moves it to the front.
        let _ = network::stop_before_exit();
    }
}

impl Cluster {
    /// A transaction whose reads do not look at its own writes: all of them come first.
    fn begin(&self) -> Result<Transaction, StoreError> {
        let transaction = self.database.create_trx().map_err(|error| self.unavailable(error))?;
        self.prepared(transaction).map_err(|error| self.unavailable(error))
    }

    fn prepared(&self, transaction: Transaction) -> Result<Transaction, FdbError> {
        transaction.set_option(TransactionOption::ReadYourWritesDisable)?;
        Ok(transaction)
    }

    /// The transaction for the next attempt, after the pause that the library finds right; or the error that ends it.
    async fn again(&self, transaction: Transaction, failure: Failure) -> Result<Transaction, StoreError> {
        match failure {
            Failure::Store(error) => Err(error),
            Failure::Database(error) => {
                let transaction = transaction.on_error(error).await.map_err(|error| self.unavailable(error))?;
                self.prepared(transaction).map_err(|error| self.unavailable(error))
            }
        }
    }

    fn unavailable(&self, error: FdbError) -> StoreError {
        match error.code() {
            // transaction_too_large, key_too_large, value_too_large
            2101..=2103 => StoreError::TooLarge(error.to_string()),
            code => StoreError::Unavailable(format!("FoundationDB ({}): {error} ({code})", self.cluster_file)),
        }
    }

    fn silent(&self, deadline: Duration) -> String {
        format!("FoundationDB ({}) does not answer within {deadline:?}", self.cluster_file)
    }

    async fn within<T>(
        &self,
        deadline: Duration,
        call: impl Future<Output = Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match tokio::time::timeout(deadline, call).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Unavailable(self.silent(deadline))),
        }
    }

    /// Reads a header: what is not for this version is [`StoreError::Broken`].
    fn decode_header(&self, bytes: Option<&[u8]>) -> Result<Header, StoreError> {
        let Some(bytes) = bytes else {
            return Err(StoreError::Broken("the header of its keys is gone: somebody cleared it".to_owned()));
        };
        match Header::decode(bytes) {
            Some(header) if header.format == FORMAT => Ok(header),
            Some(header) => Err(StoreError::Broken(format!(
                "its keys have format {}, and this version knows {FORMAT}: run the version that wrote them, or choose another prefix",
                header.format
            ))),
            None => Err(StoreError::Broken(
                "its keys have a header that no version writes: choose another prefix".to_owned(),
            )),
        }
    }

    async fn header(&self) -> Result<Header, StoreError> {
        let mut transaction = self.begin()?;
        loop {
            let read = transaction.get(&self.layout.header(), true).await;
            match read {
                Ok(bytes) => return self.decode_header(bytes.as_deref()),
                Err(error) => transaction = self.again(transaction, error.into()).await?,
            }
        }
    }

    async fn header_or_new(&self) -> Result<Header, StoreError> {
        let mut transaction = self.begin()?;
        loop {
            match self.try_header_or_new(&transaction).await {
                Ok((header, false)) => return Ok(header),
                // Whatever became of the commit: what is there now is read again.
                Ok((_, true)) => match transaction.commit().await {
                    Ok(committed) => transaction = self.prepared(committed.reset()).map_err(|e| self.unavailable(e))?,
                    Err(error) => {
                        let next = error.on_error().await.and_then(|transaction| self.prepared(transaction));
                        transaction = next.map_err(|error| self.unavailable(error))?;
                    }
                },
                Err(failure) => transaction = self.again(transaction, failure).await?,
            }
        }
    }

    async fn try_header_or_new(&self, transaction: &Transaction) -> Result<(Header, bool), Failure> {
        if let Some(bytes) = transaction.get(&self.layout.header(), false).await? {
            return Ok((self.decode_header(Some(&bytes))?, false));
        }
        let (from, to) = self.layout.all();
        let mut any = RangeOption::from((&from[..], &to[..]));
        any.limit = Some(1);
        if !transaction.get_range(&any, 1, false).await?.is_empty() {
            let found = "there are keys without a header, which something else wrote: choose another prefix";
            return Err(StoreError::Broken(found.to_owned()).into());
        }
        let header = Header { format: FORMAT, generation: 1 };
        transaction.set(&self.layout.header(), &header.encode());
        Ok((header, true))
    }
}

impl Store for FoundationDb {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        async move {
            check_key(&key)?;
            self.cluster.within(self.cluster.deadline, self.cluster.get(&key)).await
        }
        .boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move { self.cluster.within(self.cluster.deadline, self.cluster.scan(&from, &to, limit)).await }.boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            batch.check()?;
            self.cluster.commit(&batch).await
        }
        .boxed()
    }

    fn ping(&self) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            let header = self.cluster.within(PING.min(self.cluster.deadline), self.cluster.header()).await;
            header.map(|_| ())
        }
        .boxed()
    }
}
