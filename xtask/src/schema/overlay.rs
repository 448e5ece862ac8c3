//! What the sources do not say: `api/schema/overlay.txt`.
//!
//! Lines as in the table: `P package`, `T Name` (`T Name atomic`, `T Name open`), and `name key=value …` for a field, which is made if it
//! does not exist yet (then `type=` must be among the keys). Keys: type, number, presence, required, list, keys, patch,
//! key, default (last, JSON) and the words atomic and granular.

use super::{Field, Messages};

/// Applies the overlay.
pub fn apply(messages: &mut Messages, text: &str) -> Result<(), String> {
    let mut package = "";
    let mut message = None;
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
        let error = |what: &str| format!("overlay.txt line {}: {what}", at + 1);
        if let Some(name) = line.strip_prefix("P ") {
            package = name;
        } else if let Some(name) = line.strip_prefix("T ") {
            let (name, open) = name.strip_suffix(" open").map_or((name, false), |name| (name, true));
            let (name, atomic) = name.strip_suffix(" atomic").map_or((name, false), |name| (name, true));
            let found = messages.entry(format!("{package}.{name}")).or_default();
            found.atomic |= atomic;
            found.open |= open;
            message = Some(found);
        } else {
            let message = message.as_mut().ok_or_else(|| error("a field outside of a type"))?;
            let (name, facts) = line.split_once(' ').ok_or_else(|| error("a field without facts"))?;
            let field = message.fields.entry(name.to_owned()).or_default();
            facts_of(field, facts).map_err(|what| error(&what))?;
            if field.of.is_empty() {
                return Err(error("this field is in no source, and the overlay gives it no type"));
            }
        }
    }
    Ok(())
}

fn facts_of(field: &mut Field, facts: &str) -> Result<(), String> {
    let (facts, default) = match facts.strip_prefix("default=") {
        Some(default) => ("", Some(default)),
        None => facts.split_once(" default=").map_or((facts, None), |(facts, default)| (facts, Some(default))),
    };
    if let Some(default) = default {
        field.default = Some(default.to_owned());
    }
    for fact in facts.split_whitespace() {
        let (key, value) = fact.split_once('=').unwrap_or((fact, ""));
        match key {
            "type" => field.of = value.to_owned(),
            "number" => {
                let numbers = value.split('.').map(|number| number.parse().map_err(|_| format!("bad number {value}")));
                field.number = numbers.collect::<Result<_, _>>()?;
            }
            "presence" => field.presence = value.chars().next(),
            "required" => field.required = value != "no",
            "list" => field.list = Some(value.to_owned()),
            "keys" => field.keys = value.split(',').map(str::to_owned).collect(),
            "patch" => field.patch = Some(value.to_owned()),
            "key" => field.merge_key = Some(value.to_owned()),
            "atomic" => field.atomic = true,
            "granular" => field.granular = true,
            _ => return Err(format!("unknown fact {fact}")),
        }
    }
    Ok(())
}
