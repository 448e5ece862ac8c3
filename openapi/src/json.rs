//! Writes JSON as text, without a tree in between: documents are megabytes of it.

use serde_json::Value;

/// An object under way. What closes it is written by who opened it.
pub(crate) struct Object<'a> {
    text: &'a mut String,
    empty: bool,
}

/// A list under way.
pub(crate) struct List<'a> {
    text: &'a mut String,
    empty: bool,
}

/// The text of an object.
pub(crate) fn object(write: impl FnOnce(&mut Object<'_>)) -> String {
    let mut text = String::new();
    open(&mut text, write);
    text
}

/// Appends an object.
pub(crate) fn open(text: &mut String, write: impl FnOnce(&mut Object<'_>)) {
    text.push('{');
    write(&mut Object { text, empty: true });
    text.push('}');
}

impl Object<'_> {
    fn key(&mut self, key: &str) -> &mut String {
        if !std::mem::replace(&mut self.empty, false) {
            self.text.push(',');
        }
        quote(self.text, key);
        self.text.push(':');
        self.text
    }

    /// A field whose value is JSON already.
    pub(crate) fn raw(&mut self, key: &str, json: &str) {
        self.key(key).push_str(json);
    }

    /// A text.
    pub(crate) fn text(&mut self, key: &str, value: &str) {
        quote(self.key(key), value);
    }

    /// A text that is the inside of a JSON string already; left out where it is empty.
    pub(crate) fn words(&mut self, key: &str, inside: &str) {
        if !inside.is_empty() {
            let text = self.key(key);
            text.push('"');
            text.push_str(inside);
            text.push('"');
        }
    }

    pub(crate) fn flag(&mut self, key: &str, value: bool) {
        self.raw(key, if value { "true" } else { "false" });
    }

    pub(crate) fn value(&mut self, key: &str, value: &Value) {
        let json = value.to_string();
        self.raw(key, &json);
    }

    pub(crate) fn object(&mut self, key: &str, write: impl FnOnce(&mut Object<'_>)) {
        open(self.key(key), write);
    }

    pub(crate) fn list(&mut self, key: &str, write: impl FnOnce(&mut List<'_>)) {
        let text = self.key(key);
        text.push('[');
        write(&mut List { text, empty: true });
        text.push(']');
    }

    pub(crate) fn texts<'t>(&mut self, key: &str, values: impl IntoIterator<Item = &'t str>) {
        self.list(key, |list| values.into_iter().for_each(|value| list.text(value)));
    }
}

impl List<'_> {
    fn next(&mut self) -> &mut String {
        if !std::mem::replace(&mut self.empty, false) {
            self.text.push(',');
        }
        self.text
    }

    pub(crate) fn text(&mut self, value: &str) {
        quote(self.next(), value);
    }

    pub(crate) fn object(&mut self, write: impl FnOnce(&mut Object<'_>)) {
        open(self.next(), write);
    }
}

/// The inside of a JSON string.
pub(crate) fn inside(text: &str) -> String {
    let mut quoted = String::new();
    quote(&mut quoted, text);
    quoted[1..quoted.len() - 1].to_owned()
}

fn quote(out: &mut String, text: &str) {
    if text.bytes().all(|byte| byte >= b' ' && byte != b'"' && byte != b'\\') {
        out.push('"');
        out.push_str(text);
        out.push('"');
    } else {
        out.push_str(&Value::from(text).to_string());
    }
}
