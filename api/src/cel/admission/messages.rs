//! The messages that mutations are made of, and the patches that come of them.
//!
//! `Object{spec: Object.spec{…}}` is whatever its author says: its types are names, which have to say where the value stands.
//! `JSONPatch{op: …, path: …, value: …}` is one operation.

use std::sync::Arc;

use expressions::{Failure, Meter, StructTypes, StructValue, Type, Value};
use serde_json::{Map, Value as Json};

pub(super) const OBJECT: &str = "Object";
pub(super) const JSON_PATCH: &str = "JSONPatch";

#[derive(Debug)]
struct Messages;

impl StructTypes for Messages {
    fn exists(&self, name: &str) -> bool {
        name == JSON_PATCH || name == OBJECT || name.strip_prefix(OBJECT).is_some_and(|rest| rest.starts_with('.'))
    }

    fn field(&self, name: &str, field: &str) -> Option<Type> {
        match (name, field) {
            (JSON_PATCH, "op" | "path" | "from") => Some(Type::String),
            (JSON_PATCH, "value") => Some(Type::Dyn),
            (JSON_PATCH, _) => None,
            _ => Some(Type::Dyn),
        }
    }
}

pub(super) fn types() -> Arc<dyn StructTypes> {
    Arc::new(Messages)
}

/// The apply configuration that a value of [`super::Wanted::Object`] is.
pub fn object_patch(value: &Value<'_>, meter: &mut Meter<'_>) -> Result<Json, Failure> {
    let Value::Struct(message) = value else {
        let of = value.type_of();
        let words = format!("unsupported return type from ApplyConfiguration expression: {}", of.name());
        return Err(Failure::error(words));
    };
    check(message, meter)?;
    value.to_json(meter)
}

/// The operations that a value of [`super::Wanted::JsonPatch`] is.
pub fn json_patch(value: &Value<'_>, meter: &mut Meter<'_>) -> Result<Json, Failure> {
    let Value::List(list) = value else {
        return Err(Failure::error("type mismatch: JSONPatchType.expression should evaluate to array"));
    };
    list.items(meter)?.iter().map(|item| operation(item, meter)).collect::<Result<Vec<_>, _>>().map(Json::from)
}

fn operation(item: &Value<'_>, meter: &mut Meter<'_>) -> Result<Json, Failure> {
    let Value::Struct(message) = item else {
        let words = "type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch";
        return Err(Failure::error(words));
    };
    let mut operation = Map::new();
    for text in ["op", "path"] {
        operation.insert(text.to_owned(), "".into());
    }
    for (name, value) in &message.fields {
        match (name.as_str(), value) {
            ("value", value) => {
                if let Value::Struct(message) = value {
                    check(message, meter)?;
                }
                let value = value.to_json(meter).map_err(|failure| {
                    let words = "JSONPath valueExpression evaluated to a type that could not marshal to JSON";
                    Failure::error(format!("{words}: {failure}"))
                })?;
                operation.insert("value".to_owned(), value);
            }
            ("from", Value::String(text)) if text.as_str().is_empty() => {}
            (_, Value::String(text)) => drop(operation.insert(name.to_string(), text.as_str().into())),
            (_, other) => {
                let of = other.type_of();
                let words = format!("unexpected type {} for JSONPatchType '{name}' field", of.name());
                return Err(Failure::error(words));
            }
        }
    }
    Ok(operation.into())
}

/// Checks that the types of messages say where they stand: `Object.spec.template` in the field template of the field spec.
fn check(message: &StructValue<'_>, meter: &mut Meter<'_>) -> Result<(), Failure> {
    let mut wrong = Vec::new();
    let mut path = message.name.to_string();
    look(&Value::Struct(Arc::new(message.clone())), &mut path, &mut wrong, meter)?;
    match wrong.is_empty() {
        true => Ok(()),
        false => Err(Failure::error(format!("type mismatch: {}", wrong.join("\n")))),
    }
}

fn look(value: &Value<'_>, path: &mut String, wrong: &mut Vec<String>, meter: &mut Meter<'_>) -> Result<(), Failure> {
    meter.work(1)?;
    match value {
        Value::Struct(message) => {
            if message.name != path.as_str() {
                wrong.push(format!(
                    "unexpected type name {:?}, expected {path:?}, which matches field name path from root Object type",
                    message.name
                ));
            }
            let length = path.len();
            for (name, value) in &message.fields {
                path.push('.');
                path.push_str(name);
                look(value, path, wrong, meter)?;
                path.truncate(length);
            }
        }
        Value::List(list) => list.items(meter)?.iter().try_for_each(|item| look(item, path, wrong, meter))?,
        Value::Map(expressions::Map::Values(entries)) => {
            entries.iter().try_for_each(|(_, value)| look(value, path, wrong, meter))?;
        }
        _ => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use expressions::{Bindings, Limit};
    use serde_json::json;

    use super::super::{Compiler, Offers, Wanted};
    use super::*;

    const OFFERS: Offers = Offers { params: false, authorizer: false, patches: true };

    fn made(expression: &str, wanted: Wanted) -> Result<Json, String> {
        let program = Compiler::plain().compile(expression, OFFERS, wanted).map_err(|mistake| mistake.to_string())?;
        let mut meter = Meter::new(Limit::per_call());
        let value = program.run(&Bindings::new(), &mut meter).map_err(|failure| failure.to_string())?;
        let made = match wanted {
            Wanted::Object => object_patch(&value, &mut meter),
            _ => json_patch(&value, &mut meter),
        };
        made.map_err(|failure| failure.to_string())
    }

    #[test]
    fn apply_configurations() {
        let expression = "Object{metadata: Object.metadata{labels: {'a': 'b'}}, \
                          spec: Object.spec{containers: [Object.spec.containers{name: 'x', ports: [1]}]}}";
        assert_eq!(
            made(expression, Wanted::Object),
            Ok(json!({"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "x", "ports": [1]}]}}))
        );
        assert_eq!(
            made("Object{spec: Object.spec{selector: Object.spec.wrong{}}}", Wanted::Object).unwrap_err(),
            "type mismatch: unexpected type name \"Object.spec.wrong\", expected \"Object.spec.selector\", which matches field \
             name path from root Object type"
        );
    }

    #[test]
    fn operations() {
        let expression = "[JSONPatch{op: 'test', path: '/a', value: null}, JSONPatch{op: 'move', from: '/a', path: '/b'}, \
                          JSONPatch{op: 'add', path: '/c', value: Object.x{y: 1.0}}]";
        assert_eq!(
            made(expression, Wanted::JsonPatch),
            Ok(json!([
                {"op": "test", "path": "/a", "value": null}, {"op": "move", "from": "/a", "path": "/b"},
                {"op": "add", "path": "/c", "value": {"y": 1}},
            ]))
        );
    }
}
