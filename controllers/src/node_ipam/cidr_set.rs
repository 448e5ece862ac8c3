//! A range of addresses cut into equal ranges for Nodes: which are taken.
//!
//! Invariant, which the model test holds: no range is handed out that overlaps one that is taken.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// The configuration makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRange(pub String);

impl std::fmt::Display for BadRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadRange {}

/// The ranges of a cluster, one bit each.
#[derive(Clone, Debug)]
pub struct CidrSet {
    cluster: Ipv4Net,
    mask: u8,
    words: Vec<u64>,
    /// How many ranges there are.
    total: usize,
    taken: usize,
    /// Where to look next: what was released last is handed out last.
    next: usize,
}

impl CidrSet {
    /// Cuts `cluster` into ranges with this mask.
    pub fn new(cluster: Ipv4Net, mask: u8) -> Result<Self, BadRange> {
        let cluster = cluster.trunc();
        let bits = mask.checked_sub(cluster.prefix_len());
        match bits {
            Some(bits) if bits <= 24 && mask <= 30 => {
                let total = 1usize << bits;
                Ok(Self { cluster, mask, words: vec![0; total.div_ceil(64)], total, taken: 0, next: 0 })
            }
            _ => Err(BadRange(format!(
                "{cluster} cannot be cut into ranges of mask {mask}: it must be at most 30, no shorter than the \
                 cluster's, and longer by no more than 24"
            ))),
        }
    }

    /// How many ranges there are.
    pub fn capacity(&self) -> usize {
        self.total
    }

    fn bit(&self, at: usize) -> bool {
        self.words[at / 64] >> (at % 64) & 1 == 1
    }

    fn range(&self, at: usize) -> Ipv4Net {
        let base = u32::from(self.cluster.network());
        let step = (at as u32) << (32 - u32::from(self.mask));
        Ipv4Net::new(Ipv4Addr::from(base | step), self.mask).expect("the mask was checked in `new`")
    }

    /// The first and last of our ranges that overlap with another.
    fn overlap(&self, other: &Ipv4Net) -> Option<(usize, usize)> {
        let other = other.trunc();
        if other.contains(&self.cluster) {
            return Some((0, self.total - 1));
        }
        if !self.cluster.contains(&other) {
            return None;
        }
        let base = u32::from(self.cluster.network());
        let shift = 32 - u32::from(self.mask);
        let place = |address: Ipv4Addr| ((u32::from(address) - base) >> shift) as usize;
        Some((place(other.network()), place(other.broadcast())))
    }

    /// Takes the next free range; `None` when all are taken.
    pub fn allocate(&mut self) -> Option<Ipv4Net> {
        if self.taken == self.total {
            return None;
        }
        let mut at = self.next;
        loop {
            if at.is_multiple_of(64) && self.words[at / 64] == u64::MAX {
                at = (at + 64) % self.words.len().saturating_mul(64);
            } else if at < self.total && !self.bit(at) {
                break;
            } else {
                at += 1;
            }
            if at >= self.total {
                at = 0;
            }
        }
        self.set(at, true);
        self.next = (at + 1) % self.total;
        Some(self.range(at))
    }

    fn set(&mut self, at: usize, taken: bool) -> bool {
        if self.bit(at) == taken {
            return false;
        }
        self.words[at / 64] ^= 1 << (at % 64);
        if taken {
            self.taken += 1;
        } else {
            self.taken -= 1;
        }
        true
    }

    /// Marks every range that overlaps with this one as taken. False where it lies outside; `Some(true)` where all were
    /// free before.
    pub fn occupy(&mut self, range: &Ipv4Net) -> Option<bool> {
        let (first, last) = self.overlap(range)?;
        let mut fresh = true;
        for at in first..=last {
            fresh &= self.set(at, true);
        }
        Some(fresh)
    }

    /// Gives ranges back. False where none of it was taken here.
    pub fn release(&mut self, range: &Ipv4Net) -> bool {
        let Some((first, last)) = self.overlap(range) else { return false };
        let mut any = false;
        for at in first..=last {
            any |= self.set(at, false);
        }
        any
    }

    /// How many are taken.
    pub fn taken(&self) -> usize {
        self.taken
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::*;

    fn net(text: &str) -> Ipv4Net {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_handed_out_is_unique_until_it_comes_back() {
        for seed in 0..60 {
            let mut random = StdRng::seed_from_u64(seed);
            let mut set = CidrSet::new(net("10.8.0.0/16"), 16 + random.random_range(0..10)).unwrap();
            let mut held: BTreeSet<Ipv4Net> = BTreeSet::new();
            for _ in 0..1500 {
                if random.random_bool(0.6) {
                    match set.allocate() {
                        Some(range) => {
                            assert!(net("10.8.0.0/16").contains(&range) && range.trunc() == range, "{range}");
                            assert!(held.insert(range), "seed {seed}: {range} was handed out twice");
                        }
                        None => assert_eq!(held.len(), set.capacity(), "seed {seed}"),
                    }
                } else if let Some(range) = held.iter().nth(random.random_range(0..held.len().max(1))).copied() {
                    held.remove(&range);
                    assert!(set.release(&range));
                    assert!(!set.release(&range), "a second release does nothing");
                }
                assert_eq!(set.taken(), held.len());
            }
        }
    }

    #[test]
    fn ranges_of_nodes_and_services_are_left_alone() {
        let mut set = CidrSet::new(net("10.0.0.0/8"), 25).unwrap();
        assert_eq!(set.capacity(), 131_072);
        assert_eq!(set.occupy(&net("10.96.0.0/12")), Some(true));
        assert_eq!(set.occupy(&net("10.0.0.0/25")), Some(true));
        assert_eq!(set.occupy(&net("10.0.0.0/25")), Some(false));
        assert_eq!(set.occupy(&net("192.168.0.0/24")), None);
        assert_eq!(set.capacity() - set.taken(), 122_879);
        let services = net("10.96.0.0/12");
        while let Some(range) = set.allocate() {
            assert!(!services.contains(&range), "{range}");
        }
        assert_eq!(set.taken(), set.capacity());
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(CidrSet::new(net("10.0.0.0/16"), 8).is_err());
        assert!(CidrSet::new(net("10.0.0.0/16"), 31).is_err());
        assert!(CidrSet::new(net("0.0.0.0/0"), 30).is_err());
        assert_eq!(CidrSet::new(net("10.0.0.0/24"), 24).unwrap().allocate(), Some(net("10.0.0.0/24")));
    }
}
