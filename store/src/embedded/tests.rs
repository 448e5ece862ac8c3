//! The contract on redb, and power loss: a medium that loses, tears and reorders whatever was not synced.

use std::collections::BTreeMap;
use std::io;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::contract::batch;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keeps_the_contract() {
    let root = tempfile::tempdir().unwrap();
    let count = std::sync::atomic::AtomicUsize::new(0);
    crate::contract::run(|| {
        let directory = root.path().join(count.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_string());
        std::fs::create_dir(&directory).unwrap();
        Arc::new(Embedded::open(&directory).unwrap())
    })
    .await;
}

#[tokio::test]
async fn a_second_process_is_told_who_is_in_the_way() {
    let directory = tempfile::tempdir().unwrap();
    let first = Embedded::open(directory.path()).unwrap();
    assert!(matches!(Embedded::open(directory.path()), Err(OpenError::Locked { .. })));
    drop(first);
    Embedded::open(directory.path()).expect("the lock goes with the store");
}

#[tokio::test]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(FILE_NAME);
    std::fs::write(&path, b"this is not a store, and it is longer than a header would be".repeat(100)).unwrap();
    let before = std::fs::read(&path).unwrap();
    assert!(matches!(Embedded::open(directory.path()), Err(OpenError::Format { .. })));
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

/// A disk with a volatile cache.
#[derive(Clone, Debug, Default)]
struct Disk {
    state: Arc<Mutex<DiskState>>,
    /// The planted bug: fsync does nothing.
    forgets_fsync: bool,
}

#[derive(Debug, Default)]
struct DiskState {
    /// What a process reads back.
    cached: Vec<u8>,
    /// What survives for sure.
    durable: Vec<u8>,
    /// What came since the last sync, in order.
    unsynced: Vec<Change>,
}

#[derive(Clone, Debug)]
enum Change {
    Length(u64),
    Write(u64, Vec<u8>),
}

/// What a disk writes in one piece.
const SECTOR: usize = 512;

fn apply(image: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Length(length) => image.resize(*length as usize, 0),
        Change::Write(at, data) => {
            let end = *at as usize + data.len();
            if image.len() < end {
                image.resize(end, 0);
            }
            image[*at as usize..end].copy_from_slice(data);
        }
    }
}

impl Disk {
    /// The disk after a power loss: each sector that was not synced is there or not, by chance.
    fn after_power_loss(&self, random: &mut StdRng) -> Self {
        let state = self.state.lock();
        let mut image = state.durable.clone();
        for change in &state.unsynced {
            match change {
                Change::Length(_) if random.random_bool(0.5) => apply(&mut image, change),
                Change::Length(_) => {}
                Change::Write(at, data) => {
                    for (sector, part) in data.chunks(SECTOR).enumerate() {
                        if random.random_bool(0.5) {
                            apply(&mut image, &Change::Write(at + (sector * SECTOR) as u64, part.to_vec()));
                        }
                    }
                }
            }
        }
        let state = DiskState { cached: image.clone(), durable: image, unsynced: Vec::new() };
        Self { state: Arc::new(Mutex::new(state)), forgets_fsync: self.forgets_fsync }
    }

    fn change(&self, change: Change) {
        let mut state = self.state.lock();
        apply(&mut state.cached, &change);
        state.unsynced.push(change);
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> Result<u64, io::Error> {
        Ok(self.state.lock().cached.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
        let state = self.state.lock();
        let from = offset as usize;
        let part = state.cached.get(from..from + out.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        out.copy_from_slice(part);
        Ok(())
    }

    fn set_len(&self, len: u64) -> Result<(), io::Error> {
        self.change(Change::Length(len));
        Ok(())
    }

    fn sync_data(&self) -> Result<(), io::Error> {
        if !self.forgets_fsync {
            let mut state = self.state.lock();
            state.durable = state.cached.clone();
            state.unsynced.clear();
        }
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
        self.change(Change::Write(offset, data.to_vec()));
        Ok(())
    }
}

/// Commits batches, cuts the power, and opens what is left. Returns what was acknowledged and is not there.
async fn lost_by_power_cuts(seed: u64, forgets_fsync: bool) -> Result<(), String> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut disk = Disk { forgets_fsync, ..Disk::default() };
    let mut model: BTreeMap<Bytes, Bytes> = BTreeMap::new();
    let mut id = 0;
    for round in 0..4 {
        let store = Embedded::on(disk.clone()).map_err(|error| format!("round {round}: {error}"))?;
        let found = crate::contract::everything(&store, usize::MAX).await.map_err(|error| error.to_string())?;
        let found: BTreeMap<Bytes, Bytes> = found.into_iter().collect();
        if found != model {
            return Err(format!("round {round}: {} keys acknowledged, {} found", model.len(), found.len()));
        }
        for _ in 0..random.random_range(1..12) {
            id += 1;
            let writes: Vec<Write> = (0..random.random_range(1..8)).map(|_| random_write(&mut random)).collect();
            store.commit(batch(id, vec![], writes.clone())).await.unwrap();
            for write in writes {
                crate::memory::apply(&mut model, write);
            }
        }
        // The power goes while the process lives: what its orderly close would write does not count.
        let after = disk.after_power_loss(&mut random);
        drop(store);
        disk = after;
    }
    Ok(())
}

fn random_write(random: &mut StdRng) -> Write {
    let key = Bytes::from(format!("key-{:03}", random.random_range(0..200)));
    if random.random_bool(0.2) {
        return Write::Delete(key);
    }
    let length = if random.random_bool(0.05) { 20_000 } else { random.random_range(0..600) };
    Write::Put(key, Bytes::from(vec![random.random::<u8>(); length]))
}

fn seeds() -> Vec<u64> {
    match std::env::var("SHARDPLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDPLANE_SEED is a number")],
        Err(_) => (0..24).collect(),
    }
}

#[tokio::test]
async fn power_loss_takes_nothing_that_was_acknowledged() {
    for seed in seeds() {
        lost_by_power_cuts(seed, false).await.unwrap_or_else(|lost| panic!("SHARDPLANE_SEED={seed}: {lost}"));
    }
}

/// The test above must be able to fail: a store that forgets to fsync loses something for most seeds.
#[tokio::test]
async fn a_forgotten_fsync_is_noticed() {
    let mut noticed = 0;
    for seed in 0..8 {
        noticed += usize::from(lost_by_power_cuts(seed, true).await.is_err());
    }
    assert!(noticed >= 6, "only {noticed} of 8 seeds noticed that nothing was synced");
}

#[tokio::test]
async fn a_failed_fsync_breaks_the_store_for_good() {
    #[derive(Debug, Default)]
    struct Failing(Disk, std::sync::atomic::AtomicBool);
    #[derive(Clone, Debug, Default)]
    struct Shared(Arc<Failing>);
    impl StorageBackend for Shared {
        fn len(&self) -> Result<u64, io::Error> {
            self.0.0.len()
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> Result<(), io::Error> {
            self.0.0.read(offset, out)
        }
        fn set_len(&self, len: u64) -> Result<(), io::Error> {
            self.0.0.set_len(len)
        }
        fn sync_data(&self) -> Result<(), io::Error> {
            if self.0.1.load(std::sync::atomic::Ordering::Relaxed) {
                return Err(io::Error::other("the disk is gone"));
            }
            self.0.0.sync_data()
        }
        fn write(&self, offset: u64, data: &[u8]) -> Result<(), io::Error> {
            self.0.0.write(offset, data)
        }
    }
    let disk = Shared::default();
    let store = Embedded::on(disk.clone()).unwrap();
    let write = || vec![Write::Put(Bytes::from_static(b"a"), Bytes::from_static(b"1"))];
    store.commit(batch(1, vec![], write())).await.unwrap();
    disk.0.1.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(matches!(store.commit(batch(2, vec![], write())).await, Err(StoreError::Broken(_))));
    disk.0.1.store(false, std::sync::atomic::Ordering::Relaxed);
    let again = store.commit(batch(3, vec![], write())).await;
    assert!(matches!(again, Err(StoreError::Broken(_))), "a disk that failed once is not trusted again: {again:?}");
}

#[tokio::test]
async fn ids_are_remembered_by_the_file_and_forgotten_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let store = Embedded::open(directory.path()).unwrap();
    let write = |value: &'static str| vec![Write::Put(Bytes::from_static(b"a"), Bytes::from_static(value.as_bytes()))];
    store.commit(batch(1, vec![], write("1"))).await.unwrap();
    store.commit(batch(2, vec![], write("2"))).await.unwrap();
    drop(store);
    let store = Embedded::open(directory.path()).unwrap();
    store.commit(batch(1, vec![], write("1"))).await.unwrap();
    let found = store.get(Bytes::from_static(b"a")).await.unwrap();
    assert_eq!(found.as_deref(), Some(&b"2"[..]), "a batch of the process before was applied again");
    store.commit(batch(3, vec![], write("3"))).await.unwrap();

    // A minute later, by the committing thread's own clock, which no test turns: asked of the state itself.
    let mut applied = prepare(&store.database).unwrap();
    assert_eq!(applied.rows, 0..3);
    assert_eq!(applied.recent.forget(Instant::now() + crate::REMEMBERED / 2), 0);
    assert_eq!(applied.recent.forget(Instant::now() + crate::REMEMBERED * 2), 3);
    assert!(applied.recent.answer(&batch(3, vec![], vec![]), 0).is_none());
}
