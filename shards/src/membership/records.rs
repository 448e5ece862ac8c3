//! The records of the directory, beside those of [`crate::keys`].
//!
//! | what | key | value |
//! |---|---|---|
//! | lease of an ordinal | `00 'h' ordinal` | JSON, [`Lease`] |
//! | pin of a slot | `00 'p' slot` | JSON, [`Pin`] |
//!
//! The generation, which stands before the leases, and all leases are one small range: one read tells who lives and whether anything has changed.

use std::fmt;

use api::slot::Slot;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::keys::{number, of_number};

/// The lease of an ordinal: absent when nobody holds it.
pub(crate) fn lease(ordinal: u16) -> Bytes {
    of_number(b'h', ordinal)
}

/// The ordinal of a [`lease`] key.
pub(crate) fn ordinal_of_lease(key: &[u8]) -> Option<u16> {
    number(b'h', key)
}

/// Behind the generation and all leases.
pub(crate) fn pulse_end() -> Bytes {
    Bytes::from_static(b"\0i")
}

/// The ordinal of a [`crate::keys::ordinal_owner`] key.
pub(crate) fn ordinal_of_owner(key: &[u8]) -> Option<u16> {
    number(b'i', key)
}

/// Where a slot has to be, whatever rendezvous hashing says.
pub(crate) fn pin(slot: Slot) -> Bytes {
    of_number(b'p', slot.0)
}

/// The slot of a [`pin`] key.
pub(crate) fn slot_of_pin(key: &[u8]) -> Option<Slot> {
    number(b'p', key).map(Slot)
}

/// Tells one state of the directory from every other. Not ordered: who reads later knows more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Generation(pub u128);

impl Generation {
    /// A new one: the moment, for people, and a random number.
    pub(crate) fn new(wall_micros: i64, random: u64) -> Self {
        Self((u128::from(wall_micros.max(0).unsigned_abs()) << 64) | u128::from(random))
    }

    /// When the change happened, as the clock of whoever made it says: microseconds since 1970.
    pub fn wall_micros(self) -> i64 {
        i64::try_from(self.0 >> 64).unwrap_or(i64::MAX)
    }

    pub(crate) fn encode(self) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_be_bytes())
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        Some(Self(u128::from_be_bytes(value.try_into().ok()?)))
    }
}

impl fmt::Display for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// What a member says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    /// It holds its ordinal and is not ready for slots yet.
    #[default]
    Joining,
    /// It takes slots.
    Serving,
    /// It is shutting down and gives its slots to others.
    Draining,
    /// Its clock is too far off the others' (DESIGN D4): it gives its slots to others until that is mended.
    ClockOff,
}

impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Joining => "joining",
            Self::Serving => "serving",
            Self::Draining => "draining",
            Self::ClockOff => "clock is off",
        })
    }
}

/// Who holds an ordinal. Fields that a later program adds are left out when read, so only its holder writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Lease {
    /// Of this start of the process; hexadecimal.
    #[serde(with = "hexadecimal")]
    pub incarnation: u128,
    /// Grows with every renewal: the only sign of life that others judge by.
    pub renewals: u64,
    /// What it says of itself.
    #[serde(default)]
    pub standing: Standing,
    /// Where gateways and other shards reach it, `host:port`. Empty for one that only its own process reaches.
    #[serde(default)]
    pub addresses: Vec<SmolStr>,
    /// When it registered, microseconds since 1970 on its wall clock. For people.
    #[serde(default)]
    pub started: i64,
    /// Its wall clock at the start of the renewal, microseconds since 1970.
    #[serde(default)]
    pub clock: i64,
    /// Its program's version.
    #[serde(default)]
    pub build: SmolStr,
    /// The format of stored data that it writes.
    #[serde(default)]
    pub format: u32,
}

impl Lease {
    pub(crate) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("numbers and texts become JSON").into()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }

    /// Where it is reached, as a message says it.
    pub fn place(&self) -> String {
        match self.addresses.first() {
            Some(address) => address.to_string(),
            None => "an unknown address".to_owned(),
        }
    }
}

/// Where a slot has to be, as an administrator says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pin {
    /// The member that owns it while it lives; rendezvous hashing decides otherwise.
    pub to: u16,
    /// The namespace that it is about, `cluster/namespace`; empty for a slot that was named by number.
    #[serde(default, skip_serializing_if = "SmolStr::is_empty")]
    pub namespace: SmolStr,
    /// Whether the member is to own nothing that is not pinned to it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub alone: bool,
}

impl Pin {
    pub(crate) fn encode(&self) -> Bytes {
        serde_json::to_vec(self).expect("numbers and texts become JSON").into()
    }

    pub(crate) fn decode(value: &[u8]) -> Option<Self> {
        serde_json::from_slice(value).ok()
    }
}

mod hexadecimal {
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(super) fn serialize<S: Serializer>(number: &u128, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{number:032x}"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u128, D::Error> {
        let text = String::deserialize(deserializer)?;
        u128::from_str_radix(&text, 16).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;

    #[test]
    fn rows_of_different_kinds_do_not_meet() {
        let (lease, owner) = (lease(7), keys::ordinal_owner(7));
        assert_eq!((ordinal_of_lease(&lease), ordinal_of_lease(&owner)), (Some(7), None));
        assert_eq!((ordinal_of_owner(&owner), ordinal_of_owner(&lease)), (Some(7), None));
        assert_eq!((slot_of_pin(&pin(Slot(4095))), slot_of_pin(&lease)), (Some(Slot(4095)), None));
        assert_eq!((ordinal_of_lease(&keys::generation()), ordinal_of_lease(&keys::format())), (None, None));
        // One range holds the generation and every lease, and nothing else.
        let inside = |key: &Bytes| *key >= keys::generation() && *key < pulse_end();
        assert!(inside(&keys::generation()) && inside(&super::lease(0)) && inside(&super::lease(4095)));
        assert!(
            ![keys::format(), keys::ordinal_owner(0), keys::slot_owner(Slot(9)), keys::ceiling(1)].iter().any(inside)
        );
    }

    #[test]
    fn records_survive_the_store_and_newer_programs() {
        let lease = Lease {
            incarnation: u128::MAX - 5,
            renewals: 3,
            standing: Standing::ClockOff,
            addresses: vec!["10.0.0.1:7443".into()],
            started: 5,
            clock: -1,
            build: "0.1.0".into(),
            format: 2,
        };
        assert_eq!(Lease::decode(&lease.encode()), Some(lease.clone()));
        let newer = br#"{"incarnation":"ff","renewals":1,"weight":3}"#;
        assert_eq!(
            Lease::decode(newer).map(|lease| (lease.incarnation, lease.standing)),
            Some((255, Standing::Joining))
        );
        assert_eq!(Lease::decode(b"{}"), None);
        let pin = Pin { to: 3, namespace: "default/hot".into(), alone: true };
        assert_eq!(Pin::decode(&pin.encode()), Some(pin));
        assert_eq!(Pin::decode(b"{\"to\":1}"), Some(Pin { to: 1, namespace: SmolStr::default(), alone: false }));
        let generation = Generation::new(1_700_000_000_000_000, 42);
        assert_eq!(Generation::decode(&generation.encode()), Some(generation));
        assert_eq!(generation.wall_micros(), 1_700_000_000_000_000);
    }
}
