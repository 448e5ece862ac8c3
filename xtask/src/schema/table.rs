//! The table: how `api/src/schema/table.rs` reads it is described there.

use std::fmt::Write;

use super::{Field, Messages};

const HEAD: &str = "# The built-in types of Kubernetes v1.36, written by `cargo xtask schema`. Do not edit: facts that the sources lack
# go into overlay.txt. The format is described in api/src/schema/table.rs.
";

/// Writes every message, sorted by name.
pub fn write(messages: &Messages) -> Result<String, String> {
    let mut table = HEAD.to_owned();
    let mut open = "";
    for (name, message) in messages {
        let (package, short) = name.rsplit_once('.').ok_or_else(|| format!("{name} has no package"))?;
        if package != open {
            _ = writeln!(table, "P {package}");
            open = package;
        }
        let word = |on: bool, word: &'static str| if on { word } else { "" };
        _ = writeln!(table, "T {short}{}{}", word(message.atomic, " atomic"), word(message.open, " open"));
        for (field, facts) in &message.fields {
            table.push_str(field);
            write_field(&mut table, facts, package).map_err(|error| format!("{name}.{field}: {error}"))?;
            table.push('\n');
        }
    }
    Ok(table)
}

fn write_field(table: &mut String, field: &Field, package: &str) -> Result<(), String> {
    let number: Vec<String> = field.number.iter().map(u32::to_string).collect();
    let number = if number.is_empty() { "-".to_owned() } else { number.join(".") };
    let presence = field.presence.unwrap_or_else(|| usual_presence(field));
    let required = if field.required { "r" } else { "" };
    _ = write!(table, " {} {number} {presence}{required}", shorten(&field.of, package));
    match field.list.as_deref() {
        None => {}
        Some("map") if field.keys.is_empty() => return Err("a list map without keys".to_owned()),
        Some("map") => _ = write!(table, " list=map:{}", field.keys.join(",")),
        Some(list @ ("atomic" | "set")) => _ = write!(table, " list={list}"),
        Some(other) => return Err(format!("unknown list type {other}")),
    }
    if field.atomic {
        table.push_str(" atomic");
    }
    if field.granular {
        table.push_str(" granular");
    }
    if let Some(patch) = &field.patch {
        _ = write!(table, " patch={patch}");
    }
    if let Some(key) = &field.merge_key {
        _ = write!(table, " key={key}");
    }
    if let Some(default) = &field.default {
        serde_json::from_str::<serde_json::Value>(default).map_err(|error| format!("default {default}: {error}"))?;
        _ = write!(table, " default={default}");
    }
    Ok(())
}

/// What most fields of such a type are in the reference; the overlay names the others.
fn usual_presence(field: &Field) -> char {
    let collection = field.of.starts_with(['[', '{']);
    match field.of.as_str() {
        "Time" | "MicroTime" | "RawExtension" | "FieldsV1" | "any" | "SchemaOrList" | "SchemaOrBool"
        | "SchemaOrStrings" => '*',
        _ if field.required => '!',
        "string" | "bytes" => '?',
        _ if collection => '?',
        _ => '*',
    }
}

/// `.Name` for a message of the package at hand.
fn shorten(of: &str, package: &str) -> String {
    let open = of.len() - of.trim_start_matches(['[', '{']).len();
    let (brackets, rest) = of.split_at(open);
    match rest.strip_prefix(package).and_then(|rest| rest.strip_prefix('.')) {
        Some(name) if !name.trim_end_matches([']', '}']).contains('.') => format!("{brackets}.{name}"),
        _ => of.to_owned(),
    }
}
