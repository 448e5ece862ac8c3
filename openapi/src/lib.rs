//! OpenAPI documents: what clients read to know paths, types, and what they are for.
//!
//! [`Press`] makes them from the registry and the schema: one of OpenAPI 3 for each group and version, and one of OpenAPI 2
//! for all of them. A document's [`Parts`] are joined by [`frame`]. What is said about types comes from the build script
//! ([`words`]). Making all documents takes tens of milliseconds, so nothing is made before somebody asks, and who asks keeps
//! what was made, not the press.
//!
//! Invariant: every type that a document mentions is part of it.
//!
//! Start reading at [`Press`].

mod custom;
mod document;
mod json;
mod kinds;
mod paths;
mod protobuf;
mod schemas;
mod words;

use std::collections::BTreeMap;
use std::sync::Arc;

use api::Registry;
use api::resource::{Resource, Served};
pub use document::{Form, frame};
use paths::Paths;
use schemas::{Base, Schemas};

/// A version of the OpenAPI specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// OpenAPI 2, once called Swagger.
    V2,
    /// OpenAPI 3.0
    V3,
}

impl Dialect {
    fn reference(self, name: &str) -> String {
        match self {
            Self::V2 => format!("#/definitions/{name}"),
            Self::V3 => format!("#/components/schemas/{name}"),
        }
    }
}

/// What a document is made of, each by its name and as JSON.
#[derive(Debug, Default)]
pub struct Parts {
    /// By path.
    pub paths: BTreeMap<String, String>,
    /// By the full name of the type.
    pub schemas: BTreeMap<String, Arc<str>>,
    /// Parameters that all paths share: in OpenAPI 2.
    pub parameters: BTreeMap<String, String>,
}

/// Makes documents. Meant to be dropped when they are made.
pub struct Press<'a> {
    registry: &'a Registry,
    base: Base,
}

impl<'a> Press<'a> {
    /// A press for the built-in kinds of a registry.
    pub fn new(registry: &'a Registry) -> Self {
        Self { registry, base: Base::of(registry) }
    }

    /// The part of OpenAPI 3 at that path; `None` where nothing is served.
    pub fn v3(&self, path: &str) -> Option<Parts> {
        let (group, version) = match path.split('/').collect::<Vec<_>>()[..] {
            ["api", version] => ("", version),
            ["apis", group, version] => (group, version),
            _ if v3_paths(self.registry).iter().any(|known| known == path) => {
                return Some(self.parts(Dialect::V3, Vec::new(), |paths| paths.only(path)));
            }
            _ => return None,
        };
        let rows: Vec<_> = public(self.registry).filter(|(_, at)| at.group == group && at.version == version).collect();
        if rows.is_empty() {
            return None;
        }
        let mut shared = vec![(String::new(), "v1".to_owned()), (group.to_owned(), version.to_owned())];
        shared.dedup();
        Some(self.parts(Dialect::V3, shared, |paths| {
            paths.version(group, version);
            rows.iter().for_each(|(resource, served)| paths.builtin(resource, served));
        }))
    }

    /// OpenAPI 2 of everything that is built in.
    pub fn v2(&self) -> Parts {
        let shared = self.base.kinds.versions().to_vec();
        self.parts(Dialect::V2, shared, |paths| {
            paths.groups(groups(self.registry).iter().map(String::as_str));
            paths.only("version");
            for (group, version) in self.base.kinds.versions() {
                paths.version(group, version);
            }
            for (resource, served) in public(self.registry) {
                paths.builtin(resource, served);
            }
            // What the parts of custom kinds lead to.
            custom::mention(paths.schemas, true);
            paths.share_parameters();
        })
    }

    fn parts(&self, dialect: Dialect, shared: Vec<(String, String)>, write: impl FnOnce(&mut Paths<'_, '_>)) -> Parts {
        let mut schemas = Schemas::new(&self.base, dialect, shared);
        let mut paths = Paths::new(&self.base, dialect, &mut schemas);
        write(&mut paths);
        let (paths, parameters) = paths.finish();
        Parts { paths, schemas: schemas.finish(), parameters }
    }
}

/// The documents of OpenAPI 3 about what is built in: `api/v1`, `apis/apps/v1`, and those about what is above them.
pub fn v3_paths(registry: &Registry) -> Vec<String> {
    let mut all: Vec<String> = public(registry).map(|(_, served)| root(&served.group, &served.version)).collect();
    all.extend(groups(registry).iter().map(|group| format!("apis/{group}")));
    all.extend(["api", "apis", "version"].map(str::to_owned));
    all.sort();
    all.dedup();
    all
}

/// The named groups.
fn groups(registry: &Registry) -> Vec<String> {
    let mut all: Vec<String> = public(registry).map(|(_, served)| served.group.to_string()).collect();
    all.retain(|group| !group.is_empty());
    all.sort();
    all.dedup();
    all
}

fn public(registry: &Registry) -> impl Iterator<Item = (&Resource, &Served)> {
    let all = registry.iter().flat_map(|resource| resource.served.iter().map(|served| (&**resource, served)));
    all.filter(|(_, served)| served.is_public())
}

fn root(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

#[cfg(test)]
mod tests;
