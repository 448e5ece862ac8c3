//! Where things stand under a prefix of FoundationDB, and how large values are cut. Nothing here needs the library.
//!
//! | key behind the prefix | value |
//! |---|---|
//! | `00` | header: format (2 bytes), generation (8) |
//! | `01` key | `00` value, or `01` length (4): the value is in pieces |
//! | `02` packed key, number (2) | a piece of a value |
//! | `03` generation (8), batch id (16) | fingerprint (8): the batch was applied |
//!
//! Numbers are big-endian. A packed key is cut into groups of eight bytes, each followed by how many of them count; so
//! packed keys sort as the keys do and none is the start of another, and whatever is appended to them, a range of keys is a
//! range of pieces. That makes [`crate::Write::DeleteRange`] two clears, with nothing read.

use bytes::{BufMut, Bytes};

use crate::BatchId;

/// The longest value that is kept in one piece, and the length of a piece. FoundationDB takes 100,000 bytes.
pub(crate) const PIECE_BYTES: usize = 90_000;
/// The longest prefix: a key of [`crate::KEY_BYTES`], packed behind it, is within FoundationDB's 10,000 bytes.
pub(crate) const PREFIX_BYTES: usize = 24;
/// What this version writes. A header with a higher number is left alone.
pub(crate) const FORMAT: u16 = 1;

const HEADER: u8 = 0;
const DATA: u8 = 1;
const PIECES: u8 = 2;
const APPLIED: u8 = 3;
const GROUP: usize = 8;

/// The keys under one prefix.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    prefix: Bytes,
}

impl Layout {
    pub(crate) fn new(prefix: Bytes) -> Self {
        Self { prefix }
    }

    fn key(&self, kind: u8, capacity: usize) -> Vec<u8> {
        let mut key = Vec::with_capacity(self.prefix.len() + 1 + capacity);
        key.extend_from_slice(&self.prefix);
        key.push(kind);
        key
    }

    pub(crate) fn header(&self) -> Vec<u8> {
        self.key(HEADER, 0)
    }

    /// The range of everything.
    pub(crate) fn all(&self) -> (Vec<u8>, Vec<u8>) {
        (self.key(HEADER, 0), self.key(u8::MAX, 0))
    }

    pub(crate) fn data(&self, key: &[u8]) -> Vec<u8> {
        let mut stored = self.key(DATA, key.len());
        stored.extend_from_slice(key);
        stored
    }

    /// The key that [`Layout::data`] was given.
    pub(crate) fn key_of<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        &stored[self.prefix.len() + 1..]
    }

    /// What the pieces of all keys at or behind that one begin with, or come behind.
    pub(crate) fn pieces(&self, key: &[u8]) -> Vec<u8> {
        let mut stored = self.key(PIECES, (key.len() / GROUP + 1) * (GROUP + 1) + 2);
        let (groups, rest) = key.as_chunks::<GROUP>();
        for group in groups {
            stored.extend_from_slice(group);
            stored.push(GROUP as u8);
        }
        stored.extend_from_slice(rest);
        stored.put_bytes(0, GROUP - rest.len());
        stored.push(rest.len() as u8);
        stored
    }

    /// The range of one key's pieces.
    pub(crate) fn pieces_of(&self, key: &[u8]) -> (Vec<u8>, Vec<u8>) {
        let (from, mut to) = (self.pieces(key), self.pieces(key));
        to.push(u8::MAX);
        (from, to)
    }

    /// One piece of a key's value.
    pub(crate) fn piece(&self, key: &[u8], number: u16) -> Vec<u8> {
        let mut stored = self.pieces(key);
        stored.put_u16(number);
        stored
    }

    pub(crate) fn applied(&self, generation: u64, id: BatchId) -> Vec<u8> {
        let mut key = self.generation(generation);
        key.put_u128(id.0);
        key
    }

    /// The range of the ids of all generations before that one.
    pub(crate) fn applied_before(&self, generation: u64) -> (Vec<u8>, Vec<u8>) {
        (self.key(APPLIED, 0), self.generation(generation))
    }

    fn generation(&self, generation: u64) -> Vec<u8> {
        let mut key = self.key(APPLIED, 24);
        key.put_u64(generation);
        key
    }
}

/// What stands at the header's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) format: u16,
    /// Which ids are written now. Those of the generation before are looked at too, older ones are gone.
    pub(crate) generation: u64,
}

impl Header {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(10);
        bytes.put_u16(self.format);
        bytes.put_u64(self.generation);
        bytes
    }

    /// Later formats may append to it, so only the start must be there.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let (format, rest) = bytes.split_first_chunk()?;
        let generation = rest.first_chunk()?;
        Some(Self { format: u16::from_be_bytes(*format), generation: u64::from_be_bytes(*generation) })
    }
}

/// A value as it stands at its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stored {
    Whole(Bytes),
    /// In pieces, with that many bytes in all.
    Pieces(usize),
}

impl Stored {
    /// Its length, without its key's.
    pub(crate) fn len(&self) -> usize {
        match self {
            Self::Whole(value) => value.len(),
            Self::Pieces(length) => *length,
        }
    }

    /// What is written for a value: the entry, and its pieces if it has any.
    pub(crate) fn encode(value: &[u8]) -> (Vec<u8>, std::slice::Chunks<'_, u8>) {
        if value.len() <= PIECE_BYTES {
            let mut entry = Vec::with_capacity(value.len() + 1);
            entry.push(0);
            entry.extend_from_slice(value);
            return (entry, [].chunks(PIECE_BYTES));
        }
        let mut entry = vec![1];
        entry.put_u32(value.len() as u32);
        (entry, value.chunks(PIECE_BYTES))
    }

    /// `None` for what [`Stored::encode`] does not write.
    pub(crate) fn decode(entry: &[u8]) -> Option<Self> {
        match entry.split_first()? {
            (0, value) => Some(Self::Whole(Bytes::copy_from_slice(value))),
            (1, length) => Some(Self::Pieces(u32::from_be_bytes(length.try_into().ok()?) as usize)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn layout() -> Layout {
        Layout::new(Bytes::from_static(b"test"))
    }

    /// Keys of every shape that could go wrong: zeros, 0xff, and lengths around the groups.
    fn keys() -> BTreeSet<Vec<u8>> {
        let mut keys = BTreeSet::from([vec![]]);
        for length in [1, 2, 7, 8, 9, 15, 16, 17, 24] {
            for fill in [0, 1, 8, 0xff] {
                for last in [0, 1, 7, 8, 0xff] {
                    let mut key = vec![fill; length];
                    key[length - 1] = last;
                    keys.insert(key);
                }
            }
        }
        keys
    }

    #[test]
    fn pieces_sort_as_their_keys_whatever_their_number() {
        let keys: Vec<Vec<u8>> = keys().into_iter().collect();
        for (at, key) in keys.iter().enumerate() {
            for other in &keys[at + 1..] {
                for number in [0, 1, 46, 0xfffe] {
                    let piece = layout().piece(key, number);
                    assert!(piece < layout().pieces(other), "{key:?} {number} {other:?}");
                }
                assert!(layout().pieces_of(key).1 <= layout().pieces(other), "{key:?} {other:?}");
            }
            assert!(layout().pieces(key) < layout().piece(key, 0));
            assert!(layout().piece(key, 46) < layout().pieces_of(key).1);
        }
    }

    #[test]
    fn kinds_do_not_overlap_and_keys_come_back() {
        let (first, last) = layout().all();
        let longest = vec![0xff; crate::KEY_BYTES];
        for stored in [
            layout().header(),
            layout().data(&longest),
            layout().piece(&longest, 46),
            layout().applied(u64::MAX, BatchId(u128::MAX)),
        ] {
            assert!(first <= stored && stored < last);
        }
        assert_eq!(layout().key_of(&layout().data(b"a\0b")), b"a\0b");
        assert!(layout().data(&longest) < layout().pieces(b""));
        assert!(layout().piece(&longest, u16::MAX) < layout().applied_before(0).0);
        assert!(layout().applied(6, BatchId(u128::MAX)) < layout().applied_before(7).1);
        assert!(layout().applied(7, BatchId(0)) >= layout().applied_before(7).1);
        let longest_prefix = Layout::new(Bytes::from(vec![1; PREFIX_BYTES]));
        assert!(longest_prefix.piece(&longest, 0).len() <= 10_000);
    }

    #[test]
    fn values_are_cut_where_they_must_be() {
        for (length, pieces) in [(0, 0), (PIECE_BYTES, 0), (PIECE_BYTES + 1, 2), (2 * PIECE_BYTES + 1, 3)] {
            let value = vec![7; length];
            let (entry, cut) = Stored::encode(&value);
            assert_eq!(cut.len(), pieces, "{length}");
            assert!(entry.len() < 100_000);
            let stored = Stored::decode(&entry).unwrap();
            assert_eq!(stored.len(), length);
            match stored {
                Stored::Whole(found) => assert_eq!(found, value),
                Stored::Pieces(_) => assert_eq!(cut.flatten().count(), length),
            }
        }
        for wrong in [&b""[..], b"\x01", b"\x01abc", b"\x02"] {
            assert_eq!(Stored::decode(wrong), None);
        }
        let header = Header { format: FORMAT, generation: 77 };
        assert_eq!(Header::decode(&header.encode()), Some(header));
        assert_eq!(Header::decode(b"short"), None);
    }
}
