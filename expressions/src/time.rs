//! Durations and timestamps: as Go reads and writes them, and the parts of a timestamp in a time zone.

use jiff::Timestamp;
use jiff::tz::TimeZone;

const SECOND: i128 = 1_000_000_000;
/// The first and last second that a timestamp may have: years 1 to 9999.
pub(crate) const SECONDS: std::ops::RangeInclusive<i64> = -62_135_596_800..=253_402_300_799;

/// Nanoseconds of a duration as Go writes it: `1h2m3.5s`, `-3ms`. `None` for what is none or does not fit.
pub fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix(['-', '+']) {
        Some(rest) => (text.starts_with('-'), rest),
        None => (false, text),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: i128 = 0;
    while !rest.is_empty() {
        let (value, scale, after) = decimal(rest)?;
        let end = after.find(|next: char| next == '.' || next.is_ascii_digit()).unwrap_or(after.len());
        let unit: i128 = match &after[..end] {
            "ns" => 1,
            "us" | "µs" | "μs" => 1_000,
            "ms" => 1_000_000,
            "s" => SECOND,
            "m" => 60 * SECOND,
            "h" => 3600 * SECOND,
            _ => return None,
        };
        total = total.checked_add(value.checked_mul(unit)? / scale)?;
        // One more than the largest: the smallest negative one.
        if total > i128::from(i64::MAX) + 1 {
            return None;
        }
        rest = &after[end..];
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// Digits with a fraction: their value without the point, what to divide it by, and what follows. Digits beyond the
/// eighteenth of a fraction are cut off.
fn decimal(text: &str) -> Option<(i128, i128, &str)> {
    let whole = text.find(|next: char| !next.is_ascii_digit()).unwrap_or(text.len());
    let mut value: i128 = if whole == 0 { 0 } else { text[..whole].parse::<u64>().ok()?.into() };
    let mut scale = 1;
    let mut rest = &text[whole..];
    let mut digits = whole;
    if let Some(fraction) = rest.strip_prefix('.') {
        let length = fraction.find(|next: char| !next.is_ascii_digit()).unwrap_or(fraction.len());
        for digit in fraction[..length].bytes().take(15) {
            value = value.checked_mul(10)? + i128::from(digit - b'0');
            scale *= 10;
        }
        digits += length;
        rest = &fraction[length..];
    }
    (digits > 0).then_some((value, scale, rest))
}

/// A duration as OpenAPI's format has it: Go's, or numbers with units up to weeks (`1 day`, `2w`).
pub fn parse_open_api_duration(text: &str) -> Option<i64> {
    if let Some(value) = parse_duration(text) {
        return Some(value);
    }
    let mut total: i128 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|next: char| !next.is_ascii_digit()).filter(|end| *end > 0)?;
        let value: i128 = rest[..digits].parse::<u64>().ok()?.into();
        let after = rest[digits..].trim_start();
        let end = after.find(|next: char| !next.is_alphabetic()).unwrap_or(after.len());
        let unit: i128 = match after[..end].to_lowercase().as_str() {
            "ns" | "nano" | "nanosecond" | "nanoseconds" | "nanos" => 1,
            "us" | "µs" | "micro" | "micros" | "microsecond" | "microseconds" => 1_000,
            "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => 1_000_000,
            "s" | "sec" | "secs" | "second" | "seconds" => SECOND,
            "m" | "min" | "mins" | "minute" | "minutes" => 60 * SECOND,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600 * SECOND,
            "d" | "day" | "days" => 24 * 3600 * SECOND,
            "w" | "wk" | "wks" | "week" | "weeks" => 7 * 24 * 3600 * SECOND,
            _ => return None,
        };
        total = total.checked_add(value.checked_mul(unit)?)?;
        rest = after[end..].trim_start();
    }
    i64::try_from(total).ok()
}

/// `3723.5s`
pub(crate) fn format_duration(nanoseconds: i64) -> String {
    let seconds = nanoseconds as f64 / SECOND as f64;
    format!("{seconds}s")
}

/// Nanoseconds since 1970 of an RFC 3339 time, a local one (`2011-08-18T19:03:37`) being UTC.
pub(crate) fn parse_timestamp(text: &str) -> Option<i128> {
    match text.len() {
        19 => parse_rfc3339(&format!("{text}Z")),
        _ => parse_rfc3339(text),
    }
}

/// Nanoseconds since 1970 of an RFC 3339 time between the years 1 and 9999.
pub(crate) fn parse_rfc3339(text: &str) -> Option<i128> {
    let bytes = text.as_bytes();
    let shaped = bytes.len() >= 20
        && text.is_ascii()
        && [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')].iter().all(|(at, byte)| bytes[*at] == *byte)
        && bytes[..4].iter().all(u8::is_ascii_digit)
        && (text.ends_with('Z') || (bytes[bytes.len() - 3] == b':' && matches!(bytes[bytes.len() - 6], b'+' | b'-')));
    if !shaped {
        return None;
    }
    // jiff cuts off below a nanosecond only if it is asked for more than nine digits.
    let at = text.parse::<Timestamp>().ok()?.as_nanosecond();
    SECONDS.contains(&i64::try_from(at.div_euclid(SECOND)).ok()?).then_some(at)
}

/// Nanoseconds since 1970 of a date.
pub(crate) fn parse_date(text: &str) -> Option<i128> {
    (text.len() == 10).then(|| parse_rfc3339(&format!("{text}T00:00:00Z"))).flatten()
}

/// RFC 3339 in UTC, with as many digits of a fraction as it needs.
pub(crate) fn format_timestamp(nanoseconds: i128) -> String {
    match Timestamp::from_nanosecond(nanoseconds) {
        Ok(timestamp) => timestamp.to_string(),
        Err(_) => nanoseconds.to_string(),
    }
}

/// Whether a timestamp may be that many nanoseconds after 1970.
pub(crate) fn is_timestamp(nanoseconds: i128) -> bool {
    i64::try_from(nanoseconds.div_euclid(SECOND)).is_ok_and(|seconds| SECONDS.contains(&seconds))
}

/// One part of a timestamp, by the name of its function. `Err` for a zone that there is not.
pub(crate) fn part(which: &str, nanoseconds: i128, zone: Option<&str>) -> Result<i64, String> {
    let zone = match zone {
        None => TimeZone::UTC,
        Some(name) => zone_of(name)?,
    };
    let timestamp = Timestamp::from_nanosecond(nanoseconds).map_err(|error| error.to_string())?;
    let at = zone.to_datetime(timestamp);
    Ok(match which {
        "getFullYear" => at.year().into(),
        "getMonth" => i64::from(at.month()) - 1,
        "getDate" => at.day().into(),
        "getDayOfMonth" => i64::from(at.day()) - 1,
        "getDayOfYear" => i64::from(at.date().day_of_year()) - 1,
        "getDayOfWeek" => at.date().weekday().to_sunday_zero_offset().into(),
        "getHours" => at.hour().into(),
        "getMinutes" => at.minute().into(),
        "getSeconds" => at.second().into(),
        _ => i64::from(at.millisecond()),
    })
}

/// `UTC`, `+01:00`, `-2:30` or a name of the time zone database.
fn zone_of(name: &str) -> Result<TimeZone, String> {
    let Some((hours, minutes)) = name.split_once(':') else {
        return match name {
            "" | "UTC" => Ok(TimeZone::UTC),
            _ => TimeZone::get(name).map_err(|_| format!("unknown time zone {name}")),
        };
    };
    let wrong = || format!("invalid timezone: {name}");
    let hours: i32 = hours.parse().map_err(|_| wrong())?;
    let minutes: i32 = minutes.parse().map_err(|_| wrong())?;
    let minutes = if name.starts_with('-') { -minutes } else { minutes };
    let seconds = hours.checked_mul(3600).and_then(|seconds| seconds.checked_add(minutes.checked_mul(60)?));
    let offset = seconds.and_then(|seconds| jiff::tz::Offset::from_seconds(seconds).ok()).ok_or_else(wrong)?;
    Ok(TimeZone::fixed(offset))
}
