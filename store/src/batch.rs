//! What is committed: writes, fences, batches, and how large they may be.

use std::time::Duration;

use bytes::Bytes;
use xxhash_rust::xxh3::Xxh3;

use crate::StoreError;
use crate::memory::printable;

/// The longest key, in bytes.
pub const KEY_BYTES: usize = 8 << 10;
/// The longest value, in bytes: an object of 3 MiB fits, with its envelope.
pub const VALUE_BYTES: usize = 4 << 20;
/// The largest batch, counted by [`Batch::size`]. FoundationDB refuses transactions of 10,000,000 bytes, and what it counts
/// beyond this are the prefixes of keys.
pub const BATCH_BYTES: usize = 8 << 20;
/// How long a store remembers the id of a batch that it applied, at least.
pub const REMEMBERED: Duration = Duration::from_secs(60);
/// What a write or a fence counts beside its keys and its value.
const OVERHEAD: usize = 256;

/// A batch's own identity: how an unknown outcome is settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BatchId(pub u128);

/// One change of one key, or of all keys of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Write {
    /// Sets the key's value.
    Put(Bytes, Bytes),
    /// Removes the key, if it is there.
    Delete(Bytes),
    /// Removes every key that is at or behind the first and before the second: those that earlier writes of the same batch put
    /// there too, those of later ones not. Its cost does not depend on how many keys there are on FoundationDB, and does
    /// elsewhere. An inverted range is empty.
    DeleteRange(Bytes, Bytes),
}

impl Write {
    /// What it counts towards [`BATCH_BYTES`]: keys are counted as often as FoundationDB does, which keeps each as a change
    /// and as the ends of ranges.
    pub fn size(&self) -> usize {
        match self {
            Self::Put(key, value) => OVERHEAD + 5 * key.len() + value.len(),
            Self::Delete(key) => OVERHEAD + 5 * key.len(),
            Self::DeleteRange(from, to) => OVERHEAD + 3 * (from.len() + to.len()),
        }
    }
}

/// What must hold in the same transaction, or nothing of the batch happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The key that is looked at.
    pub key: Bytes,
    /// The value that it must have; `None`: it must be absent.
    pub expected: Option<Bytes>,
}

impl Fence {
    /// What it counts towards [`BATCH_BYTES`]. The expected value is compared, not sent.
    pub fn size(&self) -> usize {
        OVERHEAD + 2 * self.key.len()
    }
}

/// Changes that happen together or not at all.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Unique for ever: a random number of 128 bits. Only the very same batch may be committed under it again.
    pub id: BatchId,
    /// Checked first.
    pub fences: Vec<Fence>,
    /// Applied in order; a later one of the same key wins.
    pub writes: Vec<Write>,
    /// Whether it adds what somebody wants to keep, and may wait until there is room for it. What keeps owners owners, or makes
    /// room, does not: it must go on when the medium is full.
    pub adds: bool,
}

impl Batch {
    /// What it counts towards [`BATCH_BYTES`]: the sum of its writes and fences.
    pub fn size(&self) -> usize {
        self.fences.iter().map(Fence::size).sum::<usize>() + self.writes.iter().map(Write::size).sum::<usize>()
    }

    /// A hash of everything but the id, to notice when two batches share one. It is stored: it must not change.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hash = Xxh3::new();
        let mut add = |tag: u8, parts: [Option<&Bytes>; 2]| {
            hash.update(&[tag]);
            for part in parts {
                // A length that no part has stands for one that is absent.
                hash.update(&part.map_or(u64::MAX, |part| part.len() as u64).to_be_bytes());
                hash.update(part.map_or(&[], |part| &part[..]));
            }
        };
        for fence in &self.fences {
            add(0, [Some(&fence.key), fence.expected.as_ref()]);
        }
        for write in &self.writes {
            match write {
                Write::Put(key, value) => add(1, [Some(key), Some(value)]),
                Write::Delete(key) => add(2, [Some(key), None]),
                Write::DeleteRange(from, to) => add(3, [Some(from), Some(to)]),
            }
        }
        hash.digest()
    }

    /// Whether it is within the limits that every store keeps; [`StoreError::TooLarge`] says which one it breaks.
    pub fn check(&self) -> Result<(), StoreError> {
        for fence in &self.fences {
            check_key(&fence.key)?;
        }
        for write in &self.writes {
            match write {
                Write::Put(key, value) => {
                    check_key(key)?;
                    if value.len() > VALUE_BYTES {
                        let (key, is) = (printable(key), value.len());
                        return Err(StoreError::TooLarge(format!(
                            "the value of {key} has {is} bytes, and {VALUE_BYTES} are allowed"
                        )));
                    }
                }
                Write::Delete(key) => check_key(key)?,
                Write::DeleteRange(from, to) => {
                    check_key(from)?;
                    check_key(to)?;
                }
            }
        }
        match self.size() {
            size if size > BATCH_BYTES => {
                Err(StoreError::TooLarge(format!("the batch counts {size} bytes, and {BATCH_BYTES} are allowed")))
            }
            _ => Ok(()),
        }
    }
}

/// Whether a key is within [`KEY_BYTES`].
pub(crate) fn check_key(key: &[u8]) -> Result<(), StoreError> {
    if key.len() <= KEY_BYTES {
        return Ok(());
    }
    let start = printable(&key[..64]);
    let is = key.len();
    Err(StoreError::TooLarge(format!("the key {start}… has {is} bytes, and {KEY_BYTES} are allowed")))
}
