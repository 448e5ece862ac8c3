//! OpenAPI v3 documents, one for each group and version, generated from the registry and the schema.
//!
//! [`paths`] walks the registry's rows, [`schemas`] the types that the paths mention and what those reach. What is written is
//! what is served: no deprecated watch paths, no media type that the gateway does not speak. Descriptions are left out so far.
//! Documents take milliseconds to make; the gateway keeps them.

mod paths;
mod schemas;

use serde_json::json;

use crate::document::Value;
use crate::registry::Registry;
use crate::resource::{Resource, Served};

/// `/openapi/v3`'s paths: `api/v1`, `apis/apps/v1`, … of that registry.
pub fn group_versions(registry: &Registry) -> Vec<String> {
    let mut all: Vec<String> = public(registry).map(|(_, served)| root(&served.group, &served.version)).collect();
    all.sort();
    all.dedup();
    all
}

/// The document of one group version; `None` where nothing is served under it.
pub fn document(registry: &Registry, group: &str, version: &str) -> Option<Value> {
    let mut paths = paths::Paths::new(group, version);
    let mut schemas = schemas::Schemas::new(group, version);
    let mut any = false;
    for (resource, served) in public(registry).filter(|(_, served)| served.group == group && served.version == version)
    {
        any = true;
        paths.resource(resource, served, &mut schemas);
    }
    any.then(|| {
        json!({
            "openapi": "3.0.0",
            "info": {"title": "Kubernetes", "version": "unversioned"},
            "paths": paths.finish(),
            "components": {
                "schemas": schemas.finish(),
                "securitySchemes": {"BearerToken": {"type": "apiKey", "name": "authorization", "in": "header"}},
            },
        })
    })
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
