//! Field numbers, nesting and doc-comment markers, from the generated sources of k8s-pb.

use std::collections::BTreeMap;
use std::path::Path;

use super::{Field, Messages};

/// A field of a protobuf message.
#[derive(Debug, Default)]
pub struct Proto {
    tag: u32,
    /// Key of the message that it holds, if it holds just one.
    message: Option<String>,
    /// What the markers say; type and presence are empty.
    facts: Field,
}

/// Fields by their [`fold`]ed name, by folded full name of the message.
pub type Protos = BTreeMap<String, BTreeMap<String, Proto>>;

/// Names compare without case and signs: `AWSElasticBlockStore` is `AwsElasticBlockStore`, `podIPs` is `pod_i_ps`.
fn fold(name: &str) -> String {
    name.chars().filter(|c| !matches!(c, '_' | '-' | '$')).collect::<String>().to_lowercase()
}

/// Reads every message below a folder.
pub fn read(folder: &Path) -> Result<Protos, String> {
    let mut protos = Protos::new();
    for path in super::rust_files(folder)? {
        let inside = path.parent().and_then(|path| path.strip_prefix(folder).ok()).unwrap_or(Path::new(""));
        let module: Vec<&str> = inside.iter().filter_map(|part| part.to_str()).collect();
        let source = super::text(&path)?;
        read_module(&module, &source, &mut protos).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(protos)
}

fn read_module(module: &[&str], source: &str, protos: &mut Protos) -> Result<(), String> {
    let mut message: Option<String> = None;
    let mut proto = Proto::default();
    let mut begun = String::new();
    for line in source.lines() {
        // A long type stands on lines of its own.
        begun.push_str(line.trim());
        if begun.starts_with("pub ") && !begun.ends_with([',', '{', ';', '}']) {
            if begun.ends_with(':') {
                begun.push(' ');
            }
            continue;
        }
        let line = std::mem::take(&mut begun);
        if let Some(name) = line.strip_prefix("pub struct ") {
            let name = name.split([' ', '{', ';', '(']).next().unwrap_or_default();
            message = Some(key(module, name));
            proto = Proto::default();
        } else if line == "}" {
            message = None;
        } else if let Some(doc) = line.strip_prefix("/// ") {
            marker(&mut proto.facts, doc.trim());
        } else if line.starts_with("#[prost(") {
            let tag = line.split("tag = \"").nth(1).and_then(|rest| rest.split('"').next());
            proto.tag = tag.and_then(|tag| tag.parse().ok()).ok_or_else(|| format!("no tag in {line}"))?;
        } else if let (Some(message), Some(field)) = (&message, line.strip_prefix("pub ")) {
            let Some((name, of)) = field.trim_end_matches(',').split_once(": ") else { continue };
            let of =
                of.strip_prefix("::core::option::Option<").and_then(|of| of.trim_end_matches(',').strip_suffix('>'));
            let of =
                of.map(|of| of.strip_prefix("::prost::alloc::boxed::Box<").map_or(of, |of| of.trim_end_matches('>')));
            proto.message = of.filter(|of| !of.starts_with("::")).and_then(|of| resolve(module, of));
            let fields = protos.entry(message.clone()).or_default();
            fields.insert(fold(name.trim_start_matches("r#")), std::mem::take(&mut proto));
        }
    }
    Ok(())
}

fn key(module: &[&str], name: &str) -> String {
    fold(&format!("io.k8s.{}.{name}", module.join(".")))
}

/// The key of a type that is named relative to a module; `None` for scalars.
fn resolve(module: &[&str], path: &str) -> Option<String> {
    let mut module = module.to_vec();
    let mut steps: Vec<&str> = path.split("::").collect();
    let name = steps.pop()?;
    for step in steps {
        match step {
            "super" => _ = module.pop()?,
            other => module.push(other.trim_start_matches("r#")),
        }
    }
    name.starts_with(char::is_uppercase).then(|| key(&module, name))
}

fn marker(facts: &mut Field, doc: &str) {
    let Some((marker, value)) = doc.strip_prefix('+').and_then(|marker| marker.split_once('=')) else { return };
    let value = value.trim().to_owned();
    match marker {
        "listType" => facts.list = Some(value),
        "listMapKey" => facts.keys.push(value),
        "mapType" | "structType" => (facts.atomic, facts.granular) = (value == "atomic", value == "granular"),
        "patchStrategy" => facts.patch = Some(value),
        "patchMergeKey" => facts.merge_key = Some(value),
        // A reference to a Go constant says nothing here; the overlay has its value.
        "default" if !value.starts_with("ref(") => facts.default = Some(value),
        _ => {}
    }
}

/// Adds what protobuf knows to the fields that OpenAPI has.
pub fn join(messages: &mut Messages, protos: &Protos) {
    for (name, message) in messages.iter_mut() {
        let Some(proto) = protos.get(&fold(name)) else { continue };
        for (name, field) in &mut message.fields {
            if let Some((number, facts)) = find(proto, protos, &fold(name), 2) {
                field.number = number;
                // Bytes are a list in Go, and are marked like one.
                field.list = facts.list.clone().filter(|_| field.of.starts_with('['));
                field.keys = facts.keys.clone();
                (field.atomic, field.granular) = (facts.atomic, facts.granular);
                field.patch = facts.patch.clone();
                field.merge_key = facts.merge_key.clone();
                field.default = facts.default.clone();
            }
        }
    }
}

/// The path of numbers to a field: its own, or through a message that JSON inlines.
fn find<'a>(
    fields: &'a BTreeMap<String, Proto>,
    protos: &'a Protos,
    name: &str,
    depth: usize,
) -> Option<(Vec<u32>, &'a Field)> {
    if let Some(proto) = fields.get(name) {
        return Some((vec![proto.tag], &proto.facts));
    }
    let inner = fields.iter().filter(|(name, _)| depth > 0 && INLINED.contains(&name.as_str()));
    inner.into_iter().find_map(|(_, proto)| {
        let (number, facts) = find(protos.get(proto.message.as_ref()?)?, protos, name, depth - 1)?;
        Some(([vec![proto.tag], number].concat(), facts))
    })
}

/// Fields that protobuf has and JSON does not: their own fields stand in their place.
const INLINED: [&str; 9] = [
    "deviceconfiguration",
    "ephemeralcontainercommon",
    "handler",
    "ingressrulevalue",
    "localobjectreference",
    "persistentvolumesource",
    "rule",
    "rulewithoperations",
    "volumesource",
];
