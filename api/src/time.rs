//! metav1.Time and MicroTime as text: RFC 3339 in UTC, to seconds and to microseconds.

/// `2026-11-22T10:00:00Z` for microseconds since 1970.
pub fn format_seconds(_unix_micros: i64) -> String {
    todo!()
}

/// `2026-11-22T10:00:00.000000Z` for microseconds since 1970.
pub fn format_micros(_unix_micros: i64) -> String {
    todo!()
}

/// Microseconds since 1970 of any RFC 3339 text.
pub fn parse(_text: &str) -> Option<i64> {
    todo!()
}
