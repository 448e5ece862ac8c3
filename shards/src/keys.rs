//! Where things lie in the store.
//!
//! | what | key | value |
//! |---|---|---|
//! | format version | `00 "format"` | decimal text |
//! | owner of an ordinal | `00 'i' ordinal` | epoch |
//! | clock ceiling of an ordinal | `00 'o' ordinal` | version, 8 bytes |
//! | last batch of an ordinal | `00 'm' ordinal` | batch id, 16 bytes |
//! | owner of a slot | `00 'e' slot` | epoch |
//! | an object | `cluster 00 slot id_name 00 namespace 00 name` | [`api::Object::tail`] |
//!
//! Numbers are big endian, so that one slot of one cluster is one range. No name contains a zero byte, and no cluster's
//! name is empty, so objects never meet the rows above.

use api::slot::Slot;
use bytes::{BufMut, Bytes, BytesMut};

/// What this program writes. A store of a newer one is refused.
pub(crate) const FORMAT: u32 = 1;

/// The format version's key.
pub(crate) fn format() -> Bytes {
    Bytes::from_static(b"\0format")
}

/// Who writes under an ordinal: a fence of every batch.
pub(crate) fn ordinal_owner(ordinal: u16) -> Bytes {
    of_number(b'i', ordinal)
}

/// Above every version that the ordinal has released.
pub(crate) fn ceiling(ordinal: u16) -> Bytes {
    of_number(b'o', ordinal)
}

/// The id of the ordinal's last batch: settles unknown outcomes.
pub(crate) fn marker(ordinal: u16) -> Bytes {
    of_number(b'm', ordinal)
}

/// Who owns a slot: a fence of every batch that writes there.
pub(crate) fn slot_owner(slot: Slot) -> Bytes {
    of_number(b'e', slot.0)
}

/// The slot of a [`slot_owner`] key.
pub(crate) fn slot_of_owner(key: &[u8]) -> Option<Slot> {
    match key {
        [0, b'e', high, low] => Some(Slot(u16::from_be_bytes([*high, *low]))),
        _ => None,
    }
}

fn of_number(tag: u8, number: u16) -> Bytes {
    let [high, low] = number.to_be_bytes();
    Bytes::copy_from_slice(&[0, tag, high, low])
}

/// Where a cluster's slot begins.
pub(crate) fn slot_start(cluster: &str, slot: u16) -> Bytes {
    let mut key = BytesMut::with_capacity(cluster.len() + 3);
    key.put_slice(cluster.as_bytes());
    key.put_u8(0);
    key.put_u16(slot);
    key.freeze()
}

/// Where a cluster ends.
pub(crate) fn cluster_end(cluster: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(cluster.len() + 1);
    key.put_slice(cluster.as_bytes());
    key.put_u8(1);
    key.freeze()
}

/// An object's key.
pub(crate) fn object(cluster: &str, slot: Slot, id_name: &str, namespace: &str, name: &str) -> Bytes {
    let mut key = BytesMut::with_capacity(cluster.len() + id_name.len() + namespace.len() + name.len() + 5);
    key.put_slice(cluster.as_bytes());
    key.put_u8(0);
    key.put_u16(slot.0);
    key.put_slice(id_name.as_bytes());
    key.put_u8(0);
    key.put_slice(namespace.as_bytes());
    key.put_u8(0);
    key.put_slice(name.as_bytes());
    key.freeze()
}

/// The slot and the id_name of an [`object`] key of that cluster.
pub(crate) fn parse_object<'a>(cluster: &str, key: &'a [u8]) -> Option<(Slot, &'a str)> {
    let rest = key.strip_prefix(cluster.as_bytes())?.strip_prefix(b"\0")?;
    let (slot, rest) = rest.split_first_chunk::<2>()?;
    let end = rest.iter().position(|byte| *byte == 0)?;
    Some((Slot(u16::from_be_bytes(*slot)), std::str::from_utf8(&rest[..end]).ok()?))
}

/// A key as people read it.
pub(crate) fn printable(key: &[u8]) -> String {
    key.escape_ascii().to_string()
}

/// Who owned an ordinal or a slot when: the value of the fences.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Epoch {
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
    fn a_slot_is_one_range() {
        let key = object("default", Slot(7), "pods", "ns", "a");
        assert!(key >= slot_start("default", 7) && key < slot_start("default", 8));
        assert!(key < cluster_end("default") && slot_start("default", u16::MAX) < cluster_end("default"));
        assert_eq!(parse_object("default", &key), Some((Slot(7), "pods")));
        assert_eq!(parse_object("other", &key), None);
    }

    #[test]
    fn epochs_survive_the_store() {
        let epoch = Epoch { count: 3, ordinal: 9, incarnation: 1 << 100 };
        assert_eq!(Epoch::decode(&epoch.encode()), Some(epoch));
        assert_eq!(Epoch::decode(b"short"), None);
        assert_eq!(slot_of_owner(&slot_owner(Slot(4095))), Some(Slot(4095)));
    }
}
