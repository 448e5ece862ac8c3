//! A CustomResourceDefinition as a row of the registry.

use std::any::Any;
use std::sync::{Arc, LazyLock, OnceLock};

use bytes::Bytes;
use smol_str::SmolStr;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::columns::Column;
use super::{Custom, Deadline, Props};
use crate::document::{Document, Value};
use crate::resource::{Resource, ResourceId, Rules, SelectableField, Served, Spread, Subresource};
use crate::schema::{Schema, TypeId};
use crate::strategy::ScalePaths;

const VERBS: [&str; 8] = ["delete", "deletecollection", "get", "list", "patch", "create", "update", "watch"];

/// What every document of a custom kind is: kind, apiVersion and metadata, and whatever else.
static DOCUMENT: LazyLock<TypeId> = LazyLock::new(|| {
    let schema = Schema::builtin();
    schema.named("internal.shardplane.v1.CustomResource").expect("the table has it").id
});

/// What the versions of a custom kind have in common.
#[derive(Debug)]
pub struct Definition {
    /// Of this definition in this generation: what was made by one is not mistaken for what another would make.
    pub id: u64,
    /// metadata.name
    pub name: SmolStr,
    /// What converts documents of one version to another; `None`: they differ in nothing but their schemas.
    pub webhook: Option<Webhook>,
    /// What whoever converts keeps with it: connections, and what is known of the webhook's health.
    pub held: OnceLock<Arc<dyn Any + Send + Sync>>,
}

/// spec.conversion.webhook
#[derive(Debug)]
pub struct Webhook {
    /// clientConfig
    pub client: Value,
    /// conversionReviewVersions
    pub review_versions: Vec<SmolStr>,
}

impl Definition {
    fn read(definition: &Value) -> Self {
        let generation = definition.int(&["metadata", "generation"]).unwrap_or_default();
        let webhook = definition.at(&["spec", "conversion", "webhook"]);
        let versions = webhook.list(&["conversionReviewVersions"]).iter().filter_map(Value::as_str);
        let has_one = definition.text(&["spec", "conversion", "strategy"]) == "Webhook";
        Self {
            id: xxh3_64_with_seed(definition.uid().as_bytes(), generation.unsigned_abs()),
            name: definition.name().into(),
            webhook: has_one.then(|| Webhook {
                client: webhook.at(&["clientConfig"]).clone(),
                review_versions: versions.map(SmolStr::new).collect(),
            }),
            held: OnceLock::new(),
        }
    }
}

/// Whether a definition has a condition.
pub fn has(definition: &Value, condition: &str) -> bool {
    let conditions = definition.list(&["status", "conditions"]).iter();
    conditions.into_iter().any(|found| found.text(&["type"]) == condition && found.text(&["status"]) == "True")
}

/// The row of a definition's kind; `None` before its names are accepted and it is established.
pub fn resource(definition: &Value) -> Option<Resource> {
    resource_by(definition, &Deadline::default())
}

/// The same with a clock for its rules.
pub fn resource_by(definition: &Value, clock: &Deadline) -> Option<Resource> {
    if !has(definition, "Established") || !has(definition, "NamesAccepted") {
        return None;
    }
    let names = definition.at(&["status", "acceptedNames"]);
    let group = definition.text(&["spec", "group"]);
    let words = |key: &str| names.list(&[key]).iter().filter_map(Value::as_str).map(SmolStr::new).collect::<Vec<_>>();
    // The stored version comes first.
    let mut versions: Vec<&Value> = definition.list(&["spec", "versions"]).iter().collect();
    versions.sort_by_key(|version| version.get("storage") != Some(&Value::Bool(true)));
    let stored = versions.first()?;
    let mut fields: Vec<SmolStr> = versions.iter().flat_map(|version| selectable(version)).collect();
    fields.sort_unstable();
    fields.dedup();
    let kind = SmolStr::new(names.text(&["kind"]));
    // Nothing more is made of a kind that goes.
    let is_terminating = has(definition, "Terminating");
    Some(Resource {
        id_name: definition.name().into(),
        group: group.into(),
        plural: names.text(&["plural"]).into(),
        singular: names.text(&["singular"]).into(),
        namespaced: definition.text(&["spec", "scope"]) == "Namespaced",
        short_names: words("shortNames"),
        categories: words("categories"),
        spread: Spread::Scope,
        selectable: fields.iter().map(|field| SelectableField::custom(field)).collect(),
        has_status: stored.get("subresources").is_some_and(|sub| sub.get("status").is_some()),
        served: versions.iter().map(|version| served(group, &kind, version, is_terminating, clock)).collect(),
        kind,
        definition: Some(Arc::new(Definition::read(definition))),
        ..Resource::undefined(ResourceId(0), definition.name())
    })
}

fn selectable(version: &Value) -> impl Iterator<Item = SmolStr> {
    let fields = version.list(&["selectableFields"]).iter();
    fields.map(|field| field.text(&["jsonPath"]).trim_start_matches('.').into())
}

fn served(group: &str, kind: &SmolStr, version: &Value, is_terminating: bool, clock: &Deadline) -> Served {
    let name = version.text(&["name"]);
    let custom = Arc::new(custom(group, kind, version, clock.clone()));
    let is_served = version.get("served") == Some(&Value::Bool(true));
    let may = |verb: &&str| *verb != "create" || !is_terminating;
    Served {
        group: group.into(),
        version: name.into(),
        type_id: *DOCUMENT,
        verbs: if is_served { VERBS.into_iter().filter(may).collect() } else { Vec::new() },
        subresources: subresources(group, kind, name, version),
        head: Bytes::from(format!("{{\"kind\":\"{kind}\",\"apiVersion\":\"{group}/{name}\",")),
        convert: None,
        rules: Some(Rules::Custom(custom.clone())),
        custom: Some(custom),
    }
}

fn subresources(group: &str, kind: &SmolStr, name: &str, version: &Value) -> Vec<Subresource> {
    let has = |key: &str| version.at(&["subresources", key]).is_object();
    let row = |sub: &'static str, kind: SmolStr, group: &str, version: &str| Subresource {
        name: sub,
        kind,
        group: group.into(),
        version: version.into(),
        verbs: vec!["get", "patch", "update"],
    };
    let status = has("status").then(|| row("status", kind.clone(), group, name));
    let scale = has("scale").then(|| row("scale", SmolStr::new_static("Scale"), "autoscaling", "v1"));
    status.into_iter().chain(scale).collect()
}

fn custom(group: &str, kind: &SmolStr, version: &Value, clock: Deadline) -> Custom {
    let columns = version.list(&["additionalPrinterColumns"]);
    let columns = match columns {
        [] => vec![Column::age()],
        columns => columns.iter().map(Column::read).collect(),
    };
    let scale = version.at(&["subresources", "scale"]);
    let path = |key: &str| {
        let text = scale.text(&[key]).trim_start_matches('.');
        (!text.is_empty()).then(|| text.split('.').map(SmolStr::new).collect::<Vec<_>>())
    };
    let name = version.text(&["name"]);
    let deprecated = version.get("deprecated") == Some(&Value::Bool(true));
    let schema = version.at(&["schema", "openAPIV3Schema"]);
    Custom {
        rules: super::rules::compile(schema, "").0,
        mark: super::reading::mark(group, name, schema),
        identity: (kind.to_string(), format!("{group}/{name}")),
        schema: Props::read(schema),
        columns,
        selectable: selectable(version).collect(),
        scale: path("specReplicasPath").zip(path("statusReplicasPath")).map(|(replicas, status)| ScalePaths {
            replicas,
            status,
            selector: path("labelSelectorPath").unwrap_or_default(),
        }),
        warning: deprecated.then(|| match version.text(&["deprecationWarning"]) {
            "" => format!("{group}/{name} {kind} is deprecated"),
            said => said.to_owned(),
        }),
        clock,
    }
}
