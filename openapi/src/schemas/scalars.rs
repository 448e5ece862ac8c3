//! Types that are no messages of the table: what JSON writes as text or as anything, and what only streams and patches are.

use super::{Base, META, Text};
use crate::Dialect;
use crate::json::{self, Object};

/// A type by its full name.
pub(super) fn write(base: &Base, dialect: Dialect, name: &str) -> Text {
    let mut mentions = Vec::new();
    let json = json::object(|object| {
        object.words("description", base.words.of_type(name));
        match (name.rsplit('.').next().unwrap_or_default(), dialect) {
            ("Quantity", Dialect::V3) => one_of(object, ["string", "number"]),
            ("IntOrString", Dialect::V3) => {
                object.text("format", "int-or-string");
                one_of(object, ["integer", "string"]);
            }
            ("IntOrString", Dialect::V2) => {
                object.text("format", "int-or-string");
                object.text("type", "string");
            }
            ("Quantity", Dialect::V2) => object.text("type", "string"),
            ("Time" | "MicroTime", _) => {
                object.text("format", "date-time");
                object.text("type", "string");
            }
            // They may be anything, and OpenAPI leaves it at that.
            ("JSON" | "JSONSchemaPropsOrArray" | "JSONSchemaPropsOrBool" | "JSONSchemaPropsOrStringArray", _) => {}
            ("WatchEvent", _) => mentions.push(watch_event(object, base, dialect, name)),
            _ => object.text("type", "object"),
        }
    });
    Text { json: json.into(), mentions }
}

fn one_of(object: &mut Object<'_>, types: [&str; 2]) {
    object.list("oneOf", |list| types.iter().for_each(|of| list.object(|object| object.text("type", of))));
}

/// metav1.WatchEvent, which no document is.
fn watch_event(object: &mut Object<'_>, base: &Base, dialect: Dialect, name: &str) -> String {
    let raw = "io.k8s.apimachinery.pkg.runtime.RawExtension";
    object.object("properties", |fields| {
        fields.object("object", |field| {
            field.words("description", base.words.of_field(name, "object"));
            super::refer(field, dialect, raw, false);
        });
        fields.object("type", |field| {
            if dialect == Dialect::V3 {
                field.text("default", "");
            }
            field.text("type", "string");
        });
    });
    object.texts("required", ["type", "object"]);
    object.text("type", "object");
    debug_assert!(name.starts_with(META));
    raw.to_owned()
}
