//! Names, types and requiredness, from the generated sources of k8s-openapi.

use std::path::Path;

use super::{Field, Message, Messages};

/// Types whose JSON form is not a plain message: the table has words for them.
const WORDS: [(&str, &str); 11] = [
    ("crate::apimachinery::pkg::api::resource::Quantity", "Quantity"),
    ("crate::apimachinery::pkg::util::intstr::IntOrString", "IntOrString"),
    ("crate::apimachinery::pkg::apis::meta::v1::Time", "Time"),
    ("crate::apimachinery::pkg::apis::meta::v1::MicroTime", "MicroTime"),
    ("crate::apimachinery::pkg::apis::meta::v1::FieldsV1", "FieldsV1"),
    ("crate::apimachinery::pkg::runtime::RawExtension", "RawExtension"),
    ("crate::ByteString", "bytes"),
    ("crate::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSON", "any"),
    ("crate::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrArray", "SchemaOrList"),
    ("crate::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrBool", "SchemaOrBool"),
    ("crate::apiextensions_apiserver::pkg::apis::apiextensions::v1::JSONSchemaPropsOrStringArray", "SchemaOrStrings"),
];

/// Not in the table: no documents of ours (a patch is applied, not decoded).
const LEFT_OUT: [&str; 3] =
    ["io.k8s.apimachinery.pkg.apis.meta.v1.Patch", "io.k8s.apimachinery.pkg.apis.meta.v1.WatchEvent", "io.k8s.List"];

/// Reads every generated type below a folder.
pub fn read(folder: &Path) -> Result<Messages, String> {
    let mut messages = Messages::new();
    for path in super::rust_files(folder)? {
        let source = super::text(&path)?;
        let Some(name) = source.strip_prefix("// Generated from definition ") else { continue };
        let name = name.lines().next().unwrap_or_default();
        let word = WORDS.iter().any(|(path, _)| full_name(path).as_deref() == Some(name));
        if word || LEFT_OUT.iter().any(|prefix| name.starts_with(prefix)) {
            continue;
        }
        let message = message(&source).map_err(|error| format!("{}: {error}", path.display()))?;
        messages.insert(name.to_owned(), message);
    }
    Ok(messages)
}

fn message(source: &str) -> Result<Message, String> {
    let mut message = Message::default();
    let names = json_names(source);
    let body = source.split_once("\npub struct ").ok_or("no struct")?.1;
    let declaration = body.lines().next().unwrap_or_default();
    // A struct without fields is generated as any JSON.
    if declaration.ends_with("(pub crate::serde_json::Value);") {
        return Ok(message);
    }
    if !declaration.ends_with('{') {
        return Err(format!("unknown form of a struct: {declaration}"));
    }
    for line in body.lines().skip(1).take_while(|line| *line != "}") {
        let Some(field) = line.trim().strip_prefix("pub ") else { continue };
        let (ident, of) = field.trim_end_matches(',').split_once(": ").ok_or_else(|| field.to_owned())?;
        let (required, of) = match of.strip_prefix("Option<").and_then(|of| of.strip_suffix('>')) {
            Some(of) => (false, of),
            None => (true, of),
        };
        let of = word(of)?;
        let ident = ident.trim_start_matches("r#");
        let (_, name) =
            names.iter().find(|(key, _)| *key == ident).ok_or_else(|| format!("{ident} has no JSON name"))?;
        message.fields.insert((*name).to_owned(), Field { of, required, ..Field::default() });
    }
    if source.contains("\nimpl crate::Resource for ") {
        // The crate makes it a must; Kubernetes' own OpenAPI does not.
        if let Some(metadata) = message.fields.get_mut("metadata") {
            metadata.required = false;
            metadata.presence = Some('!');
        }
        let text = Field { of: "string".to_owned(), presence: Some('?'), ..Field::default() };
        message.fields.insert("apiVersion".to_owned(), text.clone());
        message.fields.insert("kind".to_owned(), text);
    }
    Ok(message)
}

/// `(key, "json name")` of each `"json name" => Field::Key_key,`.
fn json_names(source: &str) -> Vec<(&str, &str)> {
    let arms = source.lines().filter_map(|line| line.trim().strip_prefix('"')?.split_once("\" => Field::Key_"));
    arms.map(|(name, key)| (key.trim_end_matches(','), name)).collect()
}

/// A Rust type in the words of the table.
fn word(of: &str) -> Result<String, String> {
    let inner = |open: &str| of.strip_prefix(open).and_then(|of| of.strip_suffix('>'));
    if let Some(boxed) = inner("std::boxed::Box<") {
        return word(boxed);
    }
    if let Some(item) = inner("std::vec::Vec<") {
        return Ok(format!("[{}]", word(item)?));
    }
    if let Some(value) = inner("std::collections::BTreeMap<std::string::String, ") {
        return Ok(format!("{{{}}}", word(value)?));
    }
    if let Some((_, word)) = WORDS.iter().find(|(path, _)| *path == of) {
        return Ok((*word).to_owned());
    }
    Ok(match of {
        "std::string::String" => "string".to_owned(),
        "bool" => "bool".to_owned(),
        "i32" => "int32".to_owned(),
        "i64" => "int64".to_owned(),
        "f64" => "double".to_owned(),
        _ => full_name(of).ok_or_else(|| format!("unknown type {of}"))?,
    })
}

/// `io.k8s.api.core.v1.Pod` for `crate::api::core::v1::Pod`.
fn full_name(path: &str) -> Option<String> {
    let path = path.strip_prefix("crate::")?.replace("::", ".");
    // Names of Go's modules, which are no names in Rust.
    let path = path.replace("apiextensions_apiserver.", "apiextensions-apiserver.");
    Some(format!("io.k8s.{}", path.replace("kube_aggregator.", "kube-aggregator.")))
}
