//! The default store: one file, by redb, nothing to install.
//!
//! One thread commits. It takes every batch that queued while the last commit ran and writes them in one transaction with
//! one fsync, so that several shards of a process share the cost of durability. Each batch keeps its own fences and its own
//! outcome.

use std::collections::HashMap;
use std::fs::OpenOptions;
use std::ops::{Bound, Range};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use redb::backends::FileBackend;
use redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, StorageBackend, TableDefinition};
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use crate::batch::check_key;
use crate::memory::check_fences;
use crate::page::{Filling, is_empty};
use crate::recent::{Recent, is_the_same};
use crate::{Batch, BatchId, Page, Store, StoreError, Write};

mod spare;

use spare::{Room, Roomy, Spare};

const PAIRS: TableDefinition<'static, &[u8], &[u8]> = TableDefinition::new("pairs");
/// The ids and fingerprints of the batches of each transaction, by its number. One row a transaction, so it costs no second fsync.
const APPLIED: TableDefinition<'static, u64, &[u8]> = TableDefinition::new("applied");
/// The file in the data directory.
pub const FILE_NAME: &str = "store.redb";
/// Batches that may wait for the committing thread: beyond it, callers wait to get in line.
const QUEUE: usize = 1024;
/// Bytes that one transaction takes at most before it commits.
const TRANSACTION_BYTES: usize = 32 << 20;
/// redb's page cache. The shards keep their objects themselves, so it only has to hold the upper levels of the tree.
const CACHE_BYTES: usize = 8 << 20;

/// Why a store could not be opened, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{path} is in use by another process: stop that one, or choose another --data-dir")]
    Locked {
        /// The file.
        path: String,
    },
    /// Written by a newer version of the engine.
    #[error(
        "{path} has a newer or unknown format ({found}): run the version that wrote it, or choose another --data-dir"
    )]
    Format {
        /// The file.
        path: String,
        /// What was found.
        found: String,
    },
    /// Anything that the operating system says.
    #[error("{path} cannot be opened: {error}")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        error: String,
    },
}

/// The store in one file.
pub struct Embedded {
    database: Arc<Database>,
    commits: Option<mpsc::Sender<Commit>>,
    committer: Mutex<Option<JoinHandle<()>>>,
}

struct Commit {
    batch: Batch,
    done: oneshot::Sender<Result<(), StoreError>>,
}

impl Embedded {
    /// Opens or creates the store in a directory, which must exist. Blocks.
    pub fn open(directory: &Path) -> Result<Self, OpenError> {
        let path = directory.join(FILE_NAME);
        let shown = path.display().to_string();
        let io = |error: std::io::Error| OpenError::Io { path: shown.clone(), error: error.to_string() };
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(&path);
        let file = file.map_err(io)?;
        // A crash between creating and initialising leaves an empty file, which redb takes for a new one.
        let medium = FileBackend::new(file).map_err(|error| open_error(&shown, error))?;
        let spare = Spare::open(directory).map_err(io)?;
        let database = builder().create_with_backend(Roomy { medium, spare: spare.clone() });
        let database = database.map_err(|error| open_error(&shown, error))?;
        // The directory entry must survive power loss as well.
        let entry = std::fs::File::open(directory).and_then(|directory| directory.sync_all());
        entry.map_err(io)?;
        Self::start(database, spare).map_err(|error| OpenError::Io { path: shown, error })
    }

    /// Opens the store over any medium: tests put one under it that loses what was not synced.
    pub fn on(backend: impl StorageBackend) -> Result<Self, OpenError> {
        Self::with_spare(backend, None)
    }

    fn with_spare(medium: impl StorageBackend, spare: Option<Arc<Spare>>) -> Result<Self, OpenError> {
        let shown = "the given medium".to_owned();
        let database = builder().create_with_backend(Roomy { medium, spare: spare.clone() });
        let database = database.map_err(|error| open_error(&shown, error))?;
        Self::start(database, spare).map_err(|error| OpenError::Io { path: shown, error })
    }

    fn start(database: Database, spare: Option<Arc<Spare>>) -> Result<Self, String> {
        // A fresh file gets its table now, so that reads need not ask whether there is one.
        let applied = prepare(&database).map_err(|error| error.to_string())?;
        let database = Arc::new(database);
        let (commits, queue) = mpsc::channel(QUEUE);
        let thread = std::thread::Builder::new().name("store-commit".to_owned());
        let committer = thread.spawn({
            let database = database.clone();
            move || commit_loop(&database, applied, queue, spare)
        });
        let committer = committer.map_err(|error| error.to_string())?;
        Ok(Self { database, commits: Some(commits), committer: Mutex::new(Some(committer)) })
    }

    async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Database) -> Result<T, redb::Error> + Send + 'static,
    ) -> Result<T, StoreError> {
        let database = self.database.clone();
        let result = tokio::task::spawn_blocking(move || read(&database)).await;
        let result = result.map_err(|error| StoreError::Unavailable(format!("the reading thread ended: {error}")))?;
        result.map_err(|error| StoreError::Broken(error.to_string()))
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        // Closing the queue ends the thread after what it has; the file's lock goes with the last reference.
        self.commits = None;
        if let Some(committer) = self.committer.lock().take() {
            let _ = committer.join();
        }
    }
}

fn builder() -> redb::Builder {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    builder
}

fn open_error(path: &str, error: DatabaseError) -> OpenError {
    let path = path.to_owned();
    match error {
        DatabaseError::DatabaseAlreadyOpen | DatabaseError::LockProtocolMismatch => OpenError::Locked { path },
        DatabaseError::UpgradeRequired(found) => OpenError::Format { path, found: format!("version {found}") },
        DatabaseError::Storage(redb::StorageError::Corrupted(found)) => OpenError::Format { path, found },
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() == std::io::ErrorKind::InvalidData => {
            OpenError::Format { path, found: error.to_string() }
        }
        other => OpenError::Io { path, error: other.to_string() },
    }
}

/// What the file says about batches that were applied before it was opened, and will say about those to come.
struct Applied {
    recent: Recent,
    /// The numbers of the oldest transaction in the table, and of the next.
    rows: Range<u64>,
}

/// Makes the tables of a fresh file, so that reads need not ask whether there are any.
fn prepare(database: &Database) -> Result<Applied, redb::Error> {
    let transaction = database.begin_write()?;
    transaction.open_table(PAIRS)?;
    let mut applied = Applied { recent: Recent::default(), rows: 0..0 };
    {
        let table = transaction.open_table(APPLIED)?;
        // How old they are cannot be known: they count from now.
        let now = Instant::now();
        for row in table.iter()? {
            let (number, ids) = row?;
            if applied.rows.is_empty() {
                applied.rows.start = number.value();
            }
            applied.rows.end = number.value() + 1;
            applied.recent.add(now, ids.value().as_chunks().0.iter().map(decode));
        }
    }
    transaction.commit()?;
    Ok(applied)
}

const APPLIED_BYTES: usize = 24;

fn encode((id, fingerprint): (BatchId, u64)) -> [u8; APPLIED_BYTES] {
    let mut bytes = [0; APPLIED_BYTES];
    bytes[..16].copy_from_slice(&id.0.to_be_bytes());
    bytes[16..].copy_from_slice(&fingerprint.to_be_bytes());
    bytes
}

fn decode(bytes: &[u8; APPLIED_BYTES]) -> (BatchId, u64) {
    let whole = u128::from_be_bytes(*bytes.first_chunk().expect("it is longer"));
    (BatchId(whole), u64::from_be_bytes(*bytes.last_chunk().expect("it is longer")))
}

fn commit_loop(
    database: &Database,
    mut applied: Applied,
    mut queue: mpsc::Receiver<Commit>,
    spare: Option<Arc<Spare>>,
) {
    let mut broken: Option<StoreError> = None;
    let most = spare.as_ref().map_or(TRANSACTION_BYTES, |spare| spare.transaction_bytes());
    let mut room = Room::new(spare);
    while let Some(first) = queue.blocking_recv() {
        let mut commits = vec![first];
        let mut bytes = commits[0].batch.size();
        while bytes < most
            && let Ok(next) = queue.try_recv()
        {
            bytes += next.batch.size();
            commits.push(next);
        }
        if let Some(error) = &broken {
            answer(commits, |_| Err(error.clone()));
            continue;
        }
        let has_room = !commits.iter().any(|commit| commit.batch.adds) || room.is_there();
        match write(database, &mut applied, &commits, has_room) {
            Ok(outcomes) => {
                let added = commits.iter().zip(&outcomes).any(|(commit, outcome)| commit.batch.adds && outcome.is_ok());
                let clears = |write: &Write| matches!(write, Write::DeleteRange(..));
                room.note(added, commits.iter().any(|commit| commit.batch.writes.iter().any(clears)));
                let mut outcomes = outcomes.into_iter();
                answer(commits, |_| outcomes.next().expect("one outcome for each batch"));
            }
            Err(error) => {
                // After a failed write or fsync the page cache may lie about what is on disk (fsyncgate), so nothing
                // is tried again on this file by this process.
                let error = StoreError::Broken(error.to_string());
                answer(commits, |_| Err(error.clone()));
                broken = Some(error);
            }
        }
    }
}

fn answer(commits: Vec<Commit>, mut outcome: impl FnMut(&Batch) -> Result<(), StoreError>) {
    for Commit { batch, done } in commits {
        let outcome = outcome(&batch);
        // Nobody waits any more: the caller gave up the answer, not the batch.
        let _ = done.send(outcome);
    }
}

/// One transaction for all batches; one whose fence does not hold, that was applied before, or for which there is no room, is
/// left out of it.
fn write(
    database: &Database,
    applied: &mut Applied,
    commits: &[Commit],
    has_room: bool,
) -> Result<Vec<Result<(), StoreError>>, redb::Error> {
    let mut transaction = database.begin_write()?;
    transaction.set_durability(Durability::Immediate)?;
    let mut outcomes = Vec::with_capacity(commits.len());
    let mut ids = HashMap::with_capacity(commits.len());
    {
        let mut table = transaction.open_table(PAIRS)?;
        for Commit { batch, .. } in commits {
            let fingerprint = batch.fingerprint();
            let before = ids.get(&batch.id).map(|found| is_the_same(batch, fingerprint, *found));
            if let Some(answer) = before.or_else(|| applied.recent.answer(batch, fingerprint)) {
                outcomes.push(answer);
                continue;
            }
            let outcome = match fences_hold(&table, batch)? {
                Ok(()) if batch.adds && !has_room => Err(full()),
                outcome => outcome,
            };
            if outcome.is_ok() {
                for write in &batch.writes {
                    apply(&mut table, write)?;
                }
                ids.insert(batch.id, fingerprint);
            }
            outcomes.push(outcome);
        }
        let mut rows = transaction.open_table(APPLIED)?;
        let now = Instant::now();
        for _ in 0..applied.recent.forget(now) {
            rows.remove(applied.rows.start)?;
            applied.rows.start += 1;
        }
        if !ids.is_empty() {
            let row: Vec<u8> = ids.iter().flat_map(|(id, fingerprint)| encode((*id, *fingerprint))).collect();
            rows.insert(applied.rows.end, &row[..])?;
            applied.rows.end += 1;
            applied.recent.add(now, ids);
        }
    }
    transaction.commit()?;
    Ok(outcomes)
}

fn full() -> StoreError {
    StoreError::Full(
        "its disk has no space left; deletions go on, and writes as soon as there is room again".to_owned(),
    )
}

type Pairs<'a> = redb::Table<'a, &'static [u8], &'static [u8]>;

fn fences_hold(table: &Pairs<'_>, batch: &Batch) -> Result<Result<(), StoreError>, redb::Error> {
    let mut failed = None;
    let fenced = check_fences(&batch.fences, |key| match table.get(key) {
        Ok(value) => Ok(value.map(|value| Bytes::copy_from_slice(value.value()))),
        Err(error) => {
            failed = Some(error);
            Ok(None)
        }
    });
    match failed {
        Some(error) => Err(error.into()),
        None => Ok(fenced),
    }
}

fn apply(table: &mut Pairs<'_>, write: &Write) -> Result<(), redb::Error> {
    match write {
        Write::Put(key, value) => {
            table.insert(&key[..], &value[..])?;
        }
        Write::Delete(key) => {
            table.remove(&key[..])?;
        }
        Write::DeleteRange(from, to) if from < to => table.retain_in(&from[..]..&to[..], |_, _| false)?,
        Write::DeleteRange(..) => {}
    }
    Ok(())
}

impl Store for Embedded {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        async move {
            check_key(&key)?;
            let read = self.read(move |database| {
                let table = database.begin_read()?.open_table(PAIRS)?;
                Ok(table.get(&key[..])?.map(|value| Bytes::copy_from_slice(value.value())))
            });
            read.await
        }
        .boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        let read = self.read(move |database| {
            let (mut filling, mut page) = (Filling::new(limit), Vec::new());
            if is_empty(&from, &to) {
                return Ok(Page::default());
            }
            let from = match &from {
                Bound::Included(key) => Bound::Included(&key[..]),
                Bound::Excluded(key) => Bound::Excluded(&key[..]),
                Bound::Unbounded => Bound::Unbounded,
            };
            let table = database.begin_read()?.open_table(PAIRS)?;
            for pair in table.range::<&[u8]>((from, Bound::Excluded(&to[..])))? {
                let (key, value) = pair?;
                let (key, value) = (key.value(), value.value());
                if !filling.takes(page.len(), key.len() + value.len()) {
                    break;
                }
                page.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(value)));
            }
            Ok(filling.done(page))
        });
        read.boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        async move {
            batch.check()?;
            let commits = self.commits.as_ref().expect("taken only by drop");
            let (done, outcome) = oneshot::channel();
            let gone = || StoreError::Unknown("the committing thread ended".to_owned());
            commits.send(Commit { batch, done }).await.map_err(|_| gone())?;
            outcome.await.map_err(|_| gone())?
        }
        .boxed()
    }
}

#[cfg(test)]
mod tests;
