//! Custom kinds: what a CustomResourceDefinition says, as parts of documents.
//!
//! Of each kind and version there are a type, its list, and paths ([`Press::custom`]); what all of them mention ([`Press::shared`])
//! is once in each document. [`structural`] makes an OpenAPI schema of a structural one (KEP-1002), in either dialect.
//!
//! Invariant: the parts of a kind depend on its definition alone, so that they can be kept as long as that does not change.

mod structural;

use api::Value;
use api::document::Document;
use api::resource::{Resource, Served};
use serde_json::json;

use crate::schemas::{GVK, META};
use crate::{Dialect, Parts, Press};

/// The name of a custom kind's type: its group's parts in reverse, its version, and the kind.
fn type_name(group: &str, version: &str, kind: &str) -> String {
    let group: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", group.join("."))
}

impl Press<'_> {
    /// The parts of one version of a custom kind. `definition` is where `resource` comes from.
    pub fn custom(&self, dialect: Dialect, definition: &Value, resource: &Resource, served: &Served) -> Parts {
        let name = type_name(&served.group, &served.version, &resource.kind);
        let list_kind = match definition.text(&["status", "acceptedNames", "listKind"]) {
            "" => format!("{}List", resource.kind),
            said => said.to_owned(),
        };
        let list_name = type_name(&served.group, &served.version, &list_kind);
        let version = definition.list(&["spec", "versions"]).iter();
        let version = version.into_iter().find(|version| version.text(&["name"]) == served.version.as_str());
        let version = version.unwrap_or(&Value::Null);
        let mut object = self.object(dialect, version.at(&["schema", "openAPIV3Schema"]));
        let mut list = self.list(dialect, &name, &list_kind, resource);
        for (schema, kind) in [(&mut object, resource.kind.as_str()), (&mut list, &list_kind)] {
            schema[GVK] = json!([{"group": served.group, "version": served.version, "kind": kind}]);
            let fields = version.list(&["selectableFields"]).iter();
            let fields: Vec<Value> =
                fields.map(|field| json!({"fieldPath": field.text(&["jsonPath"]).trim_start_matches('.')})).collect();
            if !fields.is_empty() {
                schema["x-kubernetes-selectable-fields"] = Value::Array(fields);
            }
        }
        let mut parts = self.parts(dialect, Vec::new(), |paths| {
            paths.schemas.insert(&name, &object);
            paths.schemas.insert(&list_name, &list);
            paths.resource(resource, served, &name, &list_name);
        });
        // What else they mention is shared.
        parts.schemas.retain(|mentioned, _| *mentioned == name || *mentioned == list_name);
        parts.parameters.clear();
        parts
    }

    /// The types that the parts of custom kinds mention, for a document that has nothing else. `scales` says whether one of
    /// them has the subresource `scale`.
    pub fn shared(&self, group: &str, version: &str, scales: bool) -> Parts {
        let kinds = vec![(String::new(), "v1".to_owned()), (group.to_owned(), version.to_owned())];
        self.parts(Dialect::V3, kinds, |paths| mention(paths.schemas, scales))
    }

    fn object(&self, dialect: Dialect, schema: &Value) -> Value {
        let open = schema.get("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true));
        // Clients of OpenAPI 2 refuse fields that they do not know, where they know any.
        if !schema.is_object() || (dialect == Dialect::V2 && open) {
            return json!({"type": "object"});
        }
        let mut schema = structural::publish(schema, dialect, &|name| self.type_meta(dialect, name));
        self.add_type_meta(dialect, &mut schema);
        schema
    }

    fn list(&self, dialect: Dialect, name: &str, list_kind: &str, resource: &Resource) -> Value {
        let mut metadata = reference(dialect, &format!("{META}.ListMeta"));
        describe(&mut metadata, self.base.words.of_field("io.k8s.api.core.v1.PodList", "metadata"));
        json!({
            "description": format!("{list_kind} is a list of {}", resource.kind),
            "properties": {
                "apiVersion": self.type_meta(dialect, "apiVersion"),
                "items": {
                    "description": format!("List of {}.", resource.plural),
                    "items": {"$ref": dialect.reference(name)},
                    "type": "array",
                },
                "kind": self.type_meta(dialect, "kind"),
                "metadata": metadata,
            },
            "required": ["items"],
            "type": "object",
        })
    }

    /// kind, apiVersion and metadata are what they are everywhere, whatever the schema says about them.
    fn add_type_meta(&self, dialect: Dialect, schema: &mut Value) {
        for name in ["apiVersion", "kind", "metadata"] {
            schema.set(&["properties", name], self.type_meta(dialect, name));
        }
    }

    fn type_meta(&self, dialect: Dialect, name: &str) -> Value {
        let mut property = match name {
            "metadata" => reference(dialect, &format!("{META}.ObjectMeta")),
            _ => json!({"type": "string"}),
        };
        describe(&mut property, self.base.words.of_field("io.k8s.api.apps.v1.Deployment", name));
        property
    }
}

/// Makes the types that all custom kinds need part of a document.
pub(crate) fn mention(schemas: &mut crate::schemas::Schemas<'_>, scales: bool) {
    for kind in ["ObjectMeta", "ListMeta", "DeleteOptions", "Status", "Patch"] {
        schemas.mention(&format!("{META}.{kind}"));
    }
    if scales {
        schemas.mention(&api::builtin::type_name("autoscaling", "v1", "Scale"));
    }
}

fn reference(dialect: Dialect, name: &str) -> Value {
    let reference = json!({"$ref": dialect.reference(name)});
    if dialect == Dialect::V3 { json!({"allOf": [reference]}) } else { reference }
}

/// Sets a description that is the inside of a JSON string.
fn describe(schema: &mut Value, inside: &str) {
    if let Ok(text) = serde_json::from_str::<String>(&format!("\"{inside}\"")) {
        schema.set(&["description"], text);
    }
}
