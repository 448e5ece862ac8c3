//! A URL's query, decoded, and the typed options that Kubernetes reads from it.

use std::str::FromStr;

use api::{Status, Value};

/// Decoded pairs in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Pairs that are no UTF-8 after decoding are replaced by what is.
    pub(crate) fn parse(text: Option<&str>) -> Self {
        let pairs = text.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    (decode(key, true), decode(value, true))
                })
                .collect(),
        )
    }

    /// The first value of a key; `None` where it is not there.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(have, _)| have == key).map(|(_, value)| value.as_str())
    }

    /// The first value of a key, empty where it is not there.
    pub(crate) fn text(&self, key: &str) -> &str {
        self.get(key).unwrap_or_default()
    }

    /// Every value of a key.
    pub(crate) fn all<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(have, _)| have == key).map(|(_, value)| value.as_str())
    }

    /// A flag: absent is `None`, present without a value is true.
    pub(crate) fn flag(&self, key: &str) -> Option<bool> {
        self.get(key).map(|value| !matches!(value.to_ascii_lowercase().as_str(), "false" | "0"))
    }

    /// A number; empty is absent, and what is no number is a 400.
    pub(crate) fn number<N: FromStr>(&self, key: &str) -> Result<Option<N>, Status> {
        match self.text(key) {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| {
                Status::bad_request(format!("{key}: strconv.ParseInt: parsing {}: invalid syntax", Value::from(text)))
            }),
        }
    }
}

/// A query of these pairs with its question mark; nothing where there are none.
pub(crate) fn encode<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let pairs: Vec<String> = pairs.into_iter().map(|(key, value)| format!("{key}={}", escape(value))).collect();
    if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => out.push(char::from(byte)),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}

/// Percent-decoding; `plus` is a space in queries, but not in paths.
pub(crate) fn decode(text: &str, plus: bool) -> String {
    if !text.bytes().any(|byte| byte == b'%' || (plus && byte == b'+')) {
        return text.to_owned();
    }
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if plus && bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_decoded() {
        let query = Query::parse(Some("fieldSelector=spec.nodeName%3Dnode-1&labelSelector=a+in+(b%2Cc)&watch&limit=5"));
        assert_eq!(query.get("fieldSelector"), Some("spec.nodeName=node-1"));
        assert_eq!(query.text("labelSelector"), "a in (b,c)");
        assert_eq!((query.flag("watch"), query.flag("pretty")), (Some(true), None));
        assert_eq!(query.number::<u64>("limit"), Ok(Some(5)));
        assert!(Query::parse(Some("limit=x")).number::<u64>("limit").is_err());
    }

    #[test]
    fn what_is_encoded_reads_the_same() {
        let pairs = [("command", "sh -c"), ("command", "a&b=%c+é")];
        let text = encode(pairs);
        assert_eq!(text, "?command=sh%20-c&command=a%26b%3D%25c%2B%C3%A9");
        assert_eq!(Query::parse(text.strip_prefix('?')).0, pairs.map(|(key, value)| (key.into(), value.into())));
        assert_eq!(encode([]), "");
    }

    #[test]
    fn broken_escapes_stay() {
        assert_eq!(decode("100%", true), "100%");
        assert_eq!(decode("%zz%41+", false), "%zzA+");
        assert_eq!(decode("%é", true), "%é");
    }
}
