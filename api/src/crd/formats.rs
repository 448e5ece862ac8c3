//! Formats of text that schemas may name. Unknown ones ask nothing.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::LazyLock;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use regex::Regex;

use crate::names;

/// Whether a format means anything for values of a type, which may be empty for any.
pub(crate) fn is_known(format: &str, of: &str) -> bool {
    match of {
        "" | "string" => KNOWN.contains(&format.replace('-', "").as_str()),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

const KNOWN: [&str; 26] = [
    "bsonobjectid",
    "byte",
    "cidr",
    "creditcard",
    "date",
    "datetime",
    "duration",
    "email",
    "hexcolor",
    "hostname",
    "ipv4",
    "ipv6",
    "isbn",
    "isbn10",
    "isbn13",
    "k8slongname",
    "k8sshortname",
    "mac",
    "password",
    "rgbcolor",
    "ssn",
    "uri",
    "uuid",
    "uuid3",
    "uuid4",
    "uuid5",
];

/// Whether a text has a format.
pub(crate) fn is(format: &str, text: &str) -> bool {
    match format.replace('-', "").as_str() {
        "bsonobjectid" => text.len() == 24 && text.bytes().all(|byte| byte.is_ascii_hexdigit()),
        "byte" => BASE64_STANDARD.decode(text).is_ok(),
        "cidr" => is_cidr(text),
        "creditcard" => is_credit_card(text),
        "date" => text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        "datetime" => is_date_time(text),
        "duration" => is_duration(text),
        "email" => is_email(text),
        "hexcolor" => HEX_COLOR.is_match(text),
        "hostname" => names::is_dns1123_subdomain(&text.to_lowercase()).is_empty(),
        "ipv4" => text.parse::<Ipv4Addr>().is_ok(),
        "ipv6" => text.parse::<Ipv6Addr>().is_ok(),
        "isbn" => is_isbn10(text) || is_isbn13(text),
        "isbn10" => is_isbn10(text),
        "isbn13" => is_isbn13(text),
        "k8sshortname" => names::is_dns1123_label(text).is_empty(),
        "k8slongname" => names::is_dns1123_subdomain(text).is_empty(),
        "mac" => MAC.is_match(text),
        "rgbcolor" => is_rgb(text),
        "ssn" => SSN.is_match(text),
        "uri" => is_uri(text),
        "uuid" => UUID.is_match(text),
        "uuid3" => UUID3.is_match(text),
        "uuid4" => UUID4.is_match(text),
        "uuid5" => UUID5.is_match(text),
        _ => true,
    }
}

macro_rules! patterns {
    ($($name:ident = $pattern:literal;)*) => {
        $(static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($pattern).expect("it is one"));)*
    };
}

patterns! {
    HEX_COLOR = "^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$";
    MAC = "^([0-9a-fA-F]{2}[:-]){5}([0-9a-fA-F]{2})$|^([0-9a-fA-F]{4}\\.){2}[0-9a-fA-F]{4}$";
    SSN = r"^\d{3}[- ]?\d{2}[- ]?\d{4}$";
    RGB = r"^rgb\(\s*(\d{1,3})\s*,\s*(\d{1,3})\s*,\s*(\d{1,3})\s*\)$";
    UUID = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID3 = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?3[0-9a-f]{3}-?[0-9a-f]{4}-?[0-9a-f]{12}$";
    UUID4 = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?4[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    UUID5 = "(?i)^[0-9a-f]{8}-?[0-9a-f]{4}-?5[0-9a-f]{3}-?[89ab][0-9a-f]{3}-?[0-9a-f]{12}$";
    URI = "^[A-Za-z][A-Za-z0-9+.-]*:[^\\s]*$|^/[^\\s]*$";
    CARD = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35\d{3})\d{11})$";
    GO_DURATION = r"^[+-]?(0|((\d+\.?\d*|\.\d+)(ns|us|µs|μs|ms|s|m|h))+)$";
    SCALA_DURATION = r"(?i)^\d+\s*(ns|nano|nanosecond|nanoseconds|us|µs|micro|microsecond|microseconds|ms|milli|millisecond|milliseconds|s|sec|second|seconds|m|min|minute|minutes|h|hr|hour|hours|d|day|days|w|wk|week|weeks)$";
    DATE_TIME = r"^\d{4}-\d{2}-\d{2}[Tt ]\d{2}:\d{2}:\d{2}(\.\d+)?([Zz]|[+-]\d{2}:?\d{2})$";
}

fn is_cidr(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else { return false };
    bits <= if address.is_ipv4() { 32 } else { 128 }
}

fn is_credit_card(text: &str) -> bool {
    let digits: String = text.chars().filter(char::is_ascii_digit).collect();
    let luhn = digits.bytes().rev().enumerate().map(|(at, digit)| {
        let digit = u32::from(digit - b'0') * if at % 2 == 1 { 2 } else { 1 };
        digit / 10 + digit % 10
    });
    CARD.is_match(&digits) && luhn.sum::<u32>() % 10 == 0
}

fn is_date_time(text: &str) -> bool {
    DATE_TIME.is_match(text) && text.get(..10).is_some_and(|date| date.parse::<jiff::civil::Date>().is_ok())
}

fn is_duration(text: &str) -> bool {
    GO_DURATION.is_match(text) || SCALA_DURATION.is_match(text)
}

/// An address as mail.ParseAddress takes it, without display names of many words.
fn is_email(text: &str) -> bool {
    let address = text.trim().rsplit_once('<').map_or(text.trim(), |(_, rest)| rest.trim_end_matches('>'));
    let Some((local, host)) = address.rsplit_once('@') else { return false };
    !local.is_empty() && !host.is_empty() && !address.contains(char::is_whitespace)
}

fn is_isbn10(text: &str) -> bool {
    let digits: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let value = |(at, c): (usize, &char)| match c {
        'X' | 'x' if at == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = digits.iter().enumerate().map(value).collect();
    let check = |values: Vec<u32>| (1..).zip(&values).map(|(at, value)| at * value).sum::<u32>() % 11 == 0;
    digits.len() == 10 && values.is_some_and(check)
}

fn is_isbn13(text: &str) -> bool {
    let digits = text.chars().filter(|c| !matches!(c, '-' | ' ')).map(|c| c.to_digit(10));
    let Some(values) = digits.collect::<Option<Vec<u32>>>() else { return false };
    let weighed = values.iter().enumerate().map(|(at, value)| value * if at % 2 == 1 { 3 } else { 1 });
    values.len() == 13 && weighed.sum::<u32>() % 10 == 0
}

fn is_rgb(text: &str) -> bool {
    let Some(parts) = RGB.captures(text) else { return false };
    parts.iter().skip(1).flatten().all(|part| part.as_str().parse::<u16>().is_ok_and(|value| value <= 255))
}

fn is_uri(text: &str) -> bool {
    URI.is_match(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_take_what_they_are_for() {
        for (format, good, bad) in [
            ("ipv4", "10.0.0.1", "10.0.0"),
            ("ipv6", "fe80::1", "10.0.0.1"),
            ("cidr", "10.0.0.0/8", "10.0.0.0/33"),
            ("uuid", "123e4567-e89b-12d3-a456-426614174000", "123e4567"),
            ("uuid4", "123e4567-e89b-42d3-a456-426614174000", "123e4567-e89b-12d3-a456-426614174000"),
            ("date", "2026-11-25", "2026-13-25"),
            ("date-time", "2026-11-25T10:00:00.5Z", "2026-11-25"),
            ("duration", "1h30m", "soon"),
            ("duration", "22 ns", "22 years"),
            ("email", "a@b.example", "a.b.example"),
            ("byte", "aGVsbG8=", "hello!"),
            ("hostname", "Node-1.example", "node_1"),
            ("mac", "01:23:45:67:89:ab", "01:23:45"),
            ("isbn13", "978-0321751041", "978-0321751042"),
            ("isbn10", "0321751043", "0321751044"),
            ("creditcard", "4111 1111 1111 1111", "4111 1111 1111 1112"),
            ("hexcolor", "#FFFFFF", "#FFFF"),
            ("rgbcolor", "rgb(255,255,255)", "rgb(256,0,0)"),
            ("uri", "https://example.com/a", "not a uri"),
            ("k8s-short-name", "web-0", "Web"),
        ] {
            assert!(is(format, good), "{good} is a {format}");
            assert!(!is(format, bad), "{bad} is no {format}");
        }
        assert!(is("of-our-own", "anything"));
    }
}
