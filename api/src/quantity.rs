//! resource.Quantity: fixed-point numbers with SI and binary suffixes.

/// A parsed quantity: exact decimal value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {}

impl Quantity {
    /// Parses `100m`, `1.5Gi`, `2e3`, … The error is worded as the reference's.
    pub fn parse(_text: &str) -> Result<Self, String> {
        todo!()
    }

    /// The value rounded up to a whole number (`Value()`), saturating.
    pub fn value(&self) -> i64 {
        todo!()
    }

    /// Thousandths, rounded up (`MilliValue()`), saturating.
    pub fn milli(&self) -> i64 {
        todo!()
    }
}
