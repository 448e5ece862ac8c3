//! Hash slots: who writes what (DESIGN D3).
//!
//! Gateways route by it, shards own by it, and controllers split their work by it, so it is defined once, below all.

use xxhash_rust::xxh3::Xxh3;

/// Number of slots in every cluster: 12 bits.
pub const SLOTS: u16 = 1 << 12;

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
    Slot((hash.digest() >> 52) as u16)
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
    fn where_things_live_never_changes() {
        // Stored data depends on these: a change here is a change of format.
        assert_eq!(of_namespace("default", "kube-system"), of_namespace("default", "kube-system"));
        assert_ne!(of_spread("default", "nodes", "", "ab"), of_spread("default", "nodes", "a", "b"));
    }
}
