//! metav1.Time and MicroTime as text: RFC 3339 in UTC, to seconds and to microseconds. And ages, as kubectl shows them.

use jiff::Timestamp;

/// `2026-11-22T10:00:00Z` for microseconds since 1970. Fractions of a second are cut off.
pub fn format_seconds(unix_micros: i64) -> String {
    format!("{:.0}", timestamp(unix_micros.div_euclid(1_000_000) * 1_000_000))
}

/// `2026-11-22T10:00:00.000000Z` for microseconds since 1970.
pub fn format_micros(unix_micros: i64) -> String {
    format!("{:.6}", timestamp(unix_micros))
}

/// `Thu, 25 Nov 2027 17:38:15 GMT` for seconds since 1970, as HTTP has it.
pub fn format_http(unix_seconds: i64) -> String {
    timestamp(unix_seconds.saturating_mul(1_000_000)).strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

/// Microseconds since 1970 of any RFC 3339 text.
pub fn parse(text: &str) -> Option<i64> {
    // jiff takes more than RFC 3339: spaces, dates without dashes, zones in brackets.
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, byte)| bytes[*at] == *byte)
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && (text.ends_with('Z') || bytes[bytes.len() - 3] == b':');
    if !shaped {
        return None;
    }
    text.parse::<Timestamp>().ok().map(|at| at.as_microsecond())
}

/// Times outside jiff's years (-9999 to 9999) are cut to them.
fn timestamp(unix_micros: i64) -> Timestamp {
    let edge = if unix_micros < 0 { Timestamp::MIN } else { Timestamp::MAX };
    Timestamp::from_microsecond(unix_micros).unwrap_or(edge)
}

/// An age with two or three significant figures (`5s`, `2m3s`, `4d5h`), as apimachinery's HumanDuration. Up to two
/// seconds of the future are `0s`: clocks differ.
pub fn human_duration(seconds: i64) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    const YEAR: i64 = 365 * DAY;
    let one = |unit: i64, name: &str| format!("{}{name}", seconds / unit);
    let two = |unit: i64, name: &str, part: i64, part_name: &str| match seconds % unit / part {
        0 => one(unit, name),
        rest => format!("{}{name}{rest}{part_name}", seconds / unit),
    };
    match seconds {
        ..-1 => "<invalid>".to_owned(),
        -1 => "0s".to_owned(),
        _ if seconds < 2 * MINUTE => one(1, "s"),
        _ if seconds < 10 * MINUTE => two(MINUTE, "m", 1, "s"),
        _ if seconds < 3 * HOUR => one(MINUTE, "m"),
        _ if seconds < 8 * HOUR => two(HOUR, "h", MINUTE, "m"),
        _ if seconds < 2 * DAY => one(HOUR, "h"),
        _ if seconds < 8 * DAY => two(DAY, "d", HOUR, "h"),
        _ if seconds < 2 * YEAR => one(DAY, "d"),
        _ if seconds < 8 * YEAR => two(YEAR, "y", DAY, "d"),
        _ => one(YEAR, "y"),
    }
}

/// The age at `now` (microseconds since 1970) of what happened at an RFC 3339 time: `<unknown>` where it is no time.
pub fn age(since: &str, now: i64) -> String {
    match parse(since) {
        // Divided towards zero, as Go does: half a second of the future is 0s.
        Some(at) => human_duration((now - at) / 1_000_000),
        None => "<unknown>".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_rfc_3339() {
        let at = 1_795_341_600_123_456;
        assert_eq!(format_seconds(at), "2026-11-22T10:00:00Z");
        assert_eq!(format_micros(at), "2026-11-22T10:00:00.123456Z");
        assert_eq!(format_micros(at / 1_000_000 * 1_000_000), "2026-11-22T10:00:00.000000Z");
        assert_eq!(format_seconds(-1), "1969-12-31T23:59:59Z");
        assert_eq!(parse("2026-11-22T10:00:00.123456Z"), Some(at));
        assert_eq!(parse("2026-11-22T12:00:00.123456789+02:00"), Some(at));
        for text in [
            "",
            "2026-11-22",
            "2026-11-22 10:00:00Z",
            "20261122T100000Z",
            "2026-13-22T10:00:00Z",
            "x026-11-22T10:00:00Z",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn ages_are_kubectls() {
        let (minute, hour, day) = (60, 3600, 86400);
        let cases = [
            (-2, "<invalid>"),
            (-1, "0s"),
            (0, "0s"),
            (5, "5s"),
            (119, "119s"),
            (120, "2m"),
            (123, "2m3s"),
            (10 * minute, "10m"),
            (179 * minute, "179m"),
            (3 * hour, "3h"),
            (3 * hour + 5 * minute, "3h5m"),
            (47 * hour, "47h"),
            (48 * hour, "2d"),
            (4 * day + 5 * hour, "4d5h"),
            (8 * day + 5 * hour, "8d"),
            (729 * day, "729d"),
            (730 * day, "2y"),
            (731 * day, "2y1d"),
            (8 * 365 * day + day, "8y"),
        ];
        for (seconds, wanted) in cases {
            assert_eq!(human_duration(seconds), wanted, "{seconds}");
        }
        assert_eq!(age("1970-01-01T00:00:00Z", 5_500_000), "5s");
        assert_eq!(age("", 5_500_000), "<unknown>");
    }
}
