//! The built-in rows: which resources Kubernetes v1.36 has, and which of them a cluster serves.
//!
//! [`rows`] reads `api/schema/resources.txt`; [`conversion`] holds what the few kinds with unlike versions need.
//!
//! Invariants: a row's first version is the stored one and never changes with `--runtime-config`; where it is not served it
//! has no verbs, and so no path. Versions without a conversion have the same fields, which a test checks.

mod conversion;
pub mod priorities;
mod rows;
mod runtime_config;

pub use runtime_config::RuntimeConfig;

use bytes::Bytes;

use crate::registry::Registry;
use crate::resource::{Resource, ResourceId, Rules, Served};
use crate::schema::Schema;
pub use rows::type_name;
use rows::{Row, VersionRow};

/// The resources of Kubernetes v1.36 that `config` enables.
pub fn registry(config: &RuntimeConfig) -> Registry {
    let schema = Schema::builtin();
    let mut resources = Vec::new();
    for row in rows::read() {
        let served = row.versions.iter().enumerate().filter_map(|(at, version)| {
            let enabled = !row.internal && config.enables(version.group, version.version, row.plural);
            // The stored version is always known, if only to be read.
            (enabled || at == 0).then(|| serve(&row, version, enabled, &schema))
        });
        let served: Vec<Served> = served.collect();
        if row.internal || served.iter().any(Served::is_public) {
            resources.push((row, served));
        }
    }
    let resources =
        resources.into_iter().zip(0..).map(|((row, served), id)| resource(row, served, ResourceId(id), &schema));
    Registry::new(resources.collect())
}

fn serve(row: &Row, version: &VersionRow, enabled: bool, schema: &Schema) -> Served {
    let name = type_name(version.group, version.version, row.kind);
    let shape = schema.named(&name).unwrap_or_else(|| panic!("resources.txt names {name}, which the schema lacks"));
    let api_version = match version.group {
        "" => version.version.to_owned(),
        group => format!("{group}/{}", version.version),
    };
    Served {
        group: version.group.into(),
        version: version.version.into(),
        type_id: shape.id,
        verbs: if enabled { row.verbs.clone() } else { Vec::new() },
        subresources: if enabled { version.subresources.clone() } else { Vec::new() },
        head: Bytes::from(format!("{{\"kind\":\"{}\",\"apiVersion\":\"{api_version}\",", row.kind)),
        convert: version.convert.map(|name| conversion::named(name, row.kind)),
        rules: None,
        custom: None,
    }
}

fn resource(row: Row, served: Vec<Served>, id: ResourceId, schema: &std::sync::Arc<Schema>) -> Resource {
    let stored = &row.versions[0];
    Resource {
        id,
        id_name: row.id_name(),
        group: stored.group.into(),
        plural: row.plural.into(),
        singular: row.kind.to_lowercase().into(),
        kind: row.kind.into(),
        namespaced: row.namespaced,
        short_names: row.short_names,
        categories: row.categories,
        spread: row.spread,
        relaxed: row.relaxed,
        indexed: row.indexed,
        selectable: row.selectable,
        generation: row.generation,
        has_status: row.versions.iter().any(|version| version.subresources.iter().any(|sub| sub.name == "status")),
        create_on_update: row.create_on_update,
        served,
        definition: None,
        strategy: Rules::Builtin(crate::strategy::of(stored.group, row.kind)),
        schema: schema.clone(),
    }
}

#[cfg(test)]
mod tests;
