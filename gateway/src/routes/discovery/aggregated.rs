//! APIGroupDiscoveryList: everything in one document (KEP-3352).

use std::sync::Arc;

use api::Value;
use api::resource::{Resource, Served};
use serde_json::json;

use super::legacy::{Group, groups_of, served_in};

/// The core group alone, or all the others.
pub(super) fn document(kinds: &[Arc<Resource>], core: bool, version: &str) -> Value {
    let groups = if core { vec![Group { name: "".into(), versions: vec!["v1".into()] }] } else { groups_of(kinds) };
    let items: Vec<Value> = groups.iter().map(|group| item(kinds, group)).collect();
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": format!("apidiscovery.k8s.io/{version}"),
        "metadata": {}, "items": items,
    })
}

fn item(kinds: &[Arc<Resource>], group: &Group) -> Value {
    let versions: Vec<Value> = group
        .versions
        .iter()
        .map(|version| {
            let served = kinds.iter().filter_map(|r| Some((&**r, served_in(r, &group.name, version)?)));
            let mut resources: Vec<Value> = served.map(|(resource, served)| row(resource, served)).collect();
            resources.sort_by(|a, b| a["resource"].as_str().cmp(&b["resource"].as_str()));
            json!({ "version": version, "freshness": "Current", "resources": resources })
        })
        .collect();
    let metadata = if group.name.is_empty() { json!({}) } else { json!({ "name": group.name }) };
    json!({ "metadata": metadata, "versions": versions })
}

fn row(resource: &Resource, served: &Served) -> Value {
    // A built-in kind whose group and version are those that it is listed under says no more than its name.
    let kind = |group: &str, version: &str, kind: &str| match served.custom.is_none()
        && (group, version) == (served.group.as_str(), served.version.as_str())
    {
        true => json!({ "group": "", "version": "", "kind": kind }),
        false => json!({ "group": group, "version": version, "kind": kind }),
    };
    let mut row = json!({
        "resource": resource.plural, "singularResource": resource.singular, "verbs": served.verbs,
        "responseKind": kind(&served.group, &served.version, &resource.kind),
        "scope": if resource.namespaced { "Namespaced" } else { "Cluster" },
    });
    if !resource.short_names.is_empty() {
        row["shortNames"] = json!(resource.short_names);
    }
    if !resource.categories.is_empty() {
        row["categories"] = json!(resource.categories);
    }
    let subresources: Vec<Value> = served
        .subresources
        .iter()
        .map(|sub| {
            let own = sub.version.is_empty();
            let (group, version) = if own { (&served.group, &served.version) } else { (&sub.group, &sub.version) };
            json!({ "subresource": sub.name, "responseKind": kind(group, version, &sub.kind), "verbs": sub.verbs })
        })
        .collect();
    if !subresources.is_empty() {
        row["subresources"] = Value::Array(subresources);
    }
    row
}
