//! Request paths taken apart.

/// `/apis/apps/v1` or `/api/v1`, then namespace, plural, name and subresource; empty where they are not given.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Path {
    pub(super) root: String,
    pub(super) namespace: String,
    pub(super) plural: String,
    pub(super) name: String,
    pub(super) subresource: String,
}

impl Path {
    pub(super) fn parse(path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (root, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] => (format!("/api/{version}"), rest),
            ["apis", group, version, rest @ ..] => (format!("/apis/{group}/{version}"), rest),
            _ => return None,
        };
        let (namespace, rest) = match rest {
            ["namespaces", _] | ["namespaces", _, "status" | "finalize"] => ("", rest),
            ["namespaces", namespace, rest @ ..] => (*namespace, rest),
            _ => ("", rest),
        };
        let part = |at: usize| rest.get(at).copied().unwrap_or_default().to_owned();
        let (plural, name, subresource) = (part(0), part(1), part(2));
        (!plural.is_empty()).then(|| Self { root, namespace: namespace.to_owned(), plural, name, subresource })
    }

    /// Where the object is kept.
    pub(super) fn object(&self, name: &str) -> String {
        if self.namespace.is_empty() {
            format!("{}/{}/{name}", self.root, self.plural)
        } else {
            format!("{}/namespaces/{}/{}/{name}", self.root, self.namespace, self.plural)
        }
    }

    /// Whether an object's path lies in this collection.
    pub(super) fn contains(&self, object: &str) -> bool {
        let Some(rest) = object.strip_prefix(&self.root).and_then(|rest| rest.strip_prefix('/')) else { return false };
        let parts: Vec<&str> = rest.split('/').collect();
        match parts.as_slice() {
            [plural, _] => self.namespace.is_empty() && *plural == self.plural,
            ["namespaces", namespace, plural, _] => {
                *plural == self.plural && (self.namespace.is_empty() || *namespace == self.namespace)
            }
            _ => false,
        }
    }
}

/// The parameters of a query, decoded.
pub(super) fn parameters(query: &str) -> Vec<(String, String)> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(key, value)| (key.to_owned(), unescape(value))).collect()
}

fn unescape(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let hex = tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match (first, hex) {
            (b'%', Some(byte)) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
