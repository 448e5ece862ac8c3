//! APIGroupList, APIGroup and APIResourceList.

use std::sync::Arc;

use api::Value;
use api::resource::{Resource, Served};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::json;
use smol_str::SmolStr;

/// A named group and its versions, the preferred one first.
pub(super) struct Group {
    pub(super) name: SmolStr,
    pub(super) versions: Vec<SmolStr>,
}

impl Group {
    /// As metav1.APIGroup; alone or within a list.
    pub(super) fn to_value(&self, alone: bool) -> Value {
        let version = |version: &str| json!({ "groupVersion": format!("{}/{version}", self.name), "version": version });
        let versions: Vec<Value> = self.versions.iter().map(|v| version(v)).collect();
        let mut value = json!({ "name": self.name, "versions": versions, "preferredVersion": versions[0] });
        if alone {
            value["kind"] = json!("APIGroup");
            value["apiVersion"] = json!("v1");
        }
        value
    }
}

/// The built-in groups in the order in which clients prefer them where two have a resource of one name.
const PREFERRED: [&str; 22] = [
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "resource.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "internal.apiserver.k8s.io",
    "storagemigration.k8s.io",
];

/// The named groups, the preferred ones first and those of custom kinds behind them, in order of their names.
pub(super) fn groups_of(kinds: &[Arc<Resource>]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    let all = kinds.iter().flat_map(|resource| &resource.served);
    for Served { group, version, .. } in all.filter(|served| served.is_public() && !served.group.is_empty()) {
        match groups.iter_mut().find(|have| have.name == *group) {
            Some(have) if have.versions.contains(version) => {}
            Some(have) => have.versions.push(version.clone()),
            None => groups.push(Group { name: group.clone(), versions: vec![version.clone()] }),
        }
    }
    let place = |name: &str| PREFERRED.iter().position(|known| *known == name).unwrap_or(PREFERRED.len());
    groups.sort_by(|a, b| place(&a.name).cmp(&place(&b.name)).then_with(|| a.name.cmp(&b.name)));
    for group in &mut groups {
        group.versions.sort_by_key(|version| std::cmp::Reverse(priority(version)));
    }
    groups
}

/// Released before beta before alpha, each by number: version.CompareKubeAwareVersionStrings.
pub(super) fn priority(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse().unwrap_or(0);
    let rest = version.trim_start_matches('v');
    if let Some((major, minor)) = rest.split_once("beta") {
        (1, number(major), number(minor))
    } else if let Some((major, minor)) = rest.split_once("alpha") {
        (0, number(major), number(minor))
    } else {
        (2, number(rest), 0)
    }
}

pub(super) fn group_list(kinds: &[Arc<Resource>]) -> Value {
    let groups: Vec<Value> = groups_of(kinds).iter().map(|group| group.to_value(false)).collect();
    json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": groups })
}

/// metav1.APIResourceList, its fields in the reference's order: people and scripts read it as text.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ResourceList<'a> {
    kind: &'static str,
    api_version: &'static str,
    group_version: String,
    resources: Vec<Row<'a>>,
}

/// metav1.APIResource
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row<'a> {
    name: String,
    singular_name: &'a str,
    namespaced: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    group: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    version: &'a str,
    kind: &'a str,
    verbs: &'a [&'static str],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    short_names: &'a [SmolStr],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    categories: &'a [SmolStr],
    #[serde(skip_serializing_if = "String::is_empty")]
    storage_version_hash: String,
}

/// `None` where nothing is served under that version.
pub(super) fn resource_list<'a>(kinds: &'a [Arc<Resource>], group: &str, version: &str) -> Option<ResourceList<'a>> {
    let served = kinds.iter().filter_map(|resource| Some((resource, served_in(resource, group, version)?)));
    let mut resources: Vec<Row<'_>> = served.flat_map(|(resource, served)| rows_of(resource, served)).collect();
    resources.sort_by(|a, b| a.name.cmp(&b.name));
    let group_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    let list = ResourceList { kind: "APIResourceList", api_version: "v1", group_version, resources };
    (!list.resources.is_empty()).then_some(list)
}

/// How a resource is served there, if it is.
pub(super) fn served_in<'a>(resource: &'a Resource, group: &str, version: &str) -> Option<&'a Served> {
    resource.served.iter().find(|served| served.is_public() && served.group == group && served.version == version)
}

fn rows_of<'a>(resource: &'a Resource, served: &'a Served) -> impl Iterator<Item = Row<'a>> {
    let row = Row {
        name: resource.plural.to_string(),
        singular_name: &resource.singular,
        namespaced: resource.namespaced,
        group: "",
        version: "",
        kind: &resource.kind,
        verbs: &served.verbs,
        short_names: &resource.short_names,
        categories: &resource.categories,
        // Virtual resources, which are only created or shown, are not stored.
        storage_version_hash: if served.verbs.contains(&"watch") { storage_hash(resource) } else { String::new() },
    };
    let subresources = served.subresources.iter().map(|sub| {
        let other = (&sub.group, &sub.version) != (&served.group, &served.version) && !sub.version.is_empty();
        Row {
            name: format!("{}/{}", resource.plural, sub.name),
            singular_name: "",
            namespaced: resource.namespaced,
            group: if other { &sub.group } else { "" },
            version: if other { &sub.version } else { "" },
            kind: &sub.kind,
            verbs: &sub.verbs,
            short_names: &[],
            categories: &[],
            storage_version_hash: String::new(),
        }
    });
    std::iter::once(row).chain(subresources)
}

/// Names the stored version, as discovery.StorageVersionHash does.
fn storage_hash(resource: &Resource) -> String {
    let stored = &resource.served[0];
    let text = format!("{}/{}/{}", stored.group, stored.version, resource.kind);
    BASE64_STANDARD.encode(&digest(&SHA256, text.as_bytes()).as_ref()[..8])
}
