//! The forms of names: DNS labels and subdomains, label keys and values, qualified names; and what every object's
//! metadata must look like.
//!
//! A rule returns what is wrong with a value, in the reference's sentences; nothing where it is right.

use std::collections::BTreeSet;

use crate::document::{Document, Map, Value};
use crate::status::Causes;

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_WORDS: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
/// Bytes that the keys and values of one object's annotations may have together.
pub const MAX_ANNOTATIONS: usize = 256 << 10;
/// Characters that generateName's random part has.
const RANDOM_LENGTH: usize = 5;
/// Bytes of a generateName that are kept.
const MAX_GENERATED_BASE: usize = 63 - RANDOM_LENGTH;
const IMMUTABLE: &str = "field is immutable";

fn at_most(length: usize) -> String {
    format!("must be no more than {length} characters")
}

fn at_most_bytes(length: usize) -> String {
    format!("must be no more than {length} bytes")
}

fn must_match(words: &str, regex: &str, examples: &[&str]) -> String {
    let examples: Vec<String> = examples.iter().map(|example| format!("'{example}', ")).collect();
    format!("{words} (e.g. {}regex used for validation is '{regex}')", examples.join("or "))
}

fn is_lower(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit()
}

/// First and last of `edge`, between them also `extra`.
fn framed(text: &str, edge: impl Fn(u8) -> bool, extra: &[u8]) -> bool {
    let bytes = text.as_bytes();
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(first, last)| edge(*first) && edge(*last));
    ends && bytes.iter().all(|byte| edge(*byte) || extra.contains(byte))
}

fn is_subdomain(text: &str) -> bool {
    text.split('.').all(|label| framed(label, is_lower, b"-"))
}

/// A label of DNS (RFC 1123): namespaces, most parts of names.
pub fn is_dns1123_label(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 63 {
        wrong.push(at_most(63));
    }
    if !framed(value, is_lower, b"-") {
        if is_subdomain(value) {
            wrong.push("must not contain dots".to_owned());
        } else {
            let words = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must \
                         start and end with an alphanumeric character";
            wrong.push(must_match(words, LABEL, &["my-name", "123-abc"]));
        }
    }
    wrong
}

/// A subdomain of DNS (RFC 1123): most objects' names.
pub fn is_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 253 {
        wrong.push(at_most(253));
    }
    if !is_subdomain(value) {
        let words = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and \
                     must start and end with an alphanumeric character";
        wrong.push(must_match(words, &format!("{LABEL}(\\.{LABEL})*"), &["example.com"]));
    }
    wrong
}

/// A subdomain whose first label is `*`: hosts of Ingresses.
pub fn is_wildcard_dns1123_subdomain(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 253 {
        wrong.push(at_most(253));
    }
    if !value.strip_prefix("*.").is_some_and(is_subdomain) {
        let words = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must \
                     consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character";
        wrong.push(must_match(words, &format!("\\*\\.{LABEL}(\\.{LABEL})*"), &["*.example.com"]));
    }
    wrong
}

/// A label of DNS as of RFC 1035, which starts with a letter: Services' names.
pub fn is_dns1035_label(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 63 {
        wrong.push(at_most(63));
    }
    if !framed(value, is_lower, b"-") || !value.starts_with(|c: char| c.is_ascii_lowercase()) {
        let words = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an \
                     alphabetic character, and end with an alphanumeric character";
        wrong.push(must_match(words, "[a-z]([-a-z0-9]*[a-z0-9])?", &["my-name", "abc-123"]));
    }
    wrong
}

/// A name with an optional prefix that is a subdomain: keys of labels and annotations, finalizers, resources.
pub fn is_qualified_name(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let examples = &["MyName", "my.name", "123-abc"];
    let name = match value.split_once('/') {
        Some((_, name)) if name.contains('/') => {
            let form = must_match(QUALIFIED_WORDS, QUALIFIED, examples);
            return vec![format!(
                "a valid label key {form} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"
            )];
        }
        Some(("", name)) => {
            wrong.push("prefix part must be non-empty".to_owned());
            name
        }
        Some((prefix, name)) => {
            let mut messages = content_subdomain(prefix);
            messages.iter_mut().for_each(|message| message.insert_str(0, "prefix part "));
            wrong.append(&mut messages);
            name
        }
        None => value,
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > 63 {
        wrong.push(format!("name part {}", at_most_bytes(63)));
    }
    if !framed(name, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        wrong.push(format!("name part {}", must_match(QUALIFIED_WORDS, QUALIFIED, examples)));
    }
    wrong
}

/// As [`is_dns1123_subdomain`]: the reference counts bytes here and characters there.
fn content_subdomain(value: &str) -> Vec<String> {
    let mut wrong = is_dns1123_subdomain(value);
    if value.len() > 253 {
        wrong[0] = at_most_bytes(253);
    }
    wrong
}

/// The value of a label.
pub fn is_valid_label_value(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 63 {
        wrong.push(at_most_bytes(63));
    }
    if !value.is_empty() && !framed(value, |byte| byte.is_ascii_alphanumeric(), b"-_.") {
        let words = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and \
                     must start and end with an alphanumeric character";
        wrong.push(must_match(words, &format!("({QUALIFIED})?"), &["MyValue", "my_value", "12345"]));
    }
    wrong
}

/// The name of an environment variable, by the relaxed rule: printable ASCII without `=`.
pub fn is_env_var_name(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.is_empty() {
        wrong.push("environment variable name must be non-empty".to_owned());
    }
    if !value.bytes().all(|byte| (b' '..=b'~').contains(&byte) && byte != b'=') {
        let words = "a valid environment variable name must consist only of printable ASCII characters other than '='";
        wrong.push(words.to_owned());
    }
    wrong
}

/// The name of an HTTP header.
pub fn is_http_header_name(value: &str) -> Vec<String> {
    if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Vec::new();
    }
    let words = "a valid HTTP header must consist of alphanumeric characters or '-'";
    vec![must_match(words, "[-A-Za-z0-9]+", &["X-Header-Name"])]
}

/// A key of a ConfigMap or a Secret.
pub fn is_config_map_key(value: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    if value.len() > 253 {
        wrong.push(at_most(253));
    }
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        let words = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'";
        wrong.push(must_match(words, "[-._a-zA-Z0-9]+", &["key.name", "KEY_NAME", "key-name"]));
    }
    match value {
        "." => wrong.push("must not be '.'".to_owned()),
        ".." => wrong.push("must not be '..'".to_owned()),
        _ if value.starts_with("..") => wrong.push("must not start with '..'".to_owned()),
        _ => {}
    }
    wrong
}

/// An identifier of C.
pub fn is_c_identifier(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    if bytes.first().is_some_and(|first| !first.is_ascii_digit()) && bytes.iter().all(word) {
        return Vec::new();
    }
    let words = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric \
                 characters or '_'";
    vec![must_match(words, "[A-Za-z_][A-Za-z0-9_]*", &["my_name", "MY_NAME", "MyName"])]
}

/// The number of a port.
pub fn is_valid_port_num(port: i64) -> Vec<String> {
    is_in_range(port, 1, 65535)
}

/// A number between two others.
pub fn is_in_range(value: i64, least: i64, most: i64) -> Vec<String> {
    if (least..=most).contains(&value) {
        return Vec::new();
    }
    vec![format!("must be between {least} and {most}, inclusive")]
}

/// The name of a port, as in RFC 6335.
pub fn is_valid_port_name(port: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut check = |right: bool, words: &str| {
        if !right {
            wrong.push(words.to_owned());
        }
    };
    check(port.len() <= 15, &at_most(15));
    let charset = !port.is_empty() && port.bytes().all(|byte| is_lower(byte) || byte == b'-');
    check(charset, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)");
    check(port.bytes().any(|byte| byte.is_ascii_lowercase()), "must contain at least one letter (a-z)");
    check(!port.contains("--"), "must not contain consecutive hyphens");
    check(!port.starts_with('-') && !port.ends_with('-'), "must not begin or end with a hyphen");
    wrong
}

/// A percentage, as in `25%`.
pub fn is_valid_percent(percent: &str) -> Vec<String> {
    let digits = percent.strip_suffix('%').unwrap_or_default();
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Vec::new();
    }
    let words = "a valid percent string must be a numeric string followed by an ending '%'";
    vec![must_match(words, "[0-9]+%", &["1%", "93%"])]
}

/// An IP address in canonical form.
pub fn is_valid_ip(value: &str) -> Vec<String> {
    match value.parse::<std::net::IpAddr>() {
        Err(_) if has_leading_zeros(value) => vec!["must not have leading 0s".to_owned()],
        Err(_) => vec!["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)".to_owned()],
        Ok(std::net::IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            vec!["must not be an IPv4-mapped IPv6 address".to_owned()]
        }
        Ok(ip) if ip.to_string() != value => vec![format!("must be in canonical form (\"{ip}\")")],
        Ok(_) => Vec::new(),
    }
}

/// Whether it would be an IPv4 address if it were read without leading zeros.
fn has_leading_zeros(value: &str) -> bool {
    let part = |part: &str| match part.trim_start_matches('0') {
        "" if part.is_empty() => String::new(),
        "" => "0".to_owned(),
        rest => rest.to_owned(),
    };
    let without: Vec<String> = value.split('.').map(part).collect();
    without.join(".").parse::<std::net::Ipv4Addr>().is_ok()
}

/// A range of addresses in canonical form, without bits beyond the prefix.
pub fn is_valid_cidr(value: &str) -> Vec<String> {
    let Ok(net) = value.parse::<ipnet::IpNet>() else {
        return vec!["must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)".to_owned()];
    };
    if net.addr() != net.network() {
        return vec!["must not have bits set beyond the prefix length".to_owned()];
    }
    if net.to_string() != value {
        return vec![format!("must be in canonical form (\"{net}\")")];
    }
    Vec::new()
}

/// What can stand in a path: the rule for kinds whose names have no other (RBAC, custom resources' owners, …).
pub fn is_path_segment_name(name: &str) -> Vec<String> {
    if name == "." || name == ".." {
        return vec![format!("may not be '{name}'")];
    }
    let contains = ["/", "%"].into_iter().filter(|part| name.contains(part));
    contains.map(|part| format!("may not contain '{part}'")).collect()
}

/// A name for an object that has only a generateName: its beginning, and five characters drawn from `random`.
pub fn generate_name(base: &str, random: u64) -> String {
    /// Without vowels, and without digits that look like letters.
    const ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
    let mut end = base.len().min(MAX_GENERATED_BASE);
    while !base.is_char_boundary(end) {
        end -= 1;
    }
    let mut name = base[..end].to_owned();
    let mut rest = random;
    for _ in 0..RANDOM_LENGTH {
        name.push(char::from(ALPHABET[(rest % 27) as usize]));
        rest /= 27;
    }
    name
}

/// The metadata of an object that is created or updated (ValidateObjectMeta). `name_rule` is the kind's rule for names.
pub fn validate_metadata(
    object: &Value,
    namespaced: bool,
    name_rule: impl Fn(&str) -> Vec<String>,
    causes: &mut Causes,
) {
    let generate_name = object.text(&["metadata", "generateName"]);
    if !generate_name.is_empty() {
        refuse(causes, "metadata.generateName", generate_name, name_rule(&without_trailing_dash(generate_name)));
    }
    match object.name() {
        "" => causes.required("metadata.name", "name or generateName is required"),
        name => refuse(causes, "metadata.name", name, name_rule(name)),
    }
    match (namespaced, object.namespace()) {
        (true, "") => causes.required("metadata.namespace", ""),
        (true, namespace) => refuse(causes, "metadata.namespace", namespace, is_dns1123_label(namespace)),
        (false, "") => {}
        (false, _) => causes.forbidden("metadata.namespace", "not allowed on this type"),
    }
    let generation = object.at(&["metadata", "generation"]);
    if generation.as_i64().is_some_and(|generation| generation < 0) {
        causes.invalid("metadata.generation", generation, "must be greater than or equal to 0");
    }
    validate_maps(object, causes);
    validate_finalizers(object, causes);
    validate_managed_fields(object, causes);
}

/// What an update may not do to metadata (ValidateObjectMetaUpdate). The caller has already put back what updates
/// cannot change by leaving it out (uid, timestamps, …) and has checked the resourceVersion.
pub fn validate_metadata_update(new: &Value, old: &Value, causes: &mut Causes) {
    if old.is_deleting() {
        let before: BTreeSet<&str> = texts(old.list(&["metadata", "finalizers"])).collect();
        let after: BTreeSet<&str> = texts(new.list(&["metadata", "finalizers"])).collect();
        let added: Vec<String> = after.difference(&before).map(|name| format!("{name:?}")).collect();
        if !added.is_empty() {
            let why = "no new finalizers can be added if the object is being deleted, found new finalizers";
            causes.forbidden("metadata.finalizers", &format!("{why} []string{{{}}}", added.join(", ")));
        }
    }
    let generation = |object: &Value| object.int(&["metadata", "generation"]).unwrap_or(0);
    if generation(new) < generation(old) {
        causes.invalid("metadata.generation", &generation(new).into(), "must not be decremented");
    }
    for name in ["name", "namespace", "uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        let (new, old) = (new.at(&["metadata", name]), old.at(&["metadata", name]));
        let empty = |value: &Value| value.is_null() || value == "";
        if new != old && !(empty(new) && empty(old)) {
            causes.invalid(format!("metadata.{name}"), new, IMMUTABLE);
        }
    }
}

/// Labels (ValidateLabels), wherever they stand.
pub fn validate_labels(labels: &Value, field: &str, causes: &mut Causes) {
    for (key, value) in entries(labels) {
        refuse(causes, field, key, is_qualified_name(key));
        let value = value.as_str().unwrap_or_default();
        refuse(causes, field, value, is_valid_label_value(value));
    }
}

/// Annotations (ValidateAnnotations), wherever they stand.
pub fn validate_annotations(annotations: &Value, field: &str, causes: &mut Causes) {
    let mut size = 0;
    for (key, value) in entries(annotations) {
        refuse(causes, field, key, is_qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().unwrap_or_default().len();
    }
    if size > MAX_ANNOTATIONS {
        causes.too_long(field, MAX_ANNOTATIONS);
    }
}

fn validate_maps(object: &Value, causes: &mut Causes) {
    validate_labels(object.at(&["metadata", "labels"]), "metadata.labels", causes);
    validate_annotations(object.at(&["metadata", "annotations"]), "metadata.annotations", causes);
    validate_owner_references(object, causes);
}

fn validate_owner_references(object: &Value, causes: &mut Causes) {
    let field = "metadata.ownerReferences";
    let owners = object.at(&["metadata", "ownerReferences"]);
    let mut controller: Option<String> = None;
    for owner in object.list(&["metadata", "ownerReferences"]) {
        let api_version = owner.text(&["apiVersion"]);
        if api_version.is_empty() || api_version.matches('/').count() > 1 || api_version.ends_with('/') {
            causes.invalid(format!("{field}.apiVersion"), &api_version.into(), "version must not be empty");
        }
        for name in ["kind", "name", "uid"] {
            if owner.text(&[name]).is_empty() {
                causes.invalid(format!("{field}.{name}"), &"".into(), "must not be empty");
            }
        }
        if (api_version, owner.text(&["kind"])) == ("v1", "Event") {
            causes.invalid(field, owner, "/v1, Kind=Event is disallowed from being an owner");
        }
        if owner.at(&["controller"]) == true {
            let current = format!("{}/{}", owner.text(&["kind"]), owner.text(&["name"]));
            match &controller {
                Some(first) => {
                    let why = "Only one reference can have Controller set to true. Found \"true\" in references for";
                    causes.invalid(field, owners, &format!("{why} {first} and {current}"));
                }
                None => controller = Some(current),
            }
        }
    }
}

fn validate_finalizers(object: &Value, causes: &mut Causes) {
    let field = "metadata.finalizers";
    let finalizers = object.list(&["metadata", "finalizers"]);
    for name in texts(finalizers) {
        refuse(causes, field, name, is_qualified_name(name));
    }
    if ["orphan", "foregroundDeletion"].iter().all(|name| texts(finalizers).any(|found| found == *name)) {
        let why = "finalizer orphan and foregroundDeletion cannot be both set";
        causes.invalid(field, object.at(&["metadata", "finalizers"]), why);
    }
    for (at, name) in texts(finalizers).enumerate() {
        if !name.contains('/') && !["kubernetes", "orphan", "foregroundDeletion"].contains(&name) {
            let why = "name is neither a standard finalizer name nor is it fully qualified";
            causes.invalid(format!("{field}[{at}]"), &name.into(), why);
        }
    }
}

fn validate_managed_fields(object: &Value, causes: &mut Causes) {
    for (at, entry) in object.list(&["metadata", "managedFields"]).iter().enumerate() {
        let field = |name: &str| format!("metadata.managedFields[{at}].{name}");
        if !["Apply", "Update"].contains(&entry.text(&["operation"])) {
            causes.invalid(field("operation"), &entry.text(&["operation"]).into(), "must be `Apply` or `Update`");
        }
        if !["", "FieldsV1"].contains(&entry.text(&["fieldsType"])) {
            causes.invalid(field("fieldsType"), entry.at(&["fieldsType"]), "must be `FieldsV1`");
        }
        validate_field_manager(entry.text(&["manager"]), &field("manager"), causes);
        if entry.text(&["subresource"]).len() > 256 {
            causes.too_long(field("subresource"), 256);
        }
    }
}

/// The name of who manages fields, also as a query parameter.
pub fn validate_field_manager(manager: &str, field: &str, causes: &mut Causes) {
    if manager.len() > 128 {
        causes.too_long(field, 128);
    }
    for (at, found) in manager.char_indices().filter(|(_, found)| found.is_control()) {
        let why = format!("invalid character U+{:04X} (at position {at})", u32::from(found));
        causes.invalid(field, &manager.into(), &why);
    }
}

/// One cause for each thing that is wrong.
fn refuse(causes: &mut Causes, field: &str, value: &str, wrong: Vec<String>) {
    for why in wrong {
        causes.invalid(field, &value.into(), &why);
    }
}

/// A generateName as if something stood after its dash. It also drops the character before, as the reference does.
fn without_trailing_dash(name: &str) -> String {
    match name.strip_suffix('-').and_then(|rest| rest.char_indices().next_back()) {
        Some((at, _)) => format!("{}a", &name[..at]),
        None => name.to_owned(),
    }
}

fn texts(list: &[Value]) -> impl Iterator<Item = &str> {
    list.iter().filter_map(Value::as_str)
}

fn entries(map: &Value) -> impl Iterator<Item = (&String, &Value)> {
    map.as_object().into_iter().flat_map(Map::iter)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn dns_names() {
        let long = "a".repeat(64);
        assert!(is_dns1123_label("a").is_empty() && is_dns1123_label("0-a").is_empty());
        assert_eq!(is_dns1123_label("a.b"), ["must not contain dots"]);
        assert_eq!(is_dns1123_label(&long), ["must be no more than 63 characters"]);
        assert_eq!(
            is_dns1123_label("A"),
            [
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and \
              end with an alphanumeric character (e.g. 'my-name', or '123-abc', regex used for validation is \
              '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
            ]
        );
        for name in ["", "-", "a-", "-a", "a..b", ".a", "a.", "ä", "a_b", "a b", "a\n"] {
            assert_eq!(is_dns1123_subdomain(name).len(), 1, "{name:?}");
        }
        assert!(is_dns1123_subdomain("a.0-b.c").is_empty());
        assert_eq!((is_dns1035_label("1a").len(), is_dns1035_label("a1").len()), (1, 0));
        assert_eq!((is_wildcard_dns1123_subdomain("*.a.b").len(), is_wildcard_dns1123_subdomain("*").len()), (0, 1));
    }

    #[test]
    fn qualified_names() {
        for name in ["a", "A_b.C-1", "example.com/A", "1"] {
            assert!(is_qualified_name(name).is_empty(), "{name:?}");
        }
        assert_eq!(is_qualified_name("a/b/c").len(), 1);
        assert_eq!(is_qualified_name("/b"), ["prefix part must be non-empty"]);
        assert_eq!(is_qualified_name("a/")[0], "name part must be non-empty");
        assert!(is_qualified_name("A/b")[0].starts_with("prefix part a lowercase RFC 1123 subdomain must"));
        assert_eq!(is_qualified_name(&"a".repeat(64)), ["name part must be no more than 63 bytes"]);
        assert!(is_valid_label_value("").is_empty() && is_valid_label_value("a_B.1").is_empty());
        assert_eq!(is_valid_label_value("-a").len(), 1);
    }

    #[test]
    fn other_forms() {
        assert!(is_env_var_name("a b-1.x").is_empty());
        assert_eq!((is_env_var_name("").len(), is_env_var_name("a=b").len(), is_env_var_name("ä").len()), (1, 1, 1));
        assert_eq!((is_http_header_name("X-A").len(), is_http_header_name("X_A").len()), (0, 1));
        assert_eq!(is_config_map_key(".."), ["must not be '..'"]);
        assert_eq!((is_config_map_key(".a").len(), is_config_map_key("a/b").len()), (0, 1));
        assert_eq!((is_valid_port_num(0).len(), is_valid_port_num(65535).len()), (1, 0));
        assert_eq!((is_valid_port_name("http").len(), is_valid_port_name("-80--").len()), (0, 3));
        assert_eq!(is_valid_port_name("").len(), 2);
        assert_eq!((is_valid_percent("1%").len(), is_valid_percent("%").len()), (0, 1));
        assert_eq!((is_c_identifier("_a1").len(), is_c_identifier("1a").len()), (0, 1));
        assert_eq!(is_path_segment_name("a/b%"), ["may not contain '/'", "may not contain '%'"]);
        assert_eq!(is_path_segment_name(".."), ["may not be '..'"]);
    }

    #[test]
    fn addresses() {
        assert!(is_valid_ip("10.0.0.1").is_empty() && is_valid_ip("2001:db8::1").is_empty());
        assert_eq!(is_valid_ip("010.0.0.1"), ["must not have leading 0s"]);
        assert_eq!(is_valid_ip("::ffff:1.2.3.4"), ["must not be an IPv4-mapped IPv6 address"]);
        assert_eq!(is_valid_ip("2001:DB8::1"), ["must be in canonical form (\"2001:db8::1\")"]);
        assert_eq!((is_valid_ip("1.2.3").len(), is_valid_ip("").len(), is_valid_ip("1..2.3").len()), (1, 1, 1));
        assert_eq!((is_valid_cidr("10.0.0.0/8").len(), is_valid_cidr("10.0.0.1/8").len()), (0, 1));
    }

    #[test]
    fn generated_names_fit() {
        let name = generate_name(&"a".repeat(80), u64::MAX);
        assert_eq!((name.len(), is_dns1123_label(&name).len()), (63, 0));
        assert_eq!(generate_name("web-", 0), "web-bbbbb");
        assert_ne!(generate_name("web-", 1), generate_name("web-", 27));
    }

    fn fields(object: &Value, namespaced: bool) -> Vec<String> {
        let mut causes = Causes::default();
        validate_metadata(object, namespaced, is_dns1123_subdomain, &mut causes);
        causes.0.into_iter().map(|cause| cause.field).collect()
    }

    #[test]
    fn metadata_is_looked_at_whole() {
        assert!(fields(&json!({"metadata": {"name": "a", "namespace": "b", "generateName": "ab-"}}), true).is_empty());
        assert_eq!(fields(&json!({}), true), ["metadata.name", "metadata.namespace"]);
        assert_eq!(
            fields(&json!({"metadata": {"name": "A", "namespace": "b"}}), false),
            ["metadata.name", "metadata.namespace"]
        );
        let bad = json!({"metadata": {
            "name": "a", "generation": -1, "labels": {"a b": "c d"}, "annotations": {"Ok": "", "/": ""},
            "ownerReferences": [{"apiVersion": "a/", "kind": "K", "name": "n", "uid": ""},
                {"apiVersion": "v1", "kind": "A", "name": "n", "uid": "u", "controller": true},
                {"apiVersion": "v1", "kind": "B", "name": "n", "uid": "u", "controller": true}],
            "finalizers": ["orphan", "foregroundDeletion", "mine"],
            "managedFields": [{"operation": "Guess", "manager": "\n"}],
        }});
        assert_eq!(
            fields(&bad, false),
            [
                "metadata.generation",
                "metadata.labels",
                "metadata.labels",
                "metadata.annotations",
                "metadata.annotations",
                "metadata.annotations",
                "metadata.ownerReferences.apiVersion",
                "metadata.ownerReferences.uid",
                "metadata.ownerReferences",
                "metadata.finalizers",
                "metadata.finalizers[2]",
                "metadata.managedFields[0].operation",
                "metadata.managedFields[0].manager",
            ]
        );
        let large = json!({"metadata": {"name": "a", "annotations": {"a": "x".repeat(MAX_ANNOTATIONS)}}});
        assert_eq!(fields(&large, false), ["metadata.annotations"]);
    }

    #[test]
    fn updates_keep_what_an_object_is() {
        let old = json!({"metadata": {"name": "a", "uid": "1", "deletionTimestamp": "t", "finalizers": ["x/a"]}});
        let mut new = old.clone();
        let check = |new: &Value| {
            let mut causes = Causes::default();
            validate_metadata_update(new, &old, &mut causes);
            causes.0
        };
        assert!(check(&new).is_empty());
        new.set(&["metadata", "finalizers"], json!([]));
        assert!(check(&new).is_empty(), "finalizers may go");
        new.set(&["metadata", "finalizers"], json!(["x/b"]));
        new.set(&["metadata", "uid"], "2");
        let causes = check(&new);
        assert!(causes[0].message.ends_with("found new finalizers []string{\"x/b\"}"), "{}", causes[0].message);
        assert_eq!((causes[1].field.as_str(), causes.len()), ("metadata.uid", 2));
        assert_eq!(causes[1].message, "Invalid value: \"2\": field is immutable");
    }
}
