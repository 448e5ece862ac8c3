//! `fieldPath` of a rule: where its complaints go, as a JSON path below the rule's schema.

use serde_json::Value as Json;

/// The path in the form of complaints (`.spec.labels[key]`), if the schema has it.
pub(super) fn resolve(path: &str, mut schema: &Json) -> Result<String, String> {
    let mut resolved = String::new();
    let mut rest = path;
    while !rest.is_empty() {
        let name;
        if let Some(after) = rest.strip_prefix('.') {
            let end = after.find(['.', '[', ']']).unwrap_or(after.len());
            if end == 0 {
                return Err("unexpected end of JSON path".to_owned());
            }
            name = after[..end].to_owned();
            rest = &after[end..];
        } else if let Some(after) = rest.strip_prefix("['") {
            let (quoted, behind) = quoted(after)?;
            name = quoted;
            rest = behind.strip_prefix(']').ok_or("expected ]")?;
        } else {
            return Err(format!("expected [ or . but got: {rest}"));
        }
        if schema["properties"].is_object() {
            schema = &schema["properties"][&name];
            if schema.is_null() {
                return Err("does not refer to a valid field".to_owned());
            }
            resolved.push('.');
            resolved.push_str(&name);
        } else if schema["additionalProperties"].is_object() {
            schema = &schema["additionalProperties"];
            resolved.push_str(&format!("[{name}]"));
        } else {
            return Err("does not refer to a valid field".to_owned());
        }
    }
    Ok(resolved)
}

/// Text up to the closing quote, and what follows it.
fn quoted(text: &str) -> Result<(String, &str), String> {
    let mut out = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\'' => return Ok((out, &text[at + 1..])),
            '\\' => out.push(match characters.next().map(|(_, code)| code) {
                Some('a') => '\u{7}',
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                Some('v') => '\u{b}',
                Some(code @ ('\'' | '\\')) => code,
                _ => return Err("invalid escape char".to_owned()),
            }),
            other => out.push(other),
        }
    }
    Err("unexpected end of JSON path".to_owned())
}
