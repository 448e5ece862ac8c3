//! The documents of Kubernetes v1.36 itself: `SHARDPLANE_REFERENCE` names the folder `api` of its sources. Without it there is
//! nothing to compare. What differs for a reason is let be, and the reason stands beside it; all else is printed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde_json::Map;

use super::*;

fn folder() -> Option<PathBuf> {
    std::env::var_os("SHARDPLANE_REFERENCE").map(PathBuf::from)
}

fn read(path: PathBuf) -> Value {
    parsed(&std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display())))
}

#[test]
fn openapi_3_is_the_references() {
    let Some(folder) = folder() else { return };
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let press = Press::new(&registry);
    let mut wrong = Vec::new();
    for path in v3_paths(&registry) {
        let theirs = read(folder.join(format!("openapi-spec/v3/{}_openapi.json", path.replace('/', "__"))));
        let ours = parsed(&press.v3(&path).unwrap().document(Dialect::V3, Form::Json));
        compare(theirs, ours, &["components", "schemas"], &mut wrong);
    }
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn openapi_2_is_the_references() {
    let Some(folder) = folder() else { return };
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let ours = parsed(&Press::new(&registry).v2().document(Dialect::V2, Form::Json));
    let mut wrong = Vec::new();
    compare(read(folder.join("openapi-spec/swagger.json")), ours, &["definitions"], &mut wrong);
    assert!(wrong.is_empty(), "{} differences:\n{}", wrong.len(), wrong.join("\n"));
}

fn compare(mut theirs: Value, mut ours: Value, schemas: &[&str], wrong: &mut Vec<String>) {
    for document in [&mut theirs, &mut ours] {
        // The published ones have no version.
        document.remove(&["info", "version"]);
        let shared = document.remove(&["parameters"]).unwrap_or_default();
        normal(document, &shared);
    }
    // What is not served is missing here: no document promises what the server does not do.
    let served: BTreeSet<String> = ours["paths"].as_object().unwrap().keys().cloned().collect();
    let paths = theirs["paths"].as_object_mut().unwrap();
    paths.retain(|path, _| served.contains(path));
    for (path, item) in paths {
        let Some(item) = item.as_object_mut() else { continue };
        item.retain(|method, _| !ours["paths"][path][method].is_null());
    }
    let reached = reached(&theirs, schemas);
    theirs.at_mut(schemas).as_object_mut().unwrap().retain(|name, _| reached.contains(name));
    differ(&theirs, &ours, "", wrong);
}

/// The types that a document's paths mention, and what those reach.
fn reached(document: &Value, schemas: &[&str]) -> BTreeSet<String> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![document.at(&["paths"])]);
    while let Some(value) = open.pop() {
        match value {
            Value::Object(map) => {
                let name = map.get("$ref").and_then(Value::as_str).and_then(|reference| reference.rsplit('/').next());
                if let Some(name) = name
                    && reached.insert(name.to_owned())
                {
                    open.push(document.at(schemas).at(&[name]));
                }
                open.extend(map.values());
            }
            Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    reached
}

/// Takes out what has no meaning, or differs for a reason.
fn normal(value: &mut Value, shared: &Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::Array(parameters)) = map.get("parameters") {
                map["parameters"] = by_name(parameters, shared);
            }
            // We do not speak CBOR.
            map.retain(|key, _| !key.contains("cbor"));
            // An order without a meaning.
            for key in ["required", "produces", "consumes"] {
                if let Some(Value::Array(items)) = map.get_mut(key) {
                    items.retain(|item| !item.as_str().unwrap_or_default().contains("cbor"));
                    items.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
                }
            }
            unworded(map);
            map.values_mut().for_each(|value| normal(value, shared));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| normal(item, shared)),
        _ => {}
    }
}

/// Descriptions that are our own, or that the sources have with other spaces.
fn unworded(map: &mut Map<String, Value>) {
    let name = map.get("name").and_then(Value::as_str).unwrap_or_default();
    let action = map.get("x-kubernetes-action").and_then(Value::as_str).unwrap_or_default();
    let own = map.contains_key("in") && matches!(name, "pretty" | "namespace" | "shardSelector" | "path");
    let worded = own || action.starts_with("watch");
    // Other groups' options and events, which are served nowhere, are no kinds of ours.
    let kinds = map.get("x-kubernetes-group-version-kind").and_then(Value::as_array);
    let first = kinds.and_then(|kinds| kinds.first()).map(|kind| kind.text(&["kind"]).to_owned()).unwrap_or_default();
    if matches!(first.as_str(), "DeleteOptions" | "WatchEvent") {
        map.remove("x-kubernetes-group-version-kind");
    }
    if worded {
        map.remove("description");
    }
    // Lists that are younger than the source of their descriptions, or have been described anew since.
    if first.ends_with("List") {
        map.remove("description");
        for (_, property) in map.get_mut("properties").and_then(Value::as_object_mut).into_iter().flatten() {
            property.remove(&["description"]);
        }
    }
    if let Some(Value::String(text)) = map.get_mut("description") {
        // The source indents blocks of code in its own way.
        *text = text.replace("```", " ").split_whitespace().collect::<Vec<_>>().join(" ");
    }
}

fn by_name(parameters: &[Value], shared: &Value) -> Value {
    let named = parameters.iter().map(|parameter| {
        let reference = parameter.text(&["$ref"]).rsplit('/').next().unwrap_or_default();
        let parameter = if reference.is_empty() { parameter } else { shared.at(&[reference]) };
        (format!("{} {}", parameter.text(&["in"]), parameter.text(&["name"])), parameter.clone())
    });
    let named: BTreeMap<String, Value> = named.collect();
    Value::Object(named.into_iter().collect())
}

fn differ(theirs: &Value, ours: &Value, place: &str, wrong: &mut Vec<String>) {
    match (theirs, ours) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                let place = format!("{place} > {key}");
                match (a.get(key), b.get(key)) {
                    (Some(a), Some(b)) => differ(a, b, &place, wrong),
                    (Some(_), None) => wrong.push(format!("{place} is missing")),
                    (None, _) => wrong.push(format!("{place} is too much")),
                }
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (at, (a, b)) in a.iter().zip(b).enumerate() {
                differ(a, b, &format!("{place}[{at}]"), wrong);
            }
        }
        _ if theirs == ours => {}
        _ => wrong.push(format!("{place} is {ours} and not {theirs}")),
    }
}
