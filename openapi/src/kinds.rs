//! Which types are kinds: x-kubernetes-group-version-kind.

use std::collections::HashMap;

use api::Registry;
use api::builtin::type_name;

use crate::json::{List, Object};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// Kinds of the core group that every group's discovery and failures are made of.
const EVERYWHERE: [&str; 5] = ["APIGroup", "APIGroupList", "APIResourceList", "APIVersions", "Status"];

/// Group, version and kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Kind {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) kind: String,
}

impl Kind {
    pub(crate) fn new(group: &str, version: &str, kind: &str) -> Self {
        Self { group: group.to_owned(), version: version.to_owned(), kind: kind.to_owned() }
    }

    pub(crate) fn write(&self, object: &mut Object<'_>) {
        object.text("group", &self.group);
        object.text("kind", &self.kind);
        object.text("version", &self.version);
    }

    pub(crate) fn write_all(kinds: &[Self], list: &mut List<'_>) {
        for kind in kinds {
            list.object(|object| kind.write(object));
        }
    }
}

/// The kinds of a registry's built-in rows by the full names of their types, and the versions of its groups.
pub(crate) struct Kinds {
    by_type: HashMap<String, Kind>,
    versions: Vec<(String, String)>,
}

impl Kinds {
    pub(crate) fn of(registry: &Registry) -> Self {
        let mut by_type = HashMap::new();
        let mut add = |group: &str, version: &str, kind: &str| {
            let name = type_name(group, version, kind);
            by_type.insert(format!("{name}List"), Kind::new(group, version, &format!("{kind}List")));
            by_type.insert(name, Kind::new(group, version, kind));
        };
        let mut versions = Vec::new();
        for resource in registry.iter() {
            for served in &resource.served {
                add(&served.group, &served.version, &resource.kind);
                for sub in &served.subresources {
                    add(&sub.group, &sub.version, &sub.kind);
                }
                if served.is_public() {
                    versions.push((served.group.to_string(), served.version.to_string()));
                }
            }
        }
        for kind in EVERYWHERE {
            by_type.insert(format!("{META}.{kind}"), Kind::new("", "v1", kind));
        }
        versions.sort();
        versions.dedup();
        Self { by_type, versions }
    }

    /// The kind that a type is.
    pub(crate) fn of_type(&self, name: &str) -> Option<&Kind> {
        self.by_type.get(name)
    }

    /// Groups and versions that are served, sorted.
    pub(crate) fn versions(&self) -> &[(String, String)] {
        &self.versions
    }
}
