//! The messages of the table, and the lists of its kinds.

use api::schema::{Field, ListType, Presence, Shape, Shortened, Type};
use serde_json::{Value, json};

use super::{Base, GVK, META, Text, refer};
use crate::Dialect;
use crate::json::{self, Object};
use crate::kinds::Kind;

/// The name of a message, the field that says which of the others is set, and those with the words for them.
type Union = (&'static str, Option<&'static str>, &'static [(&'static str, &'static str)]);

/// Messages of which only one field at a time is set (x-kubernetes-unions).
const UNIONS: [Union; 8] = [
    ("io.k8s.api.core.v1.AppArmorProfile", Some("type"), &[("localhostProfile", "LocalhostProfile")]),
    ("io.k8s.api.core.v1.PodSchedulingGroup", None, &[("podGroupName", "PodGroupName")]),
    ("io.k8s.api.core.v1.SeccompProfile", Some("type"), &[("localhostProfile", "LocalhostProfile")]),
    ("io.k8s.api.flowcontrol.v1.LimitResponse", Some("type"), &[("queuing", "Queuing")]),
    (
        "io.k8s.api.flowcontrol.v1.PriorityLevelConfigurationSpec",
        Some("type"),
        &[("exempt", "Exempt"), ("limited", "Limited")],
    ),
    (
        "io.k8s.api.flowcontrol.v1.Subject",
        Some("kind"),
        &[("group", "Group"), ("serviceAccount", "ServiceAccount"), ("user", "User")],
    ),
    ("io.k8s.api.scheduling.v1alpha2.PodGroupSchedulingPolicy", None, &[("basic", "Basic"), ("gang", "Gang")]),
    ("io.k8s.api.scheduling.v1alpha2.PodGroupTemplateReference", None, &[("workload", "Workload")]),
];

/// One type of the table.
pub(super) fn write(base: &Base, dialect: Dialect, shape: Shape<'_>) -> Text {
    let mut mentions = Vec::new();
    let name = shape.name();
    let json = json::object(|object| {
        object.words("description", base.words.of_type(name));
        let fields = shape.fields();
        if !fields.is_empty() {
            object.object("properties", |properties| {
                for field in fields {
                    properties.object(&field.name, |property| {
                        let words = base.words.of_field(name, &field.name);
                        property.words("description", words);
                        write_field(property, dialect, shape, (field, !words.is_empty()), &mut mentions);
                    });
                }
            });
        }
        // In the order in which protobuf numbers them, which is that of the reference's sources.
        let mut required: Vec<&Field> = fields.iter().filter(|field| field.required).collect();
        required.sort_by_key(|field| &field.number);
        if !required.is_empty() {
            object.texts("required", required.iter().map(|field| field.name.as_str()));
        }
        object.text("type", "object");
        if let Some(kind) = base.kinds.of_type(name) {
            object.list(GVK, |list| Kind::write_all(std::slice::from_ref(kind), list));
        }
        if shape.message().atomic {
            object.text("x-kubernetes-map-type", "atomic");
        }
        write_union(object, name);
    });
    Text { json: json.into(), mentions }
}

/// The list of a kind.
pub(super) fn list(base: &Base, dialect: Dialect, name: &str, item: Shape<'_>) -> Text {
    let meta = format!("{META}.ListMeta");
    let about = |field: &str| base.words.of_field(name, field);
    // Lists that are younger than the source of the descriptions.
    let or = |text: &'static str, other: String| if text.is_empty() { json::inside(&other) } else { text.to_owned() };
    let kind = item.short_name();
    let text = |field: &str, object: &mut Object<'_>| {
        object.words("description", about(field));
        object.text("type", "string");
    };
    let json = json::object(|object| {
        object.words("description", &or(base.words.of_type(name), format!("{kind}List is a list of {kind}.")));
        object.object("properties", |properties| {
            properties.object("apiVersion", |property| text("apiVersion", property));
            properties.object("items", |items| {
                items.words("description", &or(about("items"), format!("The objects of kind {kind}.")));
                items.object("items", |inner| refer(inner, dialect, item.name(), true));
                items.text("type", "array");
            });
            properties.object("kind", |property| text("kind", property));
            properties.object("metadata", |property| {
                if dialect == Dialect::V3 {
                    property.value("default", &json!({}));
                }
                property.words("description", &or(about("metadata"), "What all lists have.".to_owned()));
                refer(property, dialect, &meta, false);
            });
        });
        object.texts("required", ["items"]);
        object.text("type", "object");
        if let Some(kind) = base.kinds.of_type(name) {
            object.list(GVK, |list| Kind::write_all(std::slice::from_ref(kind), list));
        }
    });
    Text { json: json.into(), mentions: vec![meta, item.name().to_owned()] }
}

fn write_union(object: &mut Object<'_>, name: &str) {
    let Some((_, discriminator, fields)) = UNIONS.iter().find(|(union, ..)| *union == name) else { return };
    object.list("x-kubernetes-unions", |list| {
        list.object(|union| {
            if let Some(discriminator) = discriminator {
                union.text("discriminator", discriminator);
            }
            union.object("fields-to-discriminateBy", |by| {
                fields.iter().for_each(|(field, word)| by.text(field, word));
            });
        });
    });
}

fn write_field(
    object: &mut Object<'_>,
    dialect: Dialect,
    shape: Shape<'_>,
    (field, described): (&Field, bool),
    mentions: &mut Vec<String>,
) {
    let default = (dialect == Dialect::V3).then(|| default(field)).flatten();
    if let Some(default) = &default {
        object.value("default", default);
    }
    // Of a field that has neither words nor a default nothing is left but the reference.
    let alone = !described && default.is_none();
    write_type(object, dialect, shape, &field.of, alone, mentions);
    match &field.list {
        Some(ListType::Atomic) => object.text("x-kubernetes-list-type", "atomic"),
        Some(ListType::Set) => object.text("x-kubernetes-list-type", "set"),
        Some(ListType::Map(keys)) => {
            object.texts("x-kubernetes-list-map-keys", keys.iter().map(|key| key.as_str()));
            object.text("x-kubernetes-list-type", "map");
        }
        None => {}
    }
    if field.atomic || field.granular {
        object.text("x-kubernetes-map-type", if field.atomic { "atomic" } else { "granular" });
    }
    if let Some(key) = &field.merge_key {
        object.text("x-kubernetes-patch-merge-key", key);
    }
    let strategies =
        [(field.patch.merge, "merge"), (field.patch.retain_keys, "retainKeys"), (field.patch.replace, "replace")];
    let strategies: Vec<&str> = strategies.iter().filter(|(on, _)| *on).map(|(_, name)| *name).collect();
    if !strategies.is_empty() {
        object.text("x-kubernetes-patch-strategy", &strategies.join(","));
    }
}

fn write_type(
    object: &mut Object<'_>,
    dialect: Dialect,
    shape: Shape<'_>,
    of: &Type,
    alone: bool,
    mentions: &mut Vec<String>,
) {
    let mut formatted = |of: &str, format: &str| {
        object.text("format", format);
        object.text("type", of);
    };
    match of {
        Type::String => object.text("type", "string"),
        Type::Bool => object.text("type", "boolean"),
        Type::Int32 => formatted("integer", "int32"),
        Type::Int64 => formatted("integer", "int64"),
        Type::Double => formatted("number", "double"),
        Type::Bytes => formatted("string", "byte"),
        Type::List(item) => {
            object.object("items", |inner| write_type(inner, dialect, shape, item, true, mentions));
            object.text("type", "array");
        }
        Type::Map(value) => {
            object.object("additionalProperties", |inner| write_type(inner, dialect, shape, value, true, mentions));
            object.text("type", "object");
        }
        other => {
            let name = match other {
                Type::Message(id) => shape.schema.shape(*id).name(),
                other => scalar(other),
            };
            refer(object, dialect, name, alone);
            mentions.push(name.to_owned());
        }
    }
}

fn scalar(of: &Type) -> &'static str {
    match of {
        Type::Quantity => "io.k8s.apimachinery.pkg.api.resource.Quantity",
        Type::IntOrString => "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
        Type::Time => "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
        Type::MicroTime => "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
        Type::FieldsV1 => "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
        Type::Any => "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
        Type::Union(_, Shortened::List) => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrArray"
        }
        Type::Union(_, Shortened::Bool) => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrBool"
        }
        Type::Union(_, Shortened::Strings) => {
            "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaPropsOrStringArray"
        }
        _ => "io.k8s.apimachinery.pkg.runtime.RawExtension",
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
