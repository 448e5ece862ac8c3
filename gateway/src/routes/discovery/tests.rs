//! What discovery shows. `SHARDPLANE_REFERENCE` names the folder `api` of Kubernetes' sources: then its published discovery is
//! what ours must be, of everything that is served here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use api::builtin::{RuntimeConfig, registry};
use api::{Resource, Value};
use serde_json::json;

use super::{aggregated, legacy};

fn kinds(config: &str) -> Vec<Arc<Resource>> {
    registry(&RuntimeConfig::parse(config).unwrap()).all("")
}

#[test]
fn versions_come_best_first() {
    let mut versions = ["v1alpha1", "v2beta1", "v1", "v2", "v1beta2", "v1beta1", "v10"];
    versions.sort_by_key(|version| std::cmp::Reverse(legacy::priority(version)));
    assert_eq!(versions, ["v10", "v2", "v1", "v2beta1", "v1beta2", "v1beta1", "v1alpha1"]);
}

#[test]
fn rows_have_names_verbs_and_kinds() {
    let kinds = kinds("");
    let core = serde_json::to_value(legacy::resource_list(&kinds, "", "v1").unwrap()).unwrap();
    let row = |name: &str| core["resources"].as_array().unwrap().iter().find(|row| row["name"] == name).unwrap();
    assert_eq!(
        row("pods"),
        &json!({
            "name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "shortNames": ["po"],
            "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8=",
            "verbs": ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"],
        })
    );
    let eviction = json!({
        "name": "pods/eviction", "singularName": "", "namespaced": true, "group": "policy", "version": "v1",
        "kind": "Eviction", "verbs": ["create"],
    });
    assert_eq!(row("pods/eviction"), &eviction);
    assert!(legacy::resource_list(&kinds, "apps", "v2").is_none());
    let all = aggregated::document(&kinds, false, "v2");
    let groups: Vec<&str> =
        all["items"].as_array().unwrap().iter().filter_map(|i| i["metadata"]["name"].as_str()).collect();
    let at = |name: &str| groups.iter().position(|group| *group == name).unwrap();
    assert!(at("apps") < at("events.k8s.io") && at("batch") < at("admissionregistration.k8s.io"), "{groups:?}");
    let apps = &all["items"][at("apps")]["versions"][0];
    let deployments =
        apps["resources"].as_array().unwrap().iter().find(|row| row["resource"] == "deployments").unwrap();
    assert_eq!(deployments["responseKind"], json!({"group": "", "version": "", "kind": "Deployment"}));
    let scale = json!({"group": "autoscaling", "version": "v1", "kind": "Scale"});
    assert_eq!((&deployments["subresources"][0]["responseKind"], &apps["freshness"]), (&scale, &json!("Current")));
}

fn read(name: &str) -> Option<Value> {
    let path = PathBuf::from(std::env::var_os("SHARDPLANE_REFERENCE")?).join("discovery").join(name);
    let text = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    Some(serde_json::from_slice(&text).unwrap())
}

/// Rows by the name that one of their fields has.
fn by(rows: &Value, name: &str) -> BTreeMap<String, Value> {
    let rows = rows.as_array().into_iter().flatten();
    rows.map(|row| (row[name].as_str().unwrap_or_default().to_owned(), row.clone())).collect()
}

/// Differences of rows that both have; what is not served here may be missing.
fn compare(place: &str, name: &str, theirs: &Value, ours: &Value, wrong: &mut Vec<String>) {
    let (theirs, ours) = (by(theirs, name), by(ours, name));
    for (row, ours) in &ours {
        match theirs.get(row) {
            None => wrong.push(format!("{place}: {row} is too much")),
            Some(theirs) if theirs != ours => wrong.push(format!("{place}: {row} is {ours} and not {theirs}")),
            Some(_) => {}
        }
    }
}

#[test]
fn groups_and_resources_are_the_references() {
    let Some(theirs) = read("apis.json") else { return };
    let (kinds, mut wrong) = (kinds("api/all"), Vec::new());
    let ours = legacy::group_list(&kinds);
    compare("apis", "name", &theirs["groups"], &ours["groups"], &mut wrong);
    let names = |list: &Value| by_order(&list["groups"], "name");
    let served: BTreeSet<String> = names(&ours).into_iter().collect();
    let known: Vec<String> = names(&theirs).into_iter().filter(|name| served.contains(name)).collect();
    assert_eq!(names(&ours), known, "their order");
    for group in legacy::groups_of(&kinds) {
        let theirs = read(&format!("apis__{}.json", group.name)).unwrap();
        if theirs != group.to_value(true) {
            wrong.push(format!("{}: {} and not {theirs}", group.name, group.to_value(true)));
        }
        for version in &group.versions {
            let theirs = read(&format!("apis__{}__{version}.json", group.name)).unwrap();
            resources(&kinds, &group.name, version, &theirs, &mut wrong);
        }
    }
    resources(&kinds, "", "v1", &read("api__v1.json").unwrap(), &mut wrong);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Kinds that the reference stores in an older version than we do, for servers of older releases beside it. The hash says which
/// version is stored.
const NEWER: [&str; 4] =
    ["customresourcedefinitions", "devicetaintrules", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"];

fn by_order(rows: &Value, name: &str) -> Vec<String> {
    rows.as_array().into_iter().flatten().filter_map(|row| Some(row[name].as_str()?.to_owned())).collect()
}

fn resources(kinds: &[Arc<Resource>], group: &str, version: &str, theirs: &Value, wrong: &mut Vec<String>) {
    let mut ours = serde_json::to_value(legacy::resource_list(kinds, group, version).unwrap()).unwrap();
    let known = by(&theirs["resources"], "name");
    for row in ours["resources"].as_array_mut().unwrap() {
        let name = row["name"].as_str().unwrap().to_owned();
        if NEWER.contains(&name.as_str()) {
            row["storageVersionHash"] = known[&name]["storageVersionHash"].clone();
        }
    }
    assert_eq!(ours["groupVersion"], theirs["groupVersion"]);
    compare(&format!("{group}/{version}"), "name", &theirs["resources"], &ours["resources"], wrong);
}

#[test]
fn aggregated_discovery_is_the_references() {
    let Some(theirs) = read("aggregated_v2.json") else { return };
    let (kinds, mut wrong) = (kinds("api/all"), Vec::new());
    let ours = aggregated::document(&kinds, false, "v2");
    let named = |list: &Value| -> BTreeMap<String, Value> {
        let items = list["items"].as_array().unwrap().iter();
        items.map(|item| (item["metadata"]["name"].as_str().unwrap().to_owned(), item["versions"].clone())).collect()
    };
    let theirs = named(&theirs);
    for (group, versions) in named(&ours) {
        let theirs = by(&theirs[&group], "version");
        for (version, mut ours) in by(&versions, "version") {
            let theirs = &theirs[&version];
            assert_eq!(ours["freshness"], theirs["freshness"]);
            let known = by(&theirs["resources"], "resource");
            for row in ours["resources"].as_array_mut().unwrap() {
                let known = &known[row["resource"].as_str().unwrap()];
                let (place, subresources) =
                    (format!("{group}/{version} {}", row["resource"]), row["subresources"].take());
                compare(&place, "subresource", &known["subresources"], &subresources, &mut wrong);
                row["subresources"] = known["subresources"].clone();
                if subresources.is_null() && known["subresources"].is_null() {
                    row.as_object_mut().unwrap().remove("subresources");
                }
            }
            compare(&format!("{group}/{version}"), "resource", &theirs["resources"], &ours["resources"], &mut wrong);
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
