//! `resourceVersion`: a hybrid logical clock reading of 63 bits (DESIGN D4).

use std::fmt;
use std::str::FromStr;

/// 2025-01-01T00:00:00Z in microseconds since 1970: the zero of [`Version::micros`].
pub const EPOCH_UNIX_MICROS: i64 = 1_735_689_600_000_000;
/// Bits of the writer's ordinal, the low part of a version.
pub const ORDINAL_BITS: u32 = 12;
/// Writers that one cluster can tell apart.
pub const MAX_ORDINALS: u16 = 1 << ORDINAL_BITS;

/// A point in the cluster's history: microseconds since 2025-01-01 (51 bits), then the writer's ordinal (12 bits).
///
/// Versions of one writer strictly increase; no two writers share one. `Version::ZERO` is Kubernetes' `"0"`: "any".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version(pub u64);

impl Version {
    /// Kubernetes' `resourceVersion: "0"`.
    pub const ZERO: Self = Self(0);
    /// Above every version that will ever be issued.
    pub const MAX: Self = Self((1 << 63) - 1);

    /// The version of writer `ordinal` at `micros` since 2025-01-01.
    pub const fn new(micros: u64, ordinal: u16) -> Self {
        Self((micros << ORDINAL_BITS) | (ordinal & (MAX_ORDINALS - 1)) as u64)
    }

    /// Microseconds since 2025-01-01T00:00:00Z.
    pub const fn micros(self) -> u64 {
        self.0 >> ORDINAL_BITS
    }

    /// The writer that issued it.
    pub const fn ordinal(self) -> u16 {
        (self.0 & (MAX_ORDINALS as u64 - 1)) as u16
    }

    /// The largest version of any writer at the microsecond of this one.
    pub const fn ceil(self) -> Self {
        Self(self.0 | (MAX_ORDINALS as u64 - 1))
    }

    /// The version just below, whoever's that would be. Saturates at zero.
    pub const fn before(self) -> Self {
        Self(self.0.saturating_sub(1))
    }

    /// Whether this is Kubernetes' `"0"`.
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The text was not a decimal number of at most 63 bits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidVersion(pub String);

impl fmt::Display for InvalidVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invalid resource version {:?}: a decimal number is wanted", self.0)
    }
}

impl std::error::Error for InvalidVersion {}

impl FromStr for Version {
    type Err = InvalidVersion;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.parse::<u64>() {
            Ok(value) if value <= Self::MAX.0 => Ok(Self(value)),
            _ => Err(InvalidVersion(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_survive_packing() {
        let version = Version::new(123_456_789, 4095);
        assert_eq!((version.micros(), version.ordinal()), (123_456_789, 4095));
        assert_eq!(version.to_string().parse::<Version>().unwrap(), version);
        assert!(Version::new(2, 0) > Version::new(1, 4095));
    }

    #[test]
    fn text_outside_63_bits_is_refused() {
        for text in ["", "-1", "1.5", "9223372036854775808", "abc", " 1"] {
            assert!(text.parse::<Version>().is_err(), "{text:?}");
        }
    }
}
