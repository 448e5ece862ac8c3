//! An entry of a slot's log: what one write changed, who asked for it and what was answered.
//!
//! A batch writes entries only. A row is written when its entry leaves the log ([`crate::checkpoint`]): a row is the state
//! at the log's floor, the log is everything since.

use bytes::{BufMut, Bytes, BytesMut};

/// The first byte of every entry.
const VERSION: u8 = 1;
/// Version, operation, answer code, request id, and the lengths of three names.
const HEAD: usize = 1 + 1 + 2 + 16 + 3 * 2;
/// What an entry counts for beside its object.
pub(crate) const OVERHEAD: usize = 64;

/// What was done, and what a deletion answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    /// The object is this.
    Put = 0,
    /// It is gone, and the answer was a `Status`.
    Delete = 1,
    /// It is gone, and the answer was its last state.
    DeleteShown = 2,
}

impl Operation {
    pub(crate) fn is_deletion(self) -> bool {
        self != Self::Put
    }
}

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// Zero: nobody will ask again.
    pub(crate) request: u128,
    pub(crate) code: u16,
    pub(crate) operation: Operation,
    pub(crate) id_name: &'a str,
    pub(crate) namespace: &'a str,
    pub(crate) name: &'a str,
}

impl<'a> Entry<'a> {
    /// The entry as it is stored, with the object that was put; a deletion needs none.
    pub(crate) fn encode(&self, tail: &[u8]) -> Bytes {
        let names = [self.id_name, self.namespace, self.name];
        let length: usize = names.iter().map(|name| name.len()).sum();
        let mut value = BytesMut::with_capacity(HEAD + length + tail.len());
        value.put_u8(VERSION);
        value.put_u8(self.operation as u8);
        value.put_u16(self.code);
        value.put_u128(self.request);
        for name in names {
            value.put_u16(u16::try_from(name.len()).expect("names are shorter than a key may be"));
        }
        names.iter().for_each(|name| value.put_slice(name.as_bytes()));
        value.put_slice(tail);
        value.freeze()
    }

    /// Reads an entry back, and where in the value its object begins. `None`: this is no entry.
    pub(crate) fn decode(value: &'a [u8]) -> Option<(Self, usize)> {
        let (head, rest) = value.split_first_chunk::<HEAD>()?;
        let [VERSION, operation, ..] = *head else { return None };
        let number = |at: usize| u16::from_be_bytes([head[at], head[at + 1]]);
        let (mut names, mut at) = ([""; 3], 0);
        for (index, name) in names.iter_mut().enumerate() {
            let length = usize::from(number(20 + 2 * index));
            *name = std::str::from_utf8(rest.get(at..at + length)?).ok()?;
            at += length;
        }
        let operation = match operation {
            0 => Operation::Put,
            1 => Operation::Delete,
            2 => Operation::DeleteShown,
            _ => return None,
        };
        if operation.is_deletion() != (at == rest.len()) {
            return None;
        }
        let request = u128::from_be_bytes(head[4..20].try_into().ok()?);
        let [id_name, namespace, name] = names;
        Some((Self { request, code: number(2), operation, id_name, namespace, name }, HEAD + at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(operation: Operation) -> Entry<'static> {
        Entry { request: 1 << 120 | 7, code: 201, operation, id_name: "pods", namespace: "ns", name: "a" }
    }

    #[test]
    fn entries_survive_the_store() {
        let put = entry(Operation::Put).encode(b"tail");
        let (read, at) = Entry::decode(&put).unwrap();
        assert_eq!((read, &put[at..]), (entry(Operation::Put), &b"tail"[..]));
        for operation in [Operation::Delete, Operation::DeleteShown] {
            let gone = entry(operation).encode(b"");
            assert_eq!(Entry::decode(&gone), Some((entry(operation), gone.len())));
        }
    }

    #[test]
    fn damage_is_noticed() {
        let put = entry(Operation::Put).encode(b"tail");
        for length in 0..put.len() - 4 {
            assert_eq!(Entry::decode(&put[..length]), None, "cut at {length}");
        }
        assert_eq!(Entry::decode(&put[..put.len() - 4]), None, "a put without an object");
        assert_eq!(Entry::decode(&entry(Operation::Delete).encode(b"tail")), None, "a deletion with one");
        for (at, byte) in [(0, 2), (1, 3), (20, 255), (26, 255)] {
            let mut damaged = put.to_vec();
            damaged[at] = byte;
            assert_eq!(Entry::decode(&damaged), None, "byte {at} is {byte}");
        }
    }
}
