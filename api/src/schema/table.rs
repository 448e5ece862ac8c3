//! The committed table of built-in types, and how it is read.
//!
//! One line opens a package (`P io.k8s.api.core.v1`), one a message (`T Container`, with ` atomic` or ` open` behind it where
//! server-side apply replaces it as a whole), and each other line is a field, in the order of names:
//!
//! ```text
//! name type number presence [attribute…]
//! ```
//!
//! Types are words (`string`, `Quantity`), `[type]` for lists, `{type}` for maps, `.Name` for a message of the same package
//! and a full name for others. The number is a path of protobuf field numbers (`2.2` where protobuf nests what JSON
//! inlines), `-` where protobuf has none. Presence is `!` (always written), `?` (dropped when zero) or `*` (a pointer), with
//! `r` behind it where OpenAPI requires the field. Attributes: `list=atomic|set|map:key,key`, `atomic`, `granular`,
//! `patch=merge,retainKeys`, `key=name` and, last, `default=` JSON.

use std::collections::HashMap;

use smol_str::SmolStr;

use super::{Field, ListType, Message, PatchStrategy, Presence, Schema, Shortened, Type, TypeId};

/// What the unions of apiextensions are about.
const PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// The types of Kubernetes v1.36.
pub(super) const V1_36: &str = include_str!("../../schema/v1.36.txt");

/// Reads a table. It is part of the binary, so what does not parse is a bug, which the tests of this module would have met.
pub(super) fn parse(text: &'static str) -> Schema {
    let ids = names(text);
    let mut messages: Vec<Message> = Vec::with_capacity(ids.len());
    let mut package = "";
    let mut fields = Vec::new();
    let mut head: Option<(SmolStr, &'static str)> = None;
    let mut finish = |head: Option<(SmolStr, &'static str)>, fields: Vec<Field>| {
        if let Some((name, words)) = head {
            let has = |word: &str| words.split(' ').any(|found| found == word);
            messages.push(Message { atomic: has("atomic"), open: has("open"), ..Message::new(name, fields) });
        }
    };
    for line in lines(text) {
        if let Some(name) = line.strip_prefix("P ") {
            package = name;
        } else if let Some(name) = line.strip_prefix("T ") {
            let (name, words) = name.split_once(' ').unwrap_or((name, ""));
            let next = Some((full_name(package, name), words));
            finish(std::mem::replace(&mut head, next), std::mem::take(&mut fields));
        } else {
            let field = field(line, package, &ids).unwrap_or_else(|| panic!("the schema table has a bad line: {line}"));
            fields.push(field);
        }
    }
    finish(head, fields);
    Schema::new(messages)
}

fn lines(text: &'static str) -> impl Iterator<Item = &'static str> {
    text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn full_name(package: &str, name: &str) -> SmolStr {
    smol_str::format_smolstr!("{package}.{name}")
}

fn names(text: &'static str) -> HashMap<SmolStr, TypeId> {
    let mut ids = HashMap::with_capacity(1024);
    let mut package = "";
    for line in lines(text) {
        if let Some(name) = line.strip_prefix("P ") {
            package = name;
        } else if let Some(name) = line.strip_prefix("T ") {
            let id = TypeId(ids.len() as u32);
            let name = name.split(' ').next().unwrap_or_default();
            ids.insert(full_name(package, name), id);
        }
    }
    ids
}

fn field(line: &'static str, package: &str, ids: &HashMap<SmolStr, TypeId>) -> Option<Field> {
    let (line, default) = match line.split_once(" default=") {
        Some((line, default)) => (line, Some(serde_json::from_str(default).ok()?)),
        None => (line, None),
    };
    let mut words = line.split(' ');
    let name = SmolStr::new_static(words.next()?);
    let of = type_of(words.next()?, package, ids)?;
    let number = match words.next()? {
        "-" => Box::default(),
        path => path.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?,
    };
    let presence = words.next()?;
    let mut field = Field {
        name,
        of,
        number,
        required: presence.ends_with('r'),
        presence: match presence.as_bytes().first()? {
            b'!' => Presence::Always,
            b'?' => Presence::OmitZero,
            b'*' => Presence::Pointer,
            _ => return None,
        },
        list: None,
        atomic: false,
        granular: false,
        patch: PatchStrategy::default(),
        merge_key: None,
        default,
    };
    for word in words {
        attribute(&mut field, word)?;
    }
    Some(field)
}

fn attribute(field: &mut Field, word: &'static str) -> Option<()> {
    match word.split_once('=') {
        None if word == "atomic" => field.atomic = true,
        None if word == "granular" => field.granular = true,
        Some(("list", "atomic")) => field.list = Some(ListType::Atomic),
        Some(("list", "set")) => field.list = Some(ListType::Set),
        Some(("list", keys)) => {
            let keys = keys.strip_prefix("map:")?.split(',');
            field.list = Some(ListType::Map(keys.map(SmolStr::new_static).collect()));
        }
        Some(("patch", strategies)) => {
            for strategy in strategies.split(',') {
                match strategy {
                    "merge" => field.patch.merge = true,
                    "retainKeys" => field.patch.retain_keys = true,
                    "replace" => field.patch.replace = true,
                    _ => return None,
                }
            }
        }
        Some(("key", key)) => field.merge_key = Some(SmolStr::new_static(key)),
        _ => return None,
    }
    Some(())
}

fn type_of(word: &str, package: &str, ids: &HashMap<SmolStr, TypeId>) -> Option<Type> {
    let inner = |open: char, close: char| word.strip_prefix(open).and_then(|rest| rest.strip_suffix(close));
    if let Some(item) = inner('[', ']') {
        return Some(Type::List(Box::new(type_of(item, package, ids)?)));
    }
    if let Some(value) = inner('{', '}') {
        return Some(Type::Map(Box::new(type_of(value, package, ids)?)));
    }
    Some(match word {
        "string" => Type::String,
        "bool" => Type::Bool,
        "int32" => Type::Int32,
        "int64" => Type::Int64,
        "double" => Type::Double,
        "bytes" => Type::Bytes,
        "Quantity" => Type::Quantity,
        "IntOrString" => Type::IntOrString,
        "Time" => Type::Time,
        "MicroTime" => Type::MicroTime,
        "RawExtension" => Type::RawExtension,
        "FieldsV1" => Type::FieldsV1,
        "any" => Type::Any,
        "SchemaOrList" => Type::Union(*ids.get(PROPS)?, Shortened::List),
        "SchemaOrBool" => Type::Union(*ids.get(PROPS)?, Shortened::Bool),
        "SchemaOrStrings" => Type::Union(*ids.get(PROPS)?, Shortened::Strings),
        _ => Type::Message(match word.strip_prefix('.') {
            Some(name) => *ids.get(&full_name(package, name))?,
            None => *ids.get(word)?,
        }),
    })
}
