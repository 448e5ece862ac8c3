//! Where things lie in the store: layout format 2.
//!
//! | what | key | value |
//! |---|---|---|
//! | format version | `00 "format"` | decimal text, or that a backup is being restored |
//! | when the store was made | `00 "first"` | version, 8 bytes |
//! | generation of the directory | `00 'g'` | wall time and a random number, 16 bytes |
//! | owner of an ordinal | `00 'i' ordinal` | epoch |
//! | clock ceiling of an ordinal | `00 'o' ordinal` | version, 8 bytes |
//! | owner of a slot | `00 'e' slot` | epoch |
//! | floor of a slot that was handed over | `00 'v' slot` | version, 8 bytes |
//! | floors of a log | `01 slot cluster 00 00` | two versions, strict and relaxed |
//! | an entry of the log | `01 slot cluster 00 class version` | [`crate::log::Entry`] |
//! | a row | `01 slot cluster 00 id_name 00 namespace 00 name` | [`api::Object::stored`] |
//!
//! Numbers are big endian, so that one slot is one range over all clusters, and in it one cluster. No name contains a zero
//! byte, and an id_name begins with a letter, so rows never meet what stands before them. Floors and entries come first: who
//! reads a slot from its beginning reads rows that are at least as new as the entries.

use api::Version;
use api::slot::Slot;
use bytes::{BufMut, Bytes, BytesMut};

/// What this program writes. A store of another format is refused.
pub(crate) const FORMAT: u32 = 2;

/// How long the events of a resource are kept, and so which log they are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// Everything that is not named below.
    Strict = 1,
    /// Node Leases and Events.
    Relaxed = 2,
}

impl Class {
    /// In the order of their keys.
    pub(crate) const ALL: [Self; 2] = [Self::Strict, Self::Relaxed];
}

/// The format version's key.
pub(crate) fn format() -> Bytes {
    Bytes::from_static(b"\0format")
}

/// What stands in place of the format while a backup is restored: no program takes it for a number.
pub(crate) fn restoring(restore: u128) -> Bytes {
    Bytes::from(format!("{RESTORING}{restore:032x}"))
}

const RESTORING: &str = "restoring ";

/// Whether a restore is under way, or was interrupted.
pub(crate) fn is_restoring(format: &[u8]) -> bool {
    format.starts_with(RESTORING.as_bytes())
}

/// Below every version of this store: the floor of logs that were never trimmed.
pub(crate) fn first() -> Bytes {
    Bytes::from_static(b"\0first")
}

/// Written by every change of who owns what.
pub(crate) fn generation() -> Bytes {
    Bytes::from_static(b"\0g")
}

/// Who writes under an ordinal: a fence of every batch.
pub(crate) fn ordinal_owner(ordinal: u16) -> Bytes {
    of_number(b'i', ordinal)
}

/// Above every version that the ordinal has released.
pub(crate) fn ceiling(ordinal: u16) -> Bytes {
    of_number(b'o', ordinal)
}

/// Who owns a slot: a fence of every batch that writes there.
pub(crate) fn slot_owner(slot: Slot) -> Bytes {
    of_number(b'e', slot.0)
}

/// The slot of a [`slot_owner`] key.
pub(crate) fn slot_of_owner(key: &[u8]) -> Option<Slot> {
    number(b'e', key).map(Slot)
}

/// Above every version that former owners of a slot have released, as far as a hand-over says it.
pub(crate) fn floor(slot: Slot) -> Bytes {
    of_number(b'v', slot.0)
}

/// The slot of a [`floor`] key.
pub(crate) fn slot_of_floor(key: &[u8]) -> Option<Slot> {
    number(b'v', key).map(Slot)
}

/// A row of the directory: what a tag says of an ordinal or a slot.
pub(crate) fn of_number(tag: u8, number: u16) -> Bytes {
    let [high, low] = number.to_be_bytes();
    Bytes::copy_from_slice(&[0, tag, high, low])
}

/// The ordinal or slot of an [`of_number`] key with that tag.
pub(crate) fn number(tag: u8, key: &[u8]) -> Option<u16> {
    match key {
        [0, found, high, low] if *found == tag => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

/// A version as it is stored.
pub(crate) fn encode_version(version: Version) -> Bytes {
    Bytes::copy_from_slice(&version.0.to_be_bytes())
}

/// A version as it was stored.
pub(crate) fn decode_version(value: &[u8]) -> Option<Version> {
    Some(Version(u64::from_be_bytes(value.try_into().ok()?)))
}

/// Where a slot begins; the one behind it is where it ends.
pub(crate) fn slot_start(slot: u16) -> Bytes {
    let [high, low] = slot.to_be_bytes();
    Bytes::copy_from_slice(&[1, high, low])
}

fn in_cluster(slot: Slot, cluster: &str, more: usize) -> BytesMut {
    let mut key = BytesMut::with_capacity(cluster.len() + 4 + more);
    key.put_u8(1);
    key.put_u16(slot.0);
    key.put_slice(cluster.as_bytes());
    key.put_u8(0);
    key
}

/// Where what a slot holds of a cluster begins.
pub(crate) fn cluster_start(slot: Slot, cluster: &str) -> Bytes {
    in_cluster(slot, cluster, 0).freeze()
}

/// Where it ends.
pub(crate) fn cluster_end(slot: Slot, cluster: &str) -> Bytes {
    let mut key = BytesMut::from(&in_cluster(slot, cluster, 0)[..cluster.len() + 3]);
    key.put_u8(1);
    key.freeze()
}

/// Up to where rows hold everything, for each [`Class`].
pub(crate) fn floors(slot: Slot, cluster: &str) -> Bytes {
    let mut key = in_cluster(slot, cluster, 1);
    key.put_u8(0);
    key.freeze()
}

/// The value of [`floors`].
pub(crate) fn encode_floors(floors: [Version; 2]) -> Bytes {
    let mut value = BytesMut::with_capacity(16);
    floors.iter().for_each(|floor| value.put_u64(floor.0));
    value.freeze()
}

/// The value of [`floors`], by [`Class`].
pub(crate) fn decode_floors(value: &[u8]) -> Option<[Version; 2]> {
    let (strict, relaxed) = value.split_first_chunk::<8>()?;
    Some([Version(u64::from_be_bytes(*strict)), decode_version(relaxed)?])
}

/// An entry of a log.
pub(crate) fn entry(slot: Slot, cluster: &str, class: Class, version: Version) -> Bytes {
    let mut key = in_cluster(slot, cluster, 9);
    key.put_u8(class as u8);
    key.put_u64(version.0);
    key.freeze()
}

/// Where the entries behind a version begin.
pub(crate) fn entries_behind(slot: Slot, cluster: &str, class: Class, version: Version) -> Bytes {
    entry(slot, cluster, class, Version(version.0 + 1))
}

/// A row's key.
pub(crate) fn row(slot: Slot, cluster: &str, id_name: &str, namespace: &str, name: &str) -> Bytes {
    let mut key = in_cluster(slot, cluster, id_name.len() + namespace.len() + name.len() + 2);
    key.put_slice(id_name.as_bytes());
    key.put_u8(0);
    key.put_slice(namespace.as_bytes());
    key.put_u8(0);
    key.put_slice(name.as_bytes());
    key.freeze()
}

/// What stands at a key of a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place<'a> {
    Floors,
    Entry(Class, Version),
    Row { id_name: &'a str, namespace: &'a str, name: &'a str },
}

/// The slot, the cluster and the rest of a key that begins with 01.
pub(crate) fn parse(key: &[u8]) -> Option<(Slot, &str, Place<'_>)> {
    let rest = key.strip_prefix(&[1])?;
    let (slot, rest) = rest.split_first_chunk::<2>()?;
    let (cluster, rest) = until_zero(rest)?;
    let place = match rest {
        [0] => Place::Floors,
        [1, version @ ..] => Place::Entry(Class::Strict, decode_version(version)?),
        [2, version @ ..] => Place::Entry(Class::Relaxed, decode_version(version)?),
        _ => {
            let (id_name, rest) = until_zero(rest)?;
            let (namespace, name) = until_zero(rest)?;
            Place::Row { id_name, namespace, name: std::str::from_utf8(name).ok()? }
        }
    };
    Some((Slot(u16::from_be_bytes(*slot)), cluster, place))
}

fn until_zero(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let end = bytes.iter().position(|byte| *byte == 0)?;
    Some((std::str::from_utf8(&bytes[..end]).ok()?, &bytes[end + 1..]))
}

/// A key as people read it.
pub(crate) fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Who owned an ordinal or a slot when: the value of the fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Epoch {
    /// Grows with every change of owner.
    pub(crate) count: u64,
    /// The ordinal of the owner: whose ceiling the next owner starts above.
    pub(crate) ordinal: u16,
    /// Tells two claimants of the same count apart.
    pub(crate) incarnation: u128,
}

impl Epoch {
    pub(crate) fn encode(self) -> Bytes {
        let mut value = BytesMut::with_capacity(26);
        value.put_u64(self.count);
        value.put_u16(self.ordinal);
        value.put_u128(self.incarnation);
        value.freeze()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        let (count, rest) = value.split_first_chunk::<8>()?;
        let (ordinal, rest) = rest.split_first_chunk::<2>()?;
        Some(Self {
            count: u64::from_be_bytes(*count),
            ordinal: u16::from_be_bytes(*ordinal),
            incarnation: u128::from_be_bytes(rest.try_into().ok()?),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slot_is_one_range_and_its_log_comes_first() {
        let keys = [
            slot_start(7),
            floors(Slot(7), "default"),
            entry(Slot(7), "default", Class::Strict, Version(3)),
            entries_behind(Slot(7), "default", Class::Strict, Version(3)),
            entry(Slot(7), "default", Class::Relaxed, Version(1)),
            row(Slot(7), "default", "configmaps", "ns", "a"),
            row(Slot(7), "default", "pods", "", "a"),
            cluster_end(Slot(7), "default"),
            floors(Slot(7), "other"),
            slot_start(8),
        ];
        assert!(keys.is_sorted_by(|a, b| a < b), "{keys:?}");
        assert_eq!(parse(&keys[1]), Some((Slot(7), "default", Place::Floors)));
        assert_eq!(parse(&keys[4]), Some((Slot(7), "default", Place::Entry(Class::Relaxed, Version(1)))));
        let row = Place::Row { id_name: "configmaps", namespace: "ns", name: "a" };
        assert_eq!(parse(&keys[5]), Some((Slot(7), "default", row)));
        assert_eq!((parse(&keys[0]), parse(b"\0format"), parse(b"\x01\0\0a\0\x01short")), (None, None, None));
    }

    #[test]
    fn values_survive_the_store() {
        let epoch = Epoch { count: 3, ordinal: 9, incarnation: 1 << 100 };
        assert_eq!(Epoch::decode(&epoch.encode()), Some(epoch));
        assert_eq!(Epoch::decode(b"short"), None);
        assert_eq!(slot_of_owner(&slot_owner(Slot(4095))), Some(Slot(4095)));
        assert_eq!(slot_of_floor(&floor(Slot(1))), Some(Slot(1)));
        let floors = [Version(5), Version(u64::MAX >> 1)];
        assert_eq!(decode_floors(&encode_floors(floors)), Some(floors));
        assert_eq!((decode_floors(b"short"), decode_version(b"longer than that")), (None, None));
    }
}
