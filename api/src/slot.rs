//! Hash slots: who writes what (DESIGN D3).
//!
//! Gateways route by it, shards own by it, and controllers split their work by it, so it is defined once, below all.

use xxhash_rust::xxh3::Xxh3;

/// Number of slots in every cluster: 12 bits.
pub const SLOTS: u16 = 1 << 12;

/// How many of them are in use, from the first on: all.
#[cfg(not(feature = "few-slots"))]
pub const fn in_use() -> u16 {
    SLOTS
}

#[cfg(feature = "few-slots")]
static IN_USE: std::sync::atomic::AtomicU16 = std::sync::atomic::AtomicU16::new(SLOTS);

/// How many of them are in use, from the first on: all, unless this process has called [`use_few`].
#[cfg(feature = "few-slots")]
pub fn in_use() -> u16 {
    IN_USE.load(std::sync::atomic::Ordering::Relaxed)
}

/// Lets this process use fewer slots, for good: before anything else is done. A simulation of thousands of clusters has no
/// time for 4096 slots in each, and in few slots more things meet. A store that was written with one number of slots cannot
/// be read with another.
#[cfg(feature = "few-slots")]
pub fn use_few(slots: u16) {
    IN_USE.store(slots.clamp(1, SLOTS), std::sync::atomic::Ordering::Relaxed);
}

/// One of the [`SLOTS`] hash slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Slot(pub u16);

/// Where the objects of a namespace live, the Namespace object itself included.
pub fn of_namespace(cluster: &str, namespace: &str) -> Slot {
    mix(&[cluster, namespace])
}

/// Where one object of a spreadable resource lives (cluster-scoped kinds, node Leases, Events).
///
/// `resource` is the stored resource's `plural.group` (see [`crate::Resource::id_name`]).
pub fn of_spread(cluster: &str, resource: &str, namespace: &str, name: &str) -> Slot {
    mix(&[cluster, resource, namespace, name])
}

fn mix(parts: &[&str]) -> Slot {
    let mut hash = Xxh3::new();
    for part in parts {
        hash.update(part.as_bytes());
        // A byte that no name contains, so that ("a", "bc") and ("ab", "c") differ.
        hash.update(&[0]);
    }
    Slot((hash.digest() >> 52) as u16 % in_use())
}

/// Rendezvous hashing: which of `members` owns `key`. Ties break by member, and members may be in any order.
///
/// Removing a member moves only what it owned. Returns `None` when there are no members.
pub fn rendezvous<M: AsRef<str>>(key: u64, members: &[M]) -> Option<&M> {
    let weight = |member: &M| {
        let mut hash = Xxh3::with_seed(key);
        hash.update(member.as_ref().as_bytes());
        hash.digest()
    };
    members.iter().max_by(|a, b| weight(a).cmp(&weight(b)).then_with(|| a.as_ref().cmp(b.as_ref())))
}

/// A set of slots, as one bit each.
#[derive(Clone, PartialEq, Eq)]
pub struct SlotSet([u64; WORDS]);

const WORDS: usize = SLOTS as usize / 64;

impl SlotSet {
    /// No slot.
    pub const fn new() -> Self {
        Self([0; WORDS])
    }

    /// Every slot that is in use.
    #[cfg(not(feature = "few-slots"))]
    pub const fn full() -> Self {
        Self([u64::MAX; WORDS])
    }

    /// Every slot that is in use.
    #[cfg(feature = "few-slots")]
    pub fn full() -> Self {
        (0..in_use()).map(Slot).collect()
    }

    /// One bit for each slot, from the first one on, the lowest bit of a byte first.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|word| word.to_le_bytes()).collect()
    }

    /// The set that [`SlotSet::to_bytes`] has written; `None` for a wrong number of bytes.
    pub fn of_bytes(bytes: &[u8]) -> Option<Self> {
        let (words, rest) = bytes.as_chunks();
        let words: [u64; WORDS] =
            words.iter().map(|word| u64::from_le_bytes(*word)).collect::<Vec<_>>().try_into().ok()?;
        rest.is_empty().then_some(Self(words))
    }

    /// Whether the slot is in it.
    pub fn contains(&self, slot: Slot) -> bool {
        self.0.get(usize::from(slot.0) / 64).is_some_and(|word| word & bit(slot) != 0)
    }

    /// Adds a slot, which must be below [`SLOTS`]; answers whether it is new.
    pub fn insert(&mut self, slot: Slot) -> bool {
        let word = &mut self.0[usize::from(slot.0) / 64];
        let new = *word & bit(slot) == 0;
        *word |= bit(slot);
        new
    }

    /// Takes a slot out; answers whether it was there.
    pub fn remove(&mut self, slot: Slot) -> bool {
        let there = self.contains(slot);
        if there {
            self.0[usize::from(slot.0) / 64] &= !bit(slot);
        }
        there
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// The slots, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Slot> + '_ {
        self.0.iter().enumerate().flat_map(|(at, word)| {
            let mut left = *word;
            std::iter::from_fn(move || {
                let bit = left.trailing_zeros() as u16;
                left &= left.checked_sub(1)?;
                Some(Slot(at as u16 * 64 + bit))
            })
        })
    }

    /// What is in either.
    pub fn union(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a | b)
    }

    /// What is in both.
    pub fn intersection(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & b)
    }

    /// What is here and not in the other.
    pub fn difference(&self, other: &Self) -> Self {
        self.zip(other, |a, b| a & !b)
    }

    fn zip(&self, other: &Self, of: impl Fn(u64, u64) -> u64) -> Self {
        Self(std::array::from_fn(|at| of(self.0[at], other.0[at])))
    }
}

fn bit(slot: Slot) -> u64 {
    1 << (slot.0 % 64)
}

impl Default for SlotSet {
    fn default() -> Self {
        Self::new()
    }
}

impl FromIterator<Slot> for SlotSet {
    fn from_iter<I: IntoIterator<Item = Slot>>(slots: I) -> Self {
        let mut set = Self::new();
        slots.into_iter().for_each(|slot| {
            set.insert(slot);
        });
        set
    }
}

/// Ranges as people write them: `0-99,101`.
impl std::fmt::Display for SlotSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        let mut slot = 0;
        while slot < SLOTS {
            if !self.contains(Slot(slot)) {
                slot += 1;
                continue;
            }
            let first = slot;
            while self.contains(Slot(slot + 1)) {
                slot += 1;
            }
            match slot - first {
                0 => write!(f, "{separator}{first}")?,
                _ => write!(f, "{separator}{first}-{slot}")?,
            }
            separator = ",";
            slot += 1;
        }
        Ok(())
    }
}

impl std::fmt::Debug for SlotSet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SlotSet({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_spread_evenly() {
        let mut count = vec![0u32; usize::from(SLOTS)];
        for i in 0..409_600 {
            count[usize::from(of_namespace("default", &format!("ns-{i}")).0)] += 1;
        }
        let (min, max) = (count.iter().min().unwrap(), count.iter().max().unwrap());
        assert!(*min > 50 && *max < 160, "100 expected in each slot, found {min} to {max}");
    }

    #[test]
    fn a_removed_member_moves_only_its_own() {
        let all = ["a", "b", "c"];
        let fewer = ["a", "c"];
        for key in 0..10_000 {
            let before = rendezvous(key, &all).unwrap();
            if *before != "b" {
                assert_eq!(rendezvous(key, &fewer).unwrap(), before);
            }
        }
    }

    #[test]
    fn sets_are_what_was_put_in() {
        let mut set: SlotSet = [0, 1, 2, 64, 4095].map(Slot).into_iter().collect();
        assert_eq!((set.to_string().as_str(), set.len()), ("0-2,64,4095", 5));
        assert!(set.remove(Slot(64)) && !set.remove(Slot(64)) && !set.contains(Slot(4096)));
        assert_eq!(set.iter().map(|slot| slot.0).collect::<Vec<_>>(), [0, 1, 2, 4095]);
        let full = SlotSet::full();
        assert_eq!(full.difference(&set).union(&set), full);
        assert_eq!(full.intersection(&set), set);
        assert_eq!(SlotSet::of_bytes(&set.to_bytes()), Some(set));
        assert_eq!((SlotSet::of_bytes(&[0; 511]), SlotSet::of_bytes(&[0; 520])), (None, None));
        assert_eq!((full.len(), full.to_string().as_str()), (4096, "0-4095"));
        assert!(SlotSet::new().is_empty() && SlotSet::default().to_string().is_empty());
    }

    #[test]
    fn where_things_live_never_changes() {
        // Stored data depends on these: a change here is a change of format.
        assert_eq!(of_namespace("default", "kube-system"), of_namespace("default", "kube-system"));
        assert_ne!(of_spread("default", "nodes", "", "ab"), of_spread("default", "nodes", "a", "b"));
    }
}
