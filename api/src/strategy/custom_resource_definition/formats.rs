//! Formats in schemas that mean nothing to this server: nobody is held to them, and whoever writes them is told.

use crate::crd::formats::is_known;
use crate::document::{Document, Value};
use crate::status::Causes;
use crate::strategy::field;

/// Warns of what a definition names and the one before did not.
pub(super) fn warn(definition: &Value, old: &Value, causes: &mut Causes) {
    let before = unknown(old);
    for format in unknown(definition).into_iter().filter(|format| !before.contains(format)) {
        causes.warn(format!("unrecognized format {format:?}"));
    }
}

fn unknown(definition: &Value) -> Vec<&str> {
    let mut found = Vec::new();
    for version in definition.list(&["spec", "versions"]) {
        collect(version.at(&["schema", "openAPIV3Schema"]), &mut found);
    }
    found
}

fn collect<'a>(schema: &'a Value, found: &mut Vec<&'a str>) {
    let format = field::text(schema, "format");
    if !format.is_empty() && !is_known(format, field::text(schema, "type")) {
        found.push(format);
    }
    for key in ["items", "additionalProperties", "not"] {
        if field::get(schema, key).is_object() {
            collect(field::get(schema, key), found);
        }
    }
    for key in ["allOf", "anyOf", "oneOf"] {
        field::list(schema, key).iter().for_each(|inner| collect(inner, found));
    }
    field::pairs(schema, "properties").for_each(|(_, inner)| collect(inner, found));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn new_formats_that_mean_nothing_are_warned_of() {
        let definition = |formats: &[(&str, &str)]| {
            let fields = formats.iter().enumerate();
            let fields: Value =
                fields.map(|(at, (of, format))| (format!("f{at}"), json!({"type": of, "format": format}))).collect();
            json!({"spec": {"versions": [{"schema": {"openAPIV3Schema": {"type": "object", "properties": fields}}}]}})
        };
        let warnings = |new: &[(&str, &str)], old: &[(&str, &str)]| {
            let mut causes = Causes::default();
            warn(&definition(new), &definition(old), &mut causes);
            causes.take_warnings()
        };
        let known = [("string", "date-time"), ("integer", "int32"), ("number", "double"), ("string", "k8s-short-name")];
        assert_eq!(warnings(&known, &[]), [""; 0]);
        let odd = [("string", "foo"), ("integer", "double")];
        assert_eq!(warnings(&odd, &[]), ["unrecognized format \"foo\"", "unrecognized format \"double\""]);
        assert_eq!(warnings(&odd, &odd[..1]), ["unrecognized format \"double\""]);
    }
}
