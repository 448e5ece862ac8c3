//! APIGroupList, APIGroup and APIResourceList.

use std::sync::Arc;

use api::Value;
use api::builtin::priorities;
use api::resource::{Resource, Served};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ring::digest::{SHA256, digest};
use serde::Serialize;
use serde_json::json;
use smol_str::SmolStr;

use crate::aggregated::Table;

/// A named group and its versions, the preferred one first.
pub(super) struct Group {
    pub(super) name: SmolStr,
    pub(super) versions: Vec<SmolStr>,
    /// Of the group, and of each version: larger ones come first.
    priority: i32,
    priorities: Vec<i32>,
}

impl Group {
    pub(super) fn new(name: &str) -> Self {
        Self { name: name.into(), versions: Vec::new(), priority: 0, priorities: Vec::new() }
    }

    pub(super) fn add(&mut self, version: &str, priority: i32, own: i32) {
        self.priority = self.priority.max(priority);
        if !self.versions.iter().any(|have| have == version) {
            self.versions.push(version.into());
            self.priorities.push(own);
        }
    }

    fn sort(&mut self) {
        let mut all: Vec<_> = self.priorities.iter().copied().zip(self.versions.drain(..)).collect();
        all.sort_by_key(|(own, version)| std::cmp::Reverse((*own, self::priority(version))));
        (self.priorities, self.versions) = all.into_iter().unzip();
    }

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

/// The named groups, those that come first first: the built-in ones in the order in which clients prefer them where two have a
/// resource of one name, those of custom kinds in order of their names, and others' where their APIServices say.
pub(super) fn groups_of(kinds: &[Arc<Resource>], remote: &Table) -> Vec<Group> {
    let all = kinds.iter().flat_map(|resource| &resource.served);
    let served =
        all.filter(|served| served.is_public() && !served.group.is_empty()).map(|Served { group, version, .. }| {
            let own = match group.as_str() {
                "apiregistration.k8s.io" => Some((i32::MAX, 0)),
                group => priorities::of(group, version),
            };
            (group, version, own.unwrap_or(priorities::CUSTOM))
        });
    let others = remote.iter().map(|service| (&service.group, &service.version, service.priorities));
    let mut groups: Vec<Group> = Vec::new();
    for (name, version, (priority, own)) in served.chain(others) {
        let group = match groups.iter_mut().position(|have| have.name == *name) {
            Some(at) => &mut groups[at],
            None => {
                groups.push(Group::new(name));
                groups.last_mut().expect("it was pushed just now")
            }
        };
        group.add(version, priority, own);
    }
    groups.sort_by(|a, b| b.priority.cmp(&a.priority).then_with(|| a.name.cmp(&b.name)));
    groups.iter_mut().for_each(Group::sort);
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

pub(super) fn group_list(kinds: &[Arc<Resource>], remote: &Table) -> Value {
    let groups: Vec<Value> = groups_of(kinds, remote).iter().map(|group| group.to_value(false)).collect();
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
