//! Checks of one field at a time, worded as the reference words them. Kinds are written in terms of these.

use std::net::IpAddr;

use super::path::Path;
use crate::document::{Document, Value};
use crate::names;
use crate::quantity::Quantity;
use crate::status::{Cause, Causes};

pub(super) const IMMUTABLE: &str = "field is immutable";
pub(super) const NEGATIVE: &str = "must be greater than or equal to 0";
pub(super) const PROTOCOLS: &[&str] = &["SCTP", "TCP", "UDP"];

/// The text of a field, empty where it is missing.
pub(super) fn text<'v>(object: &'v Value, key: &str) -> &'v str {
    object.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// The number of a field.
pub(super) fn int(object: &Value, key: &str) -> Option<i64> {
    object.get(key).and_then(Value::as_i64)
}

/// The elements of a list field, none where it is missing.
pub(super) fn list<'v>(object: &'v Value, key: &str) -> &'v [Value] {
    object.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// The pairs of a map field, none where it is missing.
pub(super) fn pairs<'v>(object: &'v Value, key: &str) -> impl Iterator<Item = (&'v str, &'v Value)> + use<'v> {
    object.get(key).and_then(Value::as_object).into_iter().flatten().map(|(key, value)| (key.as_str(), value))
}

/// Whether a field is `true`.
pub(super) fn is_true(object: &Value, key: &str) -> bool {
    object.get(key).and_then(Value::as_bool) == Some(true)
}

/// Whether a field is there, empty or not: what a Go pointer says.
pub(super) fn is_set(object: &Value, key: &str) -> bool {
    object.get(key).is_some_and(|value| !value.is_null())
}

/// The field itself, null where it is missing.
pub(super) fn get<'v>(object: &'v Value, key: &str) -> &'v Value {
    object.at(&[key])
}

/// Complaints about one text, as [`names`] words them.
pub(super) fn complain(messages: Vec<String>, value: &str, path: Path<'_>, causes: &mut Causes) {
    for message in messages {
        causes.invalid(path, &Value::from(value), &message);
    }
}

pub(super) fn dns_label(value: &str, path: Path<'_>, causes: &mut Causes) {
    complain(names::is_dns1123_label(value), value, path, causes);
}

pub(super) fn dns_subdomain(value: &str, path: Path<'_>, causes: &mut Causes) {
    complain(names::is_dns1123_subdomain(value), value, path, causes);
}

pub(super) fn qualified_name(value: &str, path: Path<'_>, causes: &mut Causes) {
    complain(names::is_qualified_name(value), value, path, causes);
}

pub(super) fn config_map_key(value: &str, path: Path<'_>, causes: &mut Causes) {
    complain(names::is_config_map_key(value), value, path, causes);
}

/// A required reference to an object whose name is a DNS subdomain.
pub(super) fn required_name(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    match text(object, key) {
        "" => causes.required(path.child(key), ""),
        name => dns_subdomain(name, path.child(key), causes),
    }
}

/// Whether a text field is there; a complaint otherwise.
pub(super) fn required_text(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) -> bool {
    let there = !text(object, key).is_empty();
    if !there {
        causes.required(path.child(key), "");
    }
    there
}

/// A text of a closed set; an empty one is a missing one.
pub(super) fn required_choice(object: &Value, key: &str, path: &Path<'_>, choices: &[&str], causes: &mut Causes) {
    if required_text(object, key, path, causes) {
        choice(object, key, path, choices, causes);
    }
}

/// A text of a closed set, or nothing at all.
pub(super) fn optional_choice(object: &Value, key: &str, path: &Path<'_>, choices: &[&str], causes: &mut Causes) {
    if is_set(object, key) {
        choice(object, key, path, choices, causes);
    }
}

/// A text of a closed set.
pub(super) fn choice(object: &Value, key: &str, path: &Path<'_>, choices: &[&str], causes: &mut Causes) {
    if !choices.contains(&text(object, key)) {
        causes.not_supported(path.child(key), &Value::from(text(object, key)), choices);
    }
}

pub(super) fn nonnegative(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    at_least(object, key, 0, NEGATIVE, path, causes);
}

pub(super) fn positive(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    let value = int(object, key).unwrap_or_default();
    if value <= 0 {
        causes.invalid(path.child(key), &Value::from(value), "must be greater than zero");
    }
}

/// A number that, if set, is not below a limit.
pub(super) fn at_least(object: &Value, key: &str, least: i64, words: &str, path: &Path<'_>, causes: &mut Causes) {
    if let Some(value) = int(object, key).filter(|value| *value < least) {
        causes.invalid(path.child(key), &Value::from(value), words);
    }
}

/// A number that, if set, lies between two limits.
pub(super) fn between(object: &Value, key: &str, range: (i64, i64), path: &Path<'_>, causes: &mut Causes) {
    let (low, high) = range;
    if let Some(value) = int(object, key).filter(|value| !(low..=high).contains(value)) {
        let words = format!("must be between {low} and {high}, inclusive");
        causes.invalid(path.child(key), &Value::from(value), &words);
    }
}

/// A field that may not change.
pub(super) fn immutable(object: &Value, old: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    if !same(get(object, key), get(old, key)) {
        causes.invalid(path.child(key), get(object, key), IMMUTABLE);
    }
}

/// Equality as the reference has it: nothing, an empty map and an empty list are the same.
pub(super) fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Object(a), Value::Object(b)) => {
            a.iter().all(|(key, value)| same(value, b.get(key).unwrap_or(&Value::Null)))
                && b.iter().all(|(key, value)| a.contains_key(key) || is_empty(value))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        _ => one == other || (is_empty(one) && is_empty(other)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.values().all(is_empty),
        _ => false,
    }
}

/// A port number, 0 where it is missing.
pub(super) fn port_number(value: i64, path: Path<'_>, causes: &mut Causes) {
    if !(1..=65535).contains(&value) {
        causes.invalid(path, &Value::from(value), "must be between 1 and 65535, inclusive");
    }
}

/// An IntOrString that names a port or is one.
pub(super) fn port(value: &Value, path: Path<'_>, causes: &mut Causes) {
    match value {
        Value::String(name) => complain(names::is_valid_port_name(name), name, path, causes),
        other => port_number(other.as_i64().unwrap_or_default(), path, causes),
    }
}

/// Mode bits of a file, if set.
pub(super) fn file_mode(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    if let Some(mode) = int(object, key).filter(|mode| !(0..=0o777).contains(mode)) {
        let words = "must be a number between 0 and 0777 (octal), both inclusive";
        causes.invalid(path.child(key), &Value::from(mode), words);
    }
}

/// An IP address: no leading zeros, no IPv4 in IPv6.
pub(super) fn ip(value: &str, path: Path<'_>, causes: &mut Causes) -> Option<IpAddr> {
    let words = match value.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => "must not be an IPv4-mapped IPv6 address",
        Ok(ip) => return Some(ip),
        Err(_) if strip_zeros(value).parse::<IpAddr>().is_ok() => "must not have leading 0s",
        Err(_) => "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
    };
    causes.invalid(path, &Value::from(value), words);
    None
}

/// An address range without bits beyond its prefix.
pub(super) fn cidr(value: &str, path: Path<'_>, causes: &mut Causes) -> Option<ipnet::IpNet> {
    let words = match value.parse::<ipnet::IpNet>() {
        Ok(ipnet::IpNet::V6(net)) if net.addr().to_ipv4_mapped().is_some() => {
            "must not have an IPv4-mapped IPv6 address"
        }
        Ok(net) if net.addr() != net.network() => "must not have bits set beyond the prefix length",
        Ok(net) => return Some(net),
        Err(_) if strip_zeros(value).parse::<ipnet::IpNet>().is_ok() => {
            "must not have leading 0s in IP or prefix length"
        }
        Err(_) => "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
    };
    causes.invalid(path, &Value::from(value), words);
    None
}

/// `010.002.3.4/08` as `10.2.3.4/8`.
fn strip_zeros(value: &str) -> String {
    let strip = |part: &str| match part.trim_start_matches('0') {
        "" if !part.is_empty() => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let (address, prefix) = value.split_once('/').map_or((value, None), |(a, p)| (a, Some(p)));
    let address = address.split('.').map(strip).collect::<Vec<_>>().join(".");
    prefix.map_or(address.clone(), |prefix| format!("{address}/{}", strip(prefix)))
}

/// The kinds of address that no endpoint can have.
pub(super) fn endpoint_ip(address: IpAddr, path: Path<'_>, causes: &mut Causes) {
    let value = address.to_string();
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(ip) => (ip.is_link_local(), ip.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(ip) => (ip.is_unicast_link_local(), ip.segments()[0] & 0xff0f == 0xff02),
    };
    let words = [
        (address.is_unspecified(), format!("may not be unspecified ({value})")),
        (address.is_loopback(), "may not be in the loopback range (127.0.0.0/8, ::1/128)".to_owned()),
        (link_local, "may not be in the link-local range (169.254.0.0/16, fe80::/10)".to_owned()),
        (link_local_multicast, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)".to_owned()),
    ];
    for (_, words) in words.iter().filter(|(applies, _)| *applies) {
        causes.invalid(path, &Value::from(value.as_str()), words);
    }
}

/// A Quantity; what does not parse is complained about.
pub(super) fn quantity(value: &Value, path: Path<'_>, causes: &mut Causes) -> Option<Quantity> {
    let text = match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    match Quantity::parse(&text) {
        Ok(quantity) => Some(quantity),
        Err(words) => {
            causes.invalid(path, value, &words);
            None
        }
    }
}

/// A relative path without `..`.
pub(super) fn descending_path(value: &str, path: Path<'_>, causes: &mut Causes) {
    if value.starts_with('/') {
        causes.invalid(path, &Value::from(value), "must be a relative path");
    }
    no_backsteps(value, path, causes);
}

/// A path without `..`.
pub(super) fn no_backsteps(value: &str, path: Path<'_>, causes: &mut Causes) {
    if value.split('/').any(|step| step == "..") {
        causes.invalid(path, &Value::from(value), "must not contain '..'");
    }
}

/// A relative path whose first name does not start with `..` either: that is where kubelets put their own.
pub(super) fn unreserved_path(value: &str, path: Path<'_>, causes: &mut Causes) {
    descending_path(value, path, causes);
    if value.starts_with("..") && !value.starts_with("../") {
        causes.invalid(path, &Value::from(value), "must not start with '..'");
    }
}

/// A list with more elements than it may have (field.TooMany). Whether it had.
pub(super) fn too_many(count: usize, most: usize, path: Path<'_>, causes: &mut Causes) -> bool {
    if count > most {
        let items = if most == 1 { "item" } else { "items" };
        causes.0.push(Cause {
            reason: "FieldValueTooMany",
            message: format!("Too many: {count}: must have at most {most} {items}"),
            field: path.into(),
        });
    }
    count > most
}

/// A complaint about a value that is too large or too private to show (field.OmitValueType).
pub(super) fn invalid_omitted(path: Path<'_>, words: &str, causes: &mut Causes) {
    causes.0.push(Cause {
        reason: "FieldValueInvalid",
        message: format!("Invalid value: {words}"),
        field: path.into(),
    });
}

/// `example.com/some/path`
pub(super) fn domain_prefixed_path(value: &str, path: Path<'_>, causes: &mut Causes) {
    if value.is_empty() {
        return causes.required(path, "");
    }
    match value.split_once('/') {
        Some((host, rest)) if !host.is_empty() && !rest.is_empty() => {
            dns_subdomain(host, path, causes);
            let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"/%-._~!$&'()*+,;=:".contains(&byte);
            if !rest.bytes().all(legal) {
                let words = "Invalid path (regex used for validation is '[A-Za-z0-9/\\-._~%!$&'()*+,;=:]+')";
                causes.invalid(path, &Value::from(rest), words);
            }
        }
        _ => {
            let words = "must be a domain-prefixed path (such as \"acme.io/foo\")";
            causes.invalid(path, &Value::from(value), words);
        }
    }
}

/// A domain of at least three labels.
pub(super) fn fully_qualified_name(value: &str, path: Path<'_>, causes: &mut Causes) {
    let wrong = names::is_dns1123_subdomain(value);
    if value.is_empty() {
        causes.required(path, "");
    } else if !wrong.is_empty() {
        causes.invalid(path, &Value::from(value), &wrong.join(","));
    } else if value.split('.').count() < 3 {
        let words = "should be a domain with at least three segments separated by dots";
        causes.invalid(path, &Value::from(value), words);
    }
}

/// A kind or a name that will be part of a URL's path; it must be there.
pub(super) fn path_segment(object: &Value, key: &str, path: &Path<'_>, causes: &mut Causes) {
    if required_text(object, key, path, causes) {
        let value = text(object, key);
        complain(names::is_path_segment_name(value), value, path.child(key), causes);
    }
}

/// Adds an explanation to the last complaint.
pub(super) fn explain(words: &str, causes: &mut Causes) {
    if let Some(cause) = causes.0.last_mut() {
        cause.message.push_str(": ");
        cause.message.push_str(words);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn words(check: impl FnOnce(Path<'_>, &mut Causes)) -> Vec<String> {
        let mut causes = Causes::default();
        check(Path::new("x"), &mut causes);
        causes.0.into_iter().map(|cause| cause.message).collect()
    }

    #[test]
    fn addresses() {
        assert!(words(|path, causes| assert!(ip("10.0.0.1", path, causes).is_some())).is_empty());
        let said = words(|path, causes| assert!(ip("010.0.0.1", path, causes).is_none()));
        assert_eq!(said, ["Invalid value: \"010.0.0.1\": must not have leading 0s"]);
        let said = words(|path, causes| assert!(ip("::ffff:1.2.3.4", path, causes).is_none()));
        assert_eq!(said, ["Invalid value: \"::ffff:1.2.3.4\": must not be an IPv4-mapped IPv6 address"]);
        let said = words(|path, causes| assert!(cidr("10.0.0.1/8", path, causes).is_none()));
        assert_eq!(said, ["Invalid value: \"10.0.0.1/8\": must not have bits set beyond the prefix length"]);
        assert!(words(|path, causes| assert!(cidr("10.0.0.0/8", path, causes).is_some())).is_empty());
        assert_eq!(words(|path, causes| endpoint_ip("127.0.0.1".parse().unwrap(), path, causes)).len(), 1);
        assert_eq!(words(|path, causes| endpoint_ip("ff02::1".parse().unwrap(), path, causes)).len(), 1);
        assert!(words(|path, causes| endpoint_ip("10.0.0.1".parse().unwrap(), path, causes)).is_empty());
    }

    #[test]
    fn nothing_is_the_same_as_empty() {
        assert!(same(&json!({"a": 1, "b": {}}), &json!({"a": 1})));
        assert!(same(&json!({"a": []}), &json!({})));
        assert!(!same(&json!({"a": [1]}), &json!({})));
        assert!(!same(&json!({"a": 1}), &json!({"a": 2})));
    }

    #[test]
    fn paths() {
        assert_eq!(words(|path, causes| descending_path("/a", path, causes)).len(), 1);
        assert_eq!(words(|path, causes| descending_path("a/../b", path, causes)).len(), 1);
        assert_eq!(words(|path, causes| unreserved_path("..data", path, causes)).len(), 1);
        assert!(words(|path, causes| unreserved_path("a/b", path, causes)).is_empty());
    }
}
