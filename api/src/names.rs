//! The forms of names: DNS labels and subdomains, label keys and values, qualified names; and what every object's
//! metadata must look like.
//!
//! A rule returns what is wrong with a value, in the reference's sentences; nothing where it is right.

mod metadata;

pub use metadata::{
    MAX_ANNOTATIONS, validate_annotations, validate_field_manager, validate_kube_finalizers, validate_labels,
    validate_managers, validate_metadata, validate_metadata_update,
};

const LABEL: &str = "[a-z0-9]([-a-z0-9]*[a-z0-9])?";
const QUALIFIED: &str = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]";
const QUALIFIED_WORDS: &str =
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character";
/// Characters that generateName's random part has.
const RANDOM_LENGTH: usize = 5;
/// Bytes of a generateName that are kept.
const MAX_GENERATED_BASE: usize = 63 - RANDOM_LENGTH;

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

#[cfg(test)]
mod tests {
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
}
