//! Pod IPs: from the node's podCIDRs, or from a range of the simulation's own where the cluster hands out none.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hashbrown::HashSet;
use ipnet::{IpNet, Ipv4Net};
use smol_str::SmolStr;

/// Where nodes without a podCIDR take their Pods' IPs from: 256 addresses each of 100.64.0.0/10 (RFC 6598, shared address
/// space), so 16,384 nodes have ranges of their own.
fn fallback(node: usize) -> IpNet {
    let start = u32::from(Ipv4Addr::new(100, 64, 0, 0)) + ((node as u32) % (1 << 14)) * 256;
    IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::from(start), 24))
}

/// One node's addresses.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    /// Empty as long as the node has no range.
    ranges: Vec<IpNet>,
    /// Offsets into each range that Pods have.
    used: HashSet<u32>,
    next: u32,
}

impl Addresses {
    /// Whether the node has a range.
    pub(crate) fn are_known(&self) -> bool {
        !self.ranges.is_empty()
    }

    /// The node's podCIDRs have become known. They never change.
    pub(crate) fn learn(&mut self, ranges: &[IpNet]) {
        if self.ranges.is_empty() {
            self.ranges = ranges.to_vec();
        }
    }

    /// The node gets no podCIDR.
    pub(crate) fn fall_back(&mut self, node: usize) {
        self.learn(&[fallback(node)]);
    }

    /// Addresses of a new Pod, one of each range, with the offset to give back; `None` when all are taken.
    ///
    /// Offset 0 names the range and 1 is the bridge's, as in every CNI plugin. Offsets are reused as late as possible.
    pub(crate) fn take(&mut self) -> Option<(u32, Vec<SmolStr>)> {
        let size = self.ranges.iter().map(capacity).min()?;
        let first = self.next.max(2);
        let offset = (first..size).chain(2..first.min(size)).find(|offset| !self.used.contains(offset))?;
        self.used.insert(offset);
        self.next = offset + 1;
        Some((offset, self.ranges.iter().map(|range| at(range, offset).to_string().into()).collect()))
    }

    /// A Pod of an earlier kubelet has this address: its offset, if it is in the node's range.
    pub(crate) fn keep(&mut self, address: &str) -> Option<u32> {
        let address: IpAddr = address.parse().ok()?;
        let range = self.ranges.first().filter(|range| range.contains(&address))?;
        let offset = match (range.network(), address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => u32::from(address) - u32::from(base),
            (IpAddr::V6(base), IpAddr::V6(address)) => u32::try_from(u128::from(address) - u128::from(base)).ok()?,
            _ => return None,
        };
        self.used.insert(offset);
        Some(offset)
    }

    /// A Pod is gone.
    pub(crate) fn free(&mut self, offset: u32) {
        self.used.remove(&offset);
    }
}

/// Offsets below it are addresses of Pods; the last address is the broadcast.
fn capacity(range: &IpNet) -> u32 {
    let bits = u32::from(range.max_prefix_len() - range.prefix_len());
    (1u32 << bits.min(16)) - 1
}

fn at(range: &IpNet, offset: u32) -> IpAddr {
    match range.network() {
        IpAddr::V4(base) => IpAddr::V4(Ipv4Addr::from(u32::from(base) + offset)),
        IpAddr::V6(base) => IpAddr::V6(Ipv6Addr::from(u128::from(base) + u128::from(offset))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unique_and_reused_late() {
        let mut addresses = Addresses::default();
        assert!(addresses.take().is_none() && !addresses.are_known());
        addresses.learn(&["10.1.2.0/29".parse().unwrap(), "fd00::/64".parse().unwrap()]);
        assert_eq!(addresses.keep("10.1.2.3"), Some(3));
        assert_eq!(addresses.keep("10.9.9.9"), None);
        let (first, both) = addresses.take().unwrap();
        assert_eq!(both, ["10.1.2.2", "fd00::2"]);
        let rest: Vec<_> = std::iter::from_fn(|| addresses.take()).map(|(_, both)| both[0].clone()).collect();
        assert_eq!(rest, ["10.1.2.4", "10.1.2.5", "10.1.2.6"]);
        addresses.free(first);
        assert_eq!(addresses.take().unwrap().1[0], "10.1.2.2");
    }

    #[test]
    fn nodes_without_a_range_have_one_of_their_own() {
        let mut addresses = Addresses::default();
        addresses.fall_back(300);
        assert_eq!(addresses.take().unwrap().1, ["100.65.44.2"]);
        assert_ne!(fallback(4999), fallback(5000));
    }
}
