//! Ranges of sizes and costs, whose arithmetic stops at the largest number.

/// From the least to the most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The least.
    pub min: u64,
    /// The most; `u64::MAX` for what has no limit.
    pub max: u64,
}

impl Range {
    pub(crate) const ZERO: Range = Range::fixed(0);
    pub(crate) const ONE: Range = Range::fixed(1);
    pub(crate) const UNKNOWN: Range = Range { min: 0, max: u64::MAX };

    pub(crate) const fn fixed(value: u64) -> Self {
        Self { min: value, max: value }
    }

    pub(crate) fn plus(self, other: Self) -> Self {
        Self { min: self.min.saturating_add(other.min), max: self.max.saturating_add(other.max) }
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self { min: self.min.saturating_mul(other.min), max: self.max.saturating_mul(other.max) }
    }

    /// Rounded up.
    pub(crate) fn scaled(self, factor: f64) -> Self {
        Self { min: scale(self.min, factor), max: scale(self.max, factor) }
    }

    pub(crate) fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

/// Rounded up; what is too large is the largest number.
pub(crate) fn scale(value: u64, factor: f64) -> u64 {
    let product = (value as f64 * factor).ceil();
    // The cast stops at the largest number.
    if product >= u64::MAX as f64 { u64::MAX } else { product as u64 }
}
