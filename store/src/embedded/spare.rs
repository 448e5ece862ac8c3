//! What must go on when the disk is full: leases, moves of slots, and whatever makes room.
//!
//! A file beside the store keeps some space. A write that finds the disk full takes of it and is written after all, so the
//! transaction that was under way ends well; redb would not go on after an error. From then on [`Room`] refuses batches that
//! add something, and the others live on what is left of the spare space. Room is looked for again now and then, on the disk
//! and, with a batch that is let through, in the store's own file, where deletions leave free pages.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind};
use std::ops::Bound;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redb::{BackendError, StorageBackend};
use rustix::fs::FallocateFlags;
use tokio::time::Instant;

/// The file in the data directory.
const FILE_NAME: &str = "spare";
/// The most and the least that is kept, and which part of the disk in between.
const MOST: u64 = 32 << 20;
const LEAST: u64 = 1 << 20;
const PART: u64 = 32;
/// It is given in that many pieces.
const PIECES: u64 = 32;
/// How often room is looked for.
const LOOK: Duration = Duration::from_millis(250);

/// Where space is kept.
pub(super) trait Keep: std::fmt::Debug + Send + Sync + 'static {
    /// Keeps that much from now on. An error changes nothing.
    fn keep(&self, from: u64, to: u64) -> io::Result<()>;
}

impl Keep for File {
    fn keep(&self, from: u64, to: u64) -> io::Result<()> {
        if to <= from {
            return self.set_len(to);
        }
        let allocated = rustix::fs::fallocate(self, FallocateFlags::empty(), from, to - from);
        if allocated.is_err() {
            // Whatever part of it was there.
            self.set_len(from)?;
        }
        Ok(allocated?)
    }
}

/// See the module.
#[derive(Debug)]
pub(super) struct Spare {
    keep: Box<dyn Keep>,
    whole: u64,
    held: AtomicU64,
    /// Whether some was taken since that was last asked.
    taken: AtomicBool,
}

impl Spare {
    /// The spare space of a directory; `None` where the file system cannot keep any.
    pub(super) fn open(directory: &Path) -> io::Result<Option<Arc<Self>>> {
        let path = directory.join(FILE_NAME);
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path)?;
        let disk = rustix::fs::fstatvfs(&file)?;
        let whole = (disk.f_blocks.saturating_mul(disk.f_frsize) / PART).clamp(LEAST, MOST);
        match file.keep(0, LEAST / PIECES) {
            Err(error) if !is_full(&error) => return Ok(None),
            _ => {}
        }
        let held = file.metadata()?.len();
        Ok(Some(Self::on(Box::new(file), whole, held)))
    }

    pub(super) fn on(keep: Box<dyn Keep>, whole: u64, held: u64) -> Arc<Self> {
        let spare = Self { keep, whole, held: AtomicU64::new(held), taken: AtomicBool::new(false) };
        spare.refill();
        Arc::new(spare)
    }

    /// What one transaction may hold, so that the spare space is enough to end it.
    pub(super) fn transaction_bytes(&self) -> usize {
        (self.whole / 4) as usize
    }

    /// Gives a piece back to the disk; whether there was one.
    fn give(&self) -> bool {
        self.taken.store(true, Ordering::Release);
        let held = self.held.load(Ordering::Acquire);
        let less = held.saturating_sub(self.whole / PIECES);
        let given = held > 0 && self.keep.keep(held, less).is_ok();
        if given {
            self.held.store(less, Ordering::Release);
        }
        given
    }

    /// Takes from the disk what is missing, as far as it is there.
    fn refill(&self) {
        let mut held = self.held.load(Ordering::Acquire);
        while held < self.whole {
            let more = (held + self.whole / PIECES).min(self.whole);
            if self.keep.keep(held, more).is_err() {
                break;
            }
            held = more;
        }
        self.held.store(held, Ordering::Release);
    }

    /// Whether more than that part of it is there.
    fn is_more_than(&self, part: u64) -> bool {
        self.held.load(Ordering::Acquire) * part > self.whole
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// A medium with some spare space.
#[derive(Debug)]
pub(super) struct Roomy<B> {
    pub(super) medium: B,
    pub(super) spare: Option<Arc<Spare>>,
}

impl<B> Roomy<B> {
    fn again(&self, mut write: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        loop {
            match (write(), &self.spare) {
                (Err(error), Some(spare)) if is_full(&error) && spare.give() => {}
                (outcome, _) => return outcome,
            }
        }
    }
}

type Locked<T> = Result<T, BackendError>;

impl<B: StorageBackend> StorageBackend for Roomy<B> {
    fn len(&self) -> io::Result<u64> {
        self.medium.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.medium.read(offset, out)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.again(|| self.medium.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        // What could not be synced is not known to be there, whatever the reason: never again.
        self.medium.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.again(|| self.medium.write(offset, data))
    }

    fn close(&self) -> io::Result<()> {
        self.medium.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.medium.try_lock_range(start, end)
    }

    fn try_lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.medium.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.medium.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.medium.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<()> {
        self.medium.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Locked<bool> {
        self.medium.query_lock_range(start, end)
    }
}

/// Whether there is room for batches that add something.
pub(super) struct Room {
    spare: Option<Arc<Spare>>,
    /// Since the disk was found full: when room was last looked for.
    looked: Option<Instant>,
    /// Whether much was deleted since.
    cleared: bool,
}

impl Room {
    pub(super) fn new(spare: Option<Arc<Spare>>) -> Self {
        // A disk that was full from the beginning.
        let is_full = spare.as_ref().is_some_and(|spare| !spare.is_more_than(2));
        Self { spare, looked: is_full.then(Instant::now), cleared: false }
    }

    /// Whether a batch that adds something may be tried now.
    pub(super) fn is_there(&mut self) -> bool {
        let (Some(spare), Some(looked)) = (&self.spare, &mut self.looked) else { return true };
        if looked.elapsed() < LOOK {
            return false;
        }
        *looked = Instant::now();
        spare.refill();
        // Trying costs some of it, and half of it is for others, unless there is reason to hope.
        spare.is_more_than(2) || (std::mem::take(&mut self.cleared) && spare.is_more_than(8))
    }

    /// After a transaction: whether a batch was in it that adds something, and one that clears a range.
    pub(super) fn note(&mut self, added: bool, cleared: bool) {
        self.cleared |= cleared;
        let taken = self.spare.as_ref().is_some_and(|spare| spare.taken.swap(false, Ordering::AcqRel));
        if taken {
            self.looked = Some(Instant::now());
        } else if added {
            self.looked = None;
        }
    }
}

#[cfg(test)]
mod tests;
