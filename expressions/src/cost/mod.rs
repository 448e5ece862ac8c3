//! What expressions cost, in the reference's units: an access is 1, a list 10, a map 30, a message 40, a tenth of a unit for
//! each character that is looked at.
//!
//! [`runtime`] counts what an evaluation costs, [`estimate`](Range) what it may cost at most, from the limits of a schema.
//! The two follow one table; where the reference's two tables differ, so do these.

pub(crate) mod calls;
pub(crate) mod estimate;
mod range;
pub(crate) mod runtime;

pub use range::Range;

/// For a character that is looked at.
pub(crate) const TRAVERSAL: f64 = 0.1;
/// For a character of a pattern, for each unit of the text.
pub(crate) const PATTERN: f64 = 0.25;
/// An authorization check: two fit into one expression.
pub(crate) const CHECK: u64 = 350_000;
/// The pattern of a named format is at most that long.
pub(crate) const FORMAT_PATTERN: f64 = 128.0;

/// Functions that only look up a field, or compare what has a fixed size.
pub(crate) fn is_nominal(function: &str) -> bool {
    matches!(
        function,
        "serviceAccount"
            | "path"
            | "group"
            | "resource"
            | "subresource"
            | "namespace"
            | "name"
            | "allowed"
            | "reason"
            | "error"
            | "errored"
            | "masked"
            | "prefixLength"
            | "family"
            | "isUnspecified"
            | "isLoopback"
            | "isLinkLocalMulticast"
            | "isLinkLocalUnicast"
            | "isGlobalUnicast"
            | "format.named"
            | "sign"
            | "asInteger"
            | "isInteger"
            | "asApproximateFloat"
            | "isGreaterThan"
            | "isLessThan"
            | "compareTo"
            | "add"
            | "sub"
            | "major"
            | "minor"
            | "patch"
            | "getScheme"
            | "getHostname"
            | "getHost"
            | "getPort"
            | "getEscapedPath"
            | "getQuery"
    )
}
