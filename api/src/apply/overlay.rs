//! A document laid over another one by nobody: what a mutating admission policy says has to be there. Nobody owns it, and
//! nothing is taken away.

use super::merge::merge;
use super::place::{Form, Items, Place};
use super::validate::validate;
use crate::document::Value;
use crate::schema::Shape;

/// The document with what the other one says. Both are of that shape, kind and apiVersion included; the result is not canonical
/// yet. Errors are the reference's words.
pub fn lay_over(shape: Shape<'_>, live: &Value, config: &Value) -> Result<Value, String> {
    let place = Place::root(shape);
    validate(place, config).map_err(|why| format!("failed to convert patch object to typed object: {why}"))?;
    let mut wholes = Vec::new();
    find_wholes(place, config, &mut String::new(), &mut wholes);
    if !wholes.is_empty() {
        // What else stands in them would go, and hardly anybody means that.
        let which = wholes.join(", ");
        return Err(format!("invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: {which}"));
    }
    Ok(merge(place, live, config))
}

/// Paths of what can only be replaced as a whole.
fn find_wholes(place: Place<'_>, value: &Value, path: &mut String, wholes: &mut Vec<String>) {
    let length = path.len();
    match (place.form(Some(value)), value) {
        (Form::Map(atomic), Value::Object(fields)) => {
            if atomic {
                wholes.push(path.clone());
            }
            for (key, value) in fields {
                let Some(child) = place.child(key) else { continue };
                path.push_str(&format!(".{key}"));
                find_wholes(child, value, path, wholes);
                path.truncate(length);
            }
        }
        (Form::List(items), Value::Array(list)) => {
            if matches!(items, Items::Atomic) {
                wholes.push(path.clone());
            }
            let Some(child) = place.items() else { return };
            for (at, value) in list.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                find_wholes(child, value, path, wholes);
                path.truncate(length);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Schema;

    #[test]
    fn a_document_is_laid_over_another() {
        let schema = Schema::builtin();
        let shape = schema.named("io.k8s.api.core.v1.Pod").unwrap();
        let live = json!({
            "kind": "Pod", "apiVersion": "v1", "metadata": {"name": "a", "labels": {"a": "1", "b": "2"}},
            "spec": {"containers": [{"name": "x", "image": "i"}, {"name": "y", "image": "j"}]},
        });
        let over = |config: Value| lay_over(shape, &live, &config);
        let merged = over(json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"labels": {"b": "3"}},
            "spec": {"containers": [{"name": "y", "imagePullPolicy": "Always"}]}}))
        .unwrap();
        assert_eq!(merged["metadata"], json!({"name": "a", "labels": {"a": "1", "b": "3"}}));
        assert_eq!(merged["spec"]["containers"][0], json!({"name": "x", "image": "i"}));
        assert_eq!(merged["spec"]["containers"][1], json!({"name": "y", "image": "j", "imagePullPolicy": "Always"}));
        assert_eq!(
            over(json!({"spec": {"containers": [{"name": "x", "command": ["a"]}]}})).unwrap_err(),
            "invalid ApplyConfiguration: may not mutate atomic arrays, maps or structs: .spec.containers[0].command"
        );
        assert_eq!(
            over(json!({"spec": {"nothing": 1}})).unwrap_err(),
            "failed to convert patch object to typed object: .spec.nothing: field not declared in schema"
        );
    }
}
