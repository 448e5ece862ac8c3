//! `scale`: the number of replicas of whatever has some, as an autoscaling/v1 Scale.

use std::sync::Arc;

use api::apply::ScaleTracking;
use api::codec::Decoded;
use api::document::Document;
use api::schema::Shape;
use api::strategy::ScalePaths;
use api::{Causes, Object, Status, Value};
use serde_json::{Map, json};
use smol_str::SmolStr;

use crate::service::{Answer, Outcome, PatchType, ShardError, Verb, WriteOptions};
use crate::verbs::body::{decode_other, warn_or_refuse};
use crate::verbs::patch::Patch;
use crate::verbs::update::{self, Part};
use crate::verbs::{Call, document_answer, get, managed_fields};

const SCALE: &str = "io.k8s.api.autoscaling.v1.Scale";

/// An object's Scale.
pub(crate) async fn show(call: Call<'_>, object: Arc<Object>) -> Result<Answer, Status> {
    let paths = call.rules().scale().ok_or_else(Status::unknown_path)?;
    let object = call.in_version(object, call.request.served).await?;
    Ok(document_answer(200, of_document(&paths, &object.working_copy())))
}

/// GET of `scale`.
pub(crate) async fn read(call: Call<'_>) -> Result<Answer, ShardError> {
    Ok(show(call, get::latest(call)?).await?)
}

/// PUT and PATCH of `scale`.
pub(crate) async fn write(call: Call<'_>) -> Result<Answer, ShardError> {
    let paths = call.rules().scale().ok_or_else(Status::unknown_path)?;
    let shape = call.resource.schema.named(SCALE).ok_or_else(Status::unknown_path)?;
    match &call.request.verb {
        Verb::Update { body, format, options, .. } => {
            let mut warnings = Vec::new();
            let wanted = decode_other(shape, "Scale", body, *format, options, &mut warnings)?;
            set(call, shape, &paths, options, warnings, &mut |_, _| {
                Ok(Wanted { scale: wanted.clone(), managers: None })
            })
            .await
        }
        Verb::Patch { body, patch: PatchType::Apply, options, .. } => {
            let mut change = |old: &Value, warnings: &mut Vec<String>| {
                let config = managed_fields::config(body, options, warnings)?;
                let before = old.text(&["metadata", "managedFields"]);
                let (now, scale) = (call.now(), of_document(&paths, old));
                let applied = tracking(call, &paths, shape, &now).apply(before, &scale, &config, options.force)?;
                Ok(Wanted { scale: applied.document, managers: Some(applied.managers) })
            };
            set(call, shape, &paths, options, Vec::new(), &mut change).await
        }
        Verb::Patch { body, patch, options, .. } => {
            let mut change = |old: &Value, warnings: &mut Vec<String>| {
                let document = of_document(&paths, old);
                let patch = Patch { kind: *patch, body, document: &document, shape, is_secret: false };
                let Decoded { value, problems } = patch.apply()?;
                warn_or_refuse(problems, options, warnings, |why| patch.refused(why))?;
                Ok(Wanted { scale: value, managers: None })
            };
            set(call, shape, &paths, options, Vec::new(), &mut change).await
        }
        _ => Err(call.method_not_allowed().into()),
    }
}

/// A new Scale.
struct Wanted {
    scale: Value,
    /// Who owns what of the object then, where that is settled.
    managers: Option<String>,
}

type Change<'a> = dyn FnMut(&Value, &mut Vec<String>) -> Result<Wanted, Status> + Send + 'a;

fn tracking<'a>(call: Call<'a>, paths: &'a ScalePaths, shape: Shape<'a>, now: &'a str) -> ScaleTracking<'a> {
    let (resource, served, manager) = (call.resource, call.served, call.field_manager());
    ScaleTracking { resource, served, replicas: &paths.replicas, shape, manager, now }
}

async fn set(
    call: Call<'_>,
    shape: Shape<'_>,
    paths: &ScalePaths,
    options: &WriteOptions,
    mut warnings: Vec<String>,
    change: &mut Change<'_>,
) -> Result<Answer, ShardError> {
    let mut answer = {
        let mut replace = |_: &Arc<Object>, old: &Value, warnings: &mut Vec<String>| {
            let Wanted { scale, managers } = change(old, warnings)?;
            let mut document = apply(call, paths, &scale, old)?;
            let managers = managers.unwrap_or_else(|| {
                let before = managed_fields::take_text(&mut document);
                let now = call.now();
                tracking(call, paths, shape, &now).update(&before, &of_document(paths, old), &scale)
            });
            managed_fields::settle(&mut document, managers);
            Ok(document)
        };
        update::replace(call, options.dry_run, Part::Main, &mut replace).await?
    };
    if let Outcome::Object(object) = &answer.outcome {
        let shown = show(call, object.clone()).await?;
        answer = Answer { warnings: answer.warnings, ..shown };
    }
    answer.warnings.append(&mut warnings);
    Ok(answer)
}

/// The object with the replicas of the Scale, and its preconditions.
fn apply(call: Call<'_>, paths: &ScalePaths, scale: &Value, old: &Value) -> Result<Value, Status> {
    if !matches!(scale.name(), "") && scale.name() != call.request.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({}) does not match the name on the URL ({})",
            scale.name(),
            call.request.name
        )));
    }
    let replicas = scale.at(&["spec", "replicas"]).as_i64().unwrap_or(0);
    if replicas < 0 {
        let mut causes = Causes::default();
        causes.invalid("spec.replicas", &replicas.into(), "must be greater than or equal to 0");
        return Err(Status::invalid("autoscaling", "Scale", &call.request.name, causes));
    }
    let mut document = old.clone();
    document.set(&steps(&paths.replicas), replicas);
    document.set(&["metadata", "resourceVersion"], scale.text(&["metadata", "resourceVersion"]));
    if !scale.uid().is_empty() {
        document.set(&["metadata", "uid"], scale.uid());
    }
    Ok(document)
}

fn steps(path: &[SmolStr]) -> Vec<&str> {
    path.iter().map(SmolStr::as_str).collect()
}

/// Takes the number of replicas that a Scale says into its object.
pub(crate) fn set_replicas(paths: &ScalePaths, scale: &Value, document: &mut Value) {
    document.set(&steps(&paths.replicas), scale.int(&["spec", "replicas"]).unwrap_or(0));
}

/// The Scale of a document.
pub(crate) fn of_document(paths: &ScalePaths, document: &Value) -> Value {
    let mut metadata = Map::new();
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        if let Some(value) = document.at(&["metadata"]).get(field) {
            metadata.insert(field.to_owned(), value.clone());
        }
    }
    let mut spec = Map::new();
    if let Some(replicas) = document.int(&steps(&paths.replicas)).filter(|replicas| *replicas != 0) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    let mut status = json!({"replicas": document.int(&steps(&paths.status)).unwrap_or(0)});
    let selector = match document.at(&steps(&paths.selector)) {
        _ if paths.selector.is_empty() => String::new(),
        Value::String(text) => text.clone(),
        selector => selector_text(selector),
    };
    if !selector.is_empty() {
        status["selector"] = json!(selector);
    }
    json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status})
}

/// A selector as a query parameter spells it, keys in order.
fn selector_text(selector: &Value) -> String {
    let is_structured = selector.get("matchLabels").is_some_and(Value::is_object)
        || selector.get("matchExpressions").is_some_and(Value::is_array);
    let labels = if is_structured { selector.at(&["matchLabels"]) } else { selector };
    let mut parts: Vec<(String, String)> = Vec::new();
    for (key, value) in labels.as_object().into_iter().flatten() {
        parts.push((key.clone(), format!("{key}={}", value.as_str().unwrap_or_default())));
    }
    for expression in selector.list(&["matchExpressions"]) {
        let key = expression.text(&["key"]);
        let mut values: Vec<&str> = expression.list(&["values"]).iter().filter_map(Value::as_str).collect();
        values.sort_unstable();
        let values = values.join(",");
        let text = match expression.text(&["operator"]) {
            "In" => format!("{key} in ({values})"),
            "NotIn" => format!("{key} notin ({values})"),
            "DoesNotExist" => format!("!{key}"),
            _ => key.to_owned(),
        };
        parts.push((key.to_owned(), text));
    }
    parts.sort();
    parts.into_iter().map(|(_, text)| text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_are_spelled_as_queries() {
        assert_eq!(selector_text(&json!({"matchLabels": {"b": "2", "a": "1"}})), "a=1,b=2");
        assert_eq!(selector_text(&json!({"app": "web"})), "app=web");
        let selector = json!({
            "matchLabels": {"m": "x"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]}, {"key": "canary", "operator": "DoesNotExist"},
            ],
        });
        assert_eq!(selector_text(&selector), "!canary,m=x,tier in (a,b)");
        assert_eq!(selector_text(&Value::Null), "");
    }
}
