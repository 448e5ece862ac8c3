//! `components.schemas`: types as OpenAPI sees them.

use std::collections::BTreeSet;

use serde_json::{Map, json};

use crate::document::{Document, Value};
use crate::schema::{Field, ListType, Presence, Schema, Shape, Shortened, Type};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// The types that one document mentions, and what they reach.
pub(super) struct Schemas<'a> {
    group: &'a str,
    version: &'a str,
    done: Map<String, Value>,
    scalars: BTreeSet<&'static str>,
}

impl<'a> Schemas<'a> {
    pub(super) fn new(group: &'a str, version: &'a str) -> Self {
        Self { group, version, done: Map::new(), scalars: BTreeSet::new() }
    }

    /// A reference to a type of the schema, which thereby becomes part of the document.
    pub(super) fn message(&mut self, shape: Shape<'_>) -> Value {
        self.add(shape);
        reference(shape.name())
    }

    /// A reference to the type of a kind, which is marked with its group, version and kind.
    pub(super) fn kind(&mut self, shape: Shape<'_>, group: &str, version: &str) -> Value {
        let reference = self.message(shape);
        let kind = gvk(group, version, shape.short_name());
        if let Some(done) = self.done.get_mut(shape.name()) {
            done.set(&["x-kubernetes-group-version-kind"], vec![kind]);
        }
        reference
    }

    /// A reference to the list of a kind.
    pub(super) fn list(&mut self, shape: Shape<'_>, group: &str, version: &str) -> Value {
        let item = self.kind(shape, group, version);
        let meta = shape.schema.named(&format!("{META}.ListMeta")).expect("the table has metav1");
        let meta = self.message(meta);
        let name = format!("{}List", shape.name());
        let kind = gvk(group, version, &format!("{}List", shape.short_name()));
        self.done.insert(
            name.clone(),
            json!({
                "type": "object",
                "required": ["items"],
                "properties": {
                    "apiVersion": {"type": "string"},
                    "kind": {"type": "string"},
                    "metadata": {"allOf": [meta], "default": {}},
                    "items": {"type": "array", "items": item},
                },
                "x-kubernetes-group-version-kind": [kind],
            }),
        );
        reference(&name)
    }

    /// A reference to one of the types that every group has: DeleteOptions and Status.
    pub(super) fn meta(&mut self, schema: &Schema, name: &str) -> Value {
        let shape = schema.named(&format!("{META}.{name}")).expect("the table has metav1");
        let reference = self.message(shape);
        let mut kinds = vec![gvk("", "v1", name)];
        if name == "DeleteOptions" && !self.group.is_empty() {
            kinds.push(gvk(self.group, self.version, name));
        }
        if let Some(done) = self.done.get_mut(shape.name()) {
            done.set(&["x-kubernetes-group-version-kind"], kinds);
        }
        reference
    }

    /// A reference to the type of patch bodies, which can be anything.
    pub(super) fn patch(&mut self) -> Value {
        let name = format!("{META}.Patch");
        let reference = reference(&name);
        self.done.insert(name, json!({"type": "object"}));
        reference
    }

    /// Everything that was mentioned.
    pub(super) fn finish(mut self) -> Map<String, Value> {
        for name in self.scalars {
            let schema = match name.rsplit('.').next() {
                Some("Quantity") => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
                Some("IntOrString") => {
                    json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
                }
                Some("Time" | "MicroTime") => json!({"type": "string", "format": "date-time"}),
                // A union may be anything, and OpenAPI leaves it at that.
                Some("JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray") => json!({}),
                _ => json!({"type": "object"}),
            };
            self.done.insert(name.to_owned(), schema);
        }
        self.done
    }

    fn add(&mut self, shape: Shape<'_>) {
        if self.done.contains_key(shape.name()) {
            return;
        }
        // Types may contain themselves: the place is taken before their fields are looked at.
        self.done.insert(shape.name().to_owned(), Value::Null);
        let mut schema = json!({"type": "object"});
        let fields = shape.fields();
        if !fields.is_empty() {
            let properties: Map<_, _> =
                fields.iter().map(|field| (field.name.to_string(), self.property(shape, field))).collect();
            schema.set(&["properties"], properties);
        }
        let required: Vec<&str> = fields.iter().filter(|field| field.required).map(|field| &*field.name).collect();
        if !required.is_empty() {
            schema.set(&["required"], required);
        }
        if shape.message().atomic {
            schema.set(&["x-kubernetes-map-type"], "atomic");
        }
        if shape.message().open {
            schema.set(&["x-kubernetes-preserve-unknown-fields"], true);
        }
        self.done.insert(shape.name().to_owned(), schema);
    }

    fn property(&mut self, shape: Shape<'_>, field: &Field) -> Value {
        let mut schema = self.of(shape, &field.of);
        // Nothing may stand beside a reference.
        if schema.get("$ref").is_some() {
            schema = json!({"allOf": [schema]});
        }
        if let Some(default) = default(field) {
            schema.set(&["default"], default);
        }
        match &field.list {
            Some(ListType::Atomic) => schema.set(&["x-kubernetes-list-type"], "atomic"),
            Some(ListType::Set) => schema.set(&["x-kubernetes-list-type"], "set"),
            Some(ListType::Map(keys)) => {
                schema.set(&["x-kubernetes-list-type"], "map");
                let keys: Vec<&str> = keys.iter().map(|key| key.as_str()).collect();
                schema.set(&["x-kubernetes-list-map-keys"], keys);
            }
            None => {}
        }
        if field.atomic {
            schema.set(&["x-kubernetes-map-type"], "atomic");
        }
        let strategies =
            [(field.patch.merge, "merge"), (field.patch.retain_keys, "retainKeys"), (field.patch.replace, "replace")];
        let strategies: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
        if !strategies.is_empty() {
            schema.set(&["x-kubernetes-patch-strategy"], strategies.join(","));
        }
        if let Some(key) = &field.merge_key {
            schema.set(&["x-kubernetes-patch-merge-key"], key.as_str());
        }
        schema
    }

    fn of(&mut self, shape: Shape<'_>, of: &Type) -> Value {
        match of {
            Type::String => json!({"type": "string"}),
            Type::Bool => json!({"type": "boolean"}),
            Type::Int32 => json!({"type": "integer", "format": "int32"}),
            Type::Int64 => json!({"type": "integer", "format": "int64"}),
            Type::Double => json!({"type": "number", "format": "double"}),
            Type::Bytes => json!({"type": "string", "format": "byte"}),
            Type::Quantity => self.scalar("io.k8s.apimachinery.pkg.api.resource.Quantity"),
            Type::IntOrString => self.scalar("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            Type::Time => self.scalar("io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
            Type::MicroTime => self.scalar("io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
            Type::RawExtension => self.scalar("io.k8s.apimachinery.pkg.runtime.RawExtension"),
            Type::FieldsV1 => self.scalar("io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"),
            Type::Any => json!({"x-kubernetes-preserve-unknown-fields": true}),
            Type::Message(id) => self.message(shape.schema.shape(*id)),
            Type::Union(id, shortened) => {
                self.message(shape.schema.shape(*id));
                self.scalar(union(*shortened))
            }
            Type::List(item) => json!({"type": "array", "items": self.of(shape, item)}),
            Type::Map(value) => json!({"type": "object", "additionalProperties": self.of(shape, value)}),
        }
    }

    fn scalar(&mut self, name: &'static str) -> Value {
        self.scalars.insert(name);
        reference(name)
    }
}

/// The name of a union of apiextensions.
fn union(shortened: Shortened) -> &'static str {
    match shortened {
        Shortened::List => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray",
        Shortened::Bool => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool",
        Shortened::Strings => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray",
    }
}

/// The stated default, or the zero value of what is always written.
fn default(field: &Field) -> Option<Value> {
    if field.default.is_some() {
        return field.default.clone();
    }
    match (&field.of, field.presence) {
        (Type::String, Presence::Always) => Some("".into()),
        (Type::Bool, Presence::Always) => Some(false.into()),
        (Type::Int32 | Type::Int64 | Type::Double, Presence::Always) => Some(0.into()),
        (Type::Message(_), Presence::Always) => Some(json!({})),
        _ => None,
    }
}

pub(super) fn gvk(group: &str, version: &str, kind: &str) -> Value {
    json!({"group": group, "version": version, "kind": kind})
}

fn reference(name: &str) -> Value {
    json!({"$ref": format!("#/components/schemas/{name}")})
}
