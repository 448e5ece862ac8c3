//! A disk that others fill and empty, under a store that commits.

use std::collections::HashSet;

use bytes::Bytes;
use parking_lot::Mutex;

use super::*;
use crate::contract::batch;
use crate::{Batch, Embedded, Store, StoreError, Write};

const BLOCK: usize = 4096;

#[derive(Debug)]
struct State {
    bytes: Vec<u8>,
    /// Blocks that were written to: others are holes.
    used: HashSet<usize>,
    kept: u64,
    /// What other files take.
    others: u64,
    size: u64,
}

impl State {
    fn free(&self) -> u64 {
        self.size.saturating_sub(self.used.len() as u64 * BLOCK as u64 + self.kept + self.others)
    }
}

/// A disk of a given size.
#[derive(Clone, Debug)]
struct Disk(Arc<Mutex<State>>);

impl Disk {
    fn new(size: u64) -> Self {
        Self(Arc::new(Mutex::new(State { bytes: Vec::new(), used: HashSet::new(), kept: 0, others: 0, size })))
    }

    fn fill(&self) {
        let mut state = self.0.lock();
        state.others += state.free();
    }

    fn make_room(&self) {
        self.0.lock().others = 0;
    }

    fn store(&self, spare: u64) -> Embedded {
        let spare = (spare > 0).then(|| Spare::on(Box::new(self.clone()), spare, 0));
        Embedded::with_spare(self.clone(), spare).expect("there is room for an empty store")
    }
}

impl Keep for Disk {
    fn keep(&self, from: u64, to: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        if to > from && to - from > state.free() {
            return Err(ErrorKind::StorageFull.into());
        }
        state.kept = to;
        Ok(())
    }
}

impl StorageBackend for Disk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.lock().bytes.len() as u64)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let (state, from) = (self.0.lock(), offset as usize);
        out.copy_from_slice(state.bytes.get(from..from + out.len()).ok_or(ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let mut state = self.0.lock();
        state.bytes.resize(len as usize, 0);
        state.used.retain(|block| ((block * BLOCK) as u64) < len);
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let (mut state, from) = (self.0.lock(), offset as usize);
        let blocks: Vec<usize> = (from / BLOCK..(from + data.len()).div_ceil(BLOCK)).collect();
        let new = blocks.iter().filter(|block| !state.used.contains(block)).count();
        if (new * BLOCK) as u64 > state.free() {
            return Err(ErrorKind::StorageFull.into());
        }
        state.used.extend(blocks);
        state.bytes[from..from + data.len()].copy_from_slice(data);
        Ok(())
    }
}

fn key(number: u128) -> Bytes {
    Bytes::from(format!("key-{number:08}"))
}

/// A batch of 40 kB.
fn large(number: u128) -> Batch {
    batch(number, vec![], vec![Write::Put(key(number), Bytes::from(vec![number as u8; 40_000]))])
}

fn renewal(number: u128) -> Batch {
    let writes = vec![Write::Put("lease".into(), Bytes::from(number.to_string()))];
    Batch { adds: false, ..batch(number, vec![], writes) }
}

/// Fills the disk in the middle of commits; answers what was acknowledged.
async fn fill(disk: &Disk, store: &Embedded) -> (u128, StoreError) {
    for number in 0..100 {
        if number == 20 {
            disk.fill();
        }
        if let Err(error) = store.commit(large(number)).await {
            return (number, error);
        }
    }
    panic!("the disk was never full");
}

#[tokio::test]
async fn a_full_disk_refuses_what_adds_and_nothing_else() {
    let disk = Disk::new(64 << 20);
    let store = disk.store(4 << 20);
    let (acknowledged, error) = fill(&disk, &store).await;
    assert!(matches!(error, StoreError::Full(_)), "{error}");
    assert!(acknowledged > 20, "the batch that found the disk full was stored");
    // Leases for a minute and more, and reads.
    for number in 1000..1400 {
        store.commit(renewal(number)).await.unwrap();
    }
    for number in 0..acknowledged {
        assert_eq!(store.get(key(number)).await.unwrap().unwrap().len(), 40_000);
    }
    assert!(store.get(key(acknowledged)).await.unwrap().is_none(), "what was refused is not there");
    // By itself, soon after there is room.
    disk.make_room();
    tokio::time::sleep(LOOK).await;
    store.commit(large(5000)).await.unwrap();
    store.commit(large(5001)).await.unwrap();
}

#[tokio::test]
async fn deletions_make_room_in_the_file_itself() {
    let disk = Disk::new(64 << 20);
    let store = disk.store(4 << 20);
    let (acknowledged, _) = fill(&disk, &store).await;
    for number in 0..acknowledged {
        let delete = batch(2000 + number, vec![], vec![Write::Delete(key(number))]);
        store.commit(Batch { adds: false, ..delete }).await.unwrap();
    }
    for number in 3000..3010 {
        tokio::time::sleep(LOOK).await;
        if store.commit(large(number)).await.is_ok() && store.commit(large(number + 100)).await.is_ok() {
            return;
        }
    }
    panic!("no room was found");
}

#[tokio::test]
async fn half_of_the_spare_space_is_not_for_trying() {
    let disk = Disk::new(64 << 20);
    let spare = Spare::on(Box::new(disk.clone()), 4 << 20, 0);
    let store = Embedded::with_spare(disk.clone(), Some(spare.clone())).unwrap();
    let (acknowledged, _) = fill(&disk, &store).await;
    while spare.is_more_than(2) {
        spare.give();
    }
    disk.fill();
    for number in 1000..1004 {
        tokio::time::sleep(LOOK).await;
        assert!(matches!(store.commit(large(number)).await, Err(StoreError::Full(_))));
    }
    // Others may: what is cleared away leaves room in the file.
    let clear = batch(2000, vec![], vec![Write::DeleteRange(key(0), key(acknowledged))]);
    store.commit(Batch { adds: false, ..clear }).await.unwrap();
    tokio::time::sleep(LOOK).await;
    store.commit(large(3000)).await.unwrap();
    store.commit(large(3001)).await.unwrap();
}

/// The test above must be able to fail: without spare space the store is broken by the first write that finds no room.
#[tokio::test]
async fn without_spare_space_a_full_disk_breaks_the_store() {
    let disk = Disk::new(64 << 20);
    let store = disk.store(0);
    let (_, error) = fill(&disk, &store).await;
    assert!(matches!(error, StoreError::Broken(_)), "{error}");
    assert!(store.commit(renewal(1000)).await.is_err());
}

#[tokio::test]
async fn a_file_keeps_space_and_gives_it_back() {
    let directory = tempfile::tempdir().unwrap();
    let Some(spare) = Spare::open(directory.path()).unwrap() else {
        return eprintln!("skipped: this file system cannot keep space");
    };
    let kept =
        || std::os::unix::fs::MetadataExt::blocks(&std::fs::metadata(directory.path().join(FILE_NAME)).unwrap()) * 512;
    assert!(kept() >= spare.whole);
    assert!(spare.give() && kept() < spare.whole && spare.is_more_than(2));
    spare.refill();
    assert!(kept() >= spare.whole);
    let again = Spare::open(directory.path()).unwrap().unwrap();
    assert_eq!(again.held.load(Ordering::Relaxed), spare.whole, "another start finds it");
}
