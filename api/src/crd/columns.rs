//! Columns of tables: additionalPrinterColumns, each a JSONPath.

use serde_json_path::JsonPath;

use crate::document::{Document, Value};
use crate::time;

/// One column of a custom kind.
#[derive(Clone, Debug)]
pub struct Column {
    /// Header.
    pub name: String,
    /// `string`, `integer`, `number`, `boolean` or `date`.
    pub kind: String,
    /// May be empty.
    pub format: String,
    /// What it shows.
    pub description: String,
    /// 0 is always shown, 1 with `-o wide`.
    pub priority: i32,
    path: Option<JsonPath>,
}

impl Column {
    /// Reads one of additionalPrinterColumns.
    pub(super) fn read(column: &Value) -> Self {
        let text = column.text(&["jsonPath"]);
        let description = match column.text(&["description"]) {
            "" => format!("Custom resource definition column (in JSONPath format): {text}"),
            said => said.to_owned(),
        };
        Self {
            name: column.text(&["name"]).to_owned(),
            kind: column.text(&["type"]).to_owned(),
            format: column.text(&["format"]).to_owned(),
            description,
            priority: column.int(&["priority"]).and_then(|priority| i32::try_from(priority).ok()).unwrap_or_default(),
            path: path(text).ok(),
        }
    }

    /// The column of a version that says nothing about its columns.
    pub(super) fn age() -> Self {
        let age = serde_json::json!({
            "name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp",
            "description": "Time since the object was created.",
        });
        Self::read(&age)
    }

    /// The cell of an object: null where it has nothing, or something of another type. `now` is in microseconds since 1970.
    pub fn cell(&self, object: &Value, now: i64) -> Value {
        let Some(path) = &self.path else { return Value::Null };
        let nodes = path.query(object).all();
        let Some(first) = nodes.first() else { return Value::Null };
        match (self.kind.as_str(), first) {
            (_, Value::Null) => Value::Null,
            ("string", Value::String(text)) => text.as_str().into(),
            ("string", value) => value.to_string().into(),
            ("integer", value) if value.is_i64() => (*value).clone(),
            ("integer", value) => value.as_f64().map_or(Value::Null, |number| (number as i64).into()),
            ("number", value) if value.is_number() => (*value).clone(),
            ("boolean", value) if value.is_boolean() => (*value).clone(),
            ("date", Value::String(text)) => time::age(text, now).into(),
            _ => Value::Null,
        }
    }
}

/// Kubernetes' dialect of JSONPath without its braces, as the standard (RFC 9535) writes it.
pub fn path(text: &str) -> Result<JsonPath, String> {
    if !text.starts_with(['.', '[']) {
        return Err("is not a json path: it has to begin with a dot".to_owned());
    }
    // `\.` is a dot within a name there, which the standard writes in brackets.
    let mut standard = String::from("$");
    let mut rest = text;
    while let Some(name) = rest.strip_prefix('.').filter(|_| !rest.starts_with("..")) {
        let mut plain = String::new();
        let mut chars = name.char_indices().peekable();
        let mut end = name.len();
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => plain.extend(chars.next().map(|(_, c)| c)),
                '.' | '[' => {
                    end = at;
                    break;
                }
                c => plain.push(c),
            }
        }
        rest = &name[end..];
        match plain.as_str() {
            "" => {}
            "*" => standard.push_str(".*"),
            name => standard.push_str(&format!("[{}]", Value::from(name))),
        }
        if rest.starts_with('[') {
            let end = bracket(rest).ok_or("is not a json path: a bracket is open")?;
            standard.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    standard.push_str(rest);
    JsonPath::parse(&standard).map_err(|error| format!("is not a json path: {error}"))
}

/// Where the bracket at the start of a text ends, behind it.
fn bracket(text: &str) -> Option<usize> {
    let (mut depth, mut quote) = (0, None);
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(open), c) if c == open => quote = None,
            (None, '"' | '\'') => quote = Some(c),
            (None, '[') => depth += 1,
            (None, ']') => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(at + c.len_utf8());
        }
    }
    None
}
