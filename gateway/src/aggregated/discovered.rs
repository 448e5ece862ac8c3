//! What another server serves: its APIResourceList, as aggregated discovery says the same.

use api::Value;
use api::document::Document;
use serde_json::json;

/// The resources of a list, each with its subresources.
pub(super) fn resources(list: &Value, group: &str, version: &str) -> Vec<Value> {
    let mut found: Vec<Value> = Vec::new();
    let kind = |row: &Value| {
        let or = |said: &str, other: &str| if said.is_empty() { other.to_owned() } else { said.to_owned() };
        let (own_group, own_version) = (row.text(&["group"]), row.text(&["version"]));
        // A group that is not said is the list's, unless a version is.
        let group = if own_version.is_empty() { or(own_group, group) } else { own_group.to_owned() };
        json!({"group": group, "version": or(own_version, version), "kind": row.text(&["kind"])})
    };
    for row in list.list(&["resources"]) {
        let name = row.text(&["name"]);
        let Some((parent, subresource)) = name.split_once('/') else {
            let scope = if row.at(&["namespaced"]) == true { "Namespaced" } else { "Cluster" };
            let mut resource = json!({
                "resource": name, "responseKind": kind(row), "scope": scope,
                "singularResource": row.text(&["singularName"]), "verbs": row.list(&["verbs"]),
            });
            for key in ["shortNames", "categories"] {
                if !row.list(&[key]).is_empty() {
                    resource[key] = row.at(&[key]).clone();
                }
            }
            found.push(resource);
            continue;
        };
        let shown = json!({"subresource": subresource, "responseKind": kind(row), "verbs": row.list(&["verbs"])});
        let place = found.iter_mut().find(|resource| resource["resource"] == parent);
        if let Some(subresources) = place.map(|resource| &mut resource["subresources"]) {
            match subresources {
                Value::Array(all) => all.push(shown),
                none => *none = json!([shown]),
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_said_in_other_words() {
        let list = json!({"resources": [
            {"name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "verbs": ["get"],
             "shortNames": ["th"]},
            {"name": "things/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["update"]},
            {"name": "orphans/status", "kind": "Orphan", "verbs": []},
        ]});
        assert_eq!(
            resources(&list, "a.b", "v2"),
            [json!({
                "resource": "things", "singularResource": "thing", "scope": "Namespaced", "verbs": ["get"],
                "shortNames": ["th"], "responseKind": {"group": "a.b", "version": "v2", "kind": "Thing"},
                "subresources": [{
                    "subresource": "scale", "verbs": ["update"],
                    "responseKind": {"group": "autoscaling", "version": "v1", "kind": "Scale"},
                }],
            })]
        );
    }
}
