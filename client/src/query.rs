//! Query strings.

/// A path with a query string that grows.
pub(crate) struct Query {
    text: String,
    separator: char,
}

impl Query {
    /// Starts behind a path without a query.
    pub(crate) fn new(path: String) -> Self {
        Self { text: path, separator: '?' }
    }

    /// Adds a parameter unless its value is empty.
    pub(crate) fn set(mut self, name: &str, value: &str) -> Self {
        if !value.is_empty() {
            self.text.push(self.separator);
            self.separator = '&';
            self.text.push_str(name);
            self.text.push('=');
            escape(&mut self.text, value);
        }
        self
    }

    /// Path and query.
    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// Percent-encodes everything but RFC 3986's unreserved characters.
fn escape(text: &mut String, value: &str) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            text.push(char::from(HEX[usize::from(byte >> 4)]));
            text.push(char::from(HEX[usize::from(byte & 15)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_escaped_and_empty_ones_left_out() {
        let query = Query::new("/api/v1/pods".into()).set("continue", "").set("labelSelector", "a in (b,ü)");
        assert_eq!(query.set("limit", "5").finish(), "/api/v1/pods?labelSelector=a%20in%20%28b%2C%C3%BC%29&limit=5");
    }
}
