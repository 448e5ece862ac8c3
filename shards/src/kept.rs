//! What was made when it was first asked for and is kept for whoever asks again, within a budget of bytes (DESIGN D2).
//!
//! What was not asked for for a while makes room: a hand goes round over all entries, and spares each once that was used since it
//! last came by.

use std::collections::VecDeque;
use std::hash::Hash;

use hashbrown::{DefaultHashBuilder, HashMap};
use parking_lot::Mutex;
use std::hash::BuildHasher;

/// Parts, each with a lock and an equal share of the budget.
const PARTS: usize = 16;

/// What an entry costs beside its bytes.
const OVERHEAD: usize = 128;

/// See the module. Clones of a value are the same one, or cheap.
pub struct Kept<K, V> {
    parts: [Mutex<Part<K, V>>; PARTS],
    /// Bytes of each part.
    budget: usize,
    hasher: DefaultHashBuilder,
}

/// What came of keeping something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Entries that made room.
    pub evictions: u64,
    /// Bytes that are kept now and were not before.
    pub bytes: i64,
}

struct Part<K, V> {
    entries: HashMap<K, Entry<V>>,
    /// Each key once, in the order in which the hand comes by.
    round: VecDeque<K>,
    bytes: usize,
}

struct Entry<V> {
    value: V,
    cost: usize,
    used: bool,
}

impl<K: Hash + Eq + Clone, V: Clone> Kept<K, V> {
    /// Room for so many bytes.
    pub fn new(budget: usize) -> Self {
        let part = |_| Mutex::new(Part { entries: HashMap::new(), round: VecDeque::new(), bytes: 0 });
        Self { parts: std::array::from_fn(part), budget: budget / PARTS, hasher: DefaultHashBuilder::default() }
    }

    fn part(&self, key: &K) -> &Mutex<Part<K, V>> {
        &self.parts[self.hasher.hash_one(key) as usize % PARTS]
    }

    /// What is kept under a key.
    pub fn get(&self, key: &K) -> Option<V> {
        let mut part = self.part(key).lock();
        let entry = part.entries.get_mut(key)?;
        entry.used = true;
        Some(entry.value.clone())
    }

    /// Keeps a value of so many bytes, if that leaves room for others.
    pub fn put(&self, key: K, value: V, bytes: usize) -> Change {
        let cost = bytes + OVERHEAD;
        let mut change = Change::default();
        if cost > self.budget {
            return change;
        }
        let mut part = self.part(&key).lock();
        let before = part.bytes;
        while part.bytes + cost > self.budget && part.drop_one() {
            change.evictions += 1;
        }
        match part.entries.insert(key.clone(), Entry { value, cost, used: false }) {
            None => part.round.push_back(key),
            Some(old) => part.bytes -= old.cost,
        }
        part.bytes += cost;
        change.bytes = part.bytes as i64 - before as i64;
        change
    }
}

impl<K: Hash + Eq, V> Part<K, V> {
    /// Moves the hand to something that was not used; whether there was anything at all.
    fn drop_one(&mut self) -> bool {
        while let Some(key) = self.round.pop_front() {
            if let Some(entry) = self.entries.get_mut(&key)
                && std::mem::take(&mut entry.used)
            {
                self.round.push_back(key);
            } else if let Some(entry) = self.entries.remove(&key) {
                self.bytes -= entry.cost;
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Answers how many bytes there are.
    fn consistency_check(kept: &Kept<u32, u32>) -> usize {
        let check = |part: &Mutex<Part<u32, u32>>| {
            let part = part.lock();
            let bytes: usize = part.entries.values().map(|entry| entry.cost).sum();
            assert_eq!((part.bytes, part.round.len()), (bytes, part.entries.len()));
            assert!(bytes <= kept.budget);
            bytes
        };
        kept.parts.iter().map(check).sum()
    }

    #[test]
    fn what_is_used_stays_and_the_rest_makes_room() {
        let kept = Kept::new(PARTS * 4000);
        let (mut evictions, mut bytes) = (0, 0);
        for key in 0..4000 {
            let change = kept.put(key, key, 100);
            evictions += change.evictions;
            bytes += change.bytes;
            assert_eq!(kept.get(&0), Some(0));
        }
        assert_eq!(consistency_check(&kept) as i64, bytes);
        assert!(evictions > 3000);
        let change = kept.put(0, 1, 200);
        let room = 228 * i64::try_from(change.evictions).unwrap();
        assert_eq!(change.bytes + room, 100, "it takes the place of what was there");
        assert_eq!(kept.put(5000, 1, 5000), Change::default(), "too large for its part");
        assert_eq!((kept.get(&0), kept.get(&5000)), (Some(1), None));
        consistency_check(&kept);
    }
}
