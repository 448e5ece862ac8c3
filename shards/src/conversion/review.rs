//! ConversionReview (apiextensions.k8s.io): what a webhook is sent, and what its answer has to look like. It may change
//! everything but metadata, of which it may change labels and annotations.

use api::document::Document;
use api::{Causes, Resource, Value, names};
use bytes::Bytes;
use serde_json::{Map, json};
use smol_str::SmolStr;

use super::Item;
use crate::verbs::managed_fields;

/// The versions of ConversionReview that this server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    /// The first of conversionReviewVersions that is known.
    pub(super) fn first(versions: &[SmolStr]) -> Option<Self> {
        versions.iter().find_map(|version| match version.as_str() {
            "v1" => Some(Self::V1),
            "v1beta1" => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "apiextensions.k8s.io/v1",
            Self::V1Beta1 => "apiextensions.k8s.io/v1beta1",
        }
    }
}

/// A version's kind as Go prints it.
pub(super) fn kind(resource: &Resource, at: usize) -> String {
    format!("{}, Kind={}", resource.served[at].api_version(), resource.kind)
}

/// What is sent.
pub(super) fn request(resource: &Resource, to: usize, items: &[Item<'_>], version: ReviewVersion, uid: &str) -> Bytes {
    let shown = |item: &Item<'_>| {
        let mut shown = item.document.clone();
        managed_fields::show(&mut shown);
        shown.set(&["kind"], resource.kind.as_str());
        shown.set(&["apiVersion"], resource.served[item.from].api_version());
        shown
    };
    let review = json!({
        "kind": "ConversionReview",
        "apiVersion": version.api_version(),
        "request": {
            "uid": uid,
            "desiredAPIVersion": resource.served[to].api_version(),
            "objects": items.iter().map(shown).collect::<Vec<_>>(),
        },
    });
    review.to_string().into()
}

/// Reads an answer to the review of that uid: the objects in it.
pub(super) fn read(body: &[u8], version: ReviewVersion, uid: &str) -> Result<Vec<Value>, String> {
    let mut review: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is no JSON: {error}"))?;
    if version == ReviewVersion::V1 {
        let (kind, api_version) = (review.text(&["kind"]), review.text(&["apiVersion"]));
        if (kind, api_version) != ("ConversionReview", version.api_version()) {
            return Err(format!(
                "expected webhook response of {}, Kind=ConversionReview, got {api_version}, Kind={kind}",
                version.api_version()
            ));
        }
    }
    let said = review.at(&["response"]);
    if !said.is_object() {
        return Err("no response provided".to_owned());
    }
    if version == ReviewVersion::V1 && said.text(&["uid"]) != uid {
        return Err(format!("expected response.uid={uid:?}, got {:?}", said.text(&["uid"])));
    }
    let status = said.text(&["result", "status"]);
    if status != "Success" {
        return Err(match said.text(&["result", "message"]) {
            "" => format!("response.result.status was '{status}', not 'Success'"),
            message => message.to_owned(),
        });
    }
    match review.remove(&["response", "convertedObjects"]) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(objects)) => Ok(objects),
        Some(_) => Err("response.convertedObjects is no list".to_owned()),
    }
}

/// Takes over what came back: the documents, without kind and apiVersion, and with the metadata that they had.
pub(super) fn accept(
    resource: &Resource,
    to: usize,
    items: &[Item<'_>],
    converted: Vec<Value>,
) -> Result<Vec<Value>, String> {
    if converted.len() != items.len() {
        return Err(format!("returned {} objects, expected {}", converted.len(), items.len()));
    }
    let all = items.iter().zip(converted).enumerate().map(|(at, (item, mut document))| {
        let object = if items.len() == 1 { "object" } else { "converted object" };
        check_type(resource, to, &document).map_err(|why| format!("returned invalid {object} at index {at}: {why}"))?;
        check_identity(item.document, &document).map_err(|why| match items.len() {
            1 => format!("returned invalid object: {why}"),
            _ => format!("returned invalid converted object at index {at}: {why}"),
        })?;
        restore_metadata(item.document, &mut document).map_err(|why| match items.len() {
            1 => format!("returned invalid metadata: {why}"),
            _ => format!("returned invalid metadata in object at index {at}: {why}"),
        })?;
        document.remove(&["kind"]);
        document.remove(&["apiVersion"]);
        Ok(document)
    });
    all.collect()
}

fn check_type(resource: &Resource, to: usize, document: &Value) -> Result<(), String> {
    let (expected, received) = (resource.served[to].api_version(), document.text(&["apiVersion"]));
    if expected != received {
        return Err(format!("invalid groupVersion (expected {expected}, received {received})"));
    }
    let (expected, received) = (resource.kind.as_str(), document.text(&["kind"]));
    if expected != received {
        return Err(format!("invalid kind (expected {expected}, received {received})"));
    }
    Ok(())
}

fn check_identity(before: &Value, after: &Value) -> Result<(), String> {
    for (what, field) in [("name", "name"), ("namespace", "namespace"), ("UID", "uid")] {
        let (before, after) = (before.text(&["metadata", field]), after.text(&["metadata", field]));
        if before != after {
            return Err(format!("must have the same {what}: {before} != {after}"));
        }
    }
    Ok(())
}

/// Puts the metadata back that an object had before, with the labels and annotations that it has now.
fn restore_metadata(before: &Value, after: &mut Value) -> Result<(), String> {
    let mut said = match after.remove(&["metadata"]) {
        Some(Value::Object(said)) => said,
        Some(other) => return Err(format!("invalid metadata of type {} in converted object", go_type(&other))),
        None => return Err("missing metadata in converted object".to_owned()),
    };
    let mut metadata = before.at(&["metadata"]).clone();
    for field in ["labels", "annotations"] {
        let map = match said.remove(field) {
            None | Some(Value::Null) => {
                metadata.remove(&[field]);
                continue;
            }
            Some(Value::Object(map)) => map,
            Some(other) => {
                return Err(format!("invalid metadata.{field} of type {} in converted object", go_type(&other)));
            }
        };
        check_map(field, &map, metadata.at(&[field]))?;
        match map.is_empty() {
            true => drop(metadata.remove(&[field])),
            false => metadata.set(&[field], map),
        }
    }
    after.set(&["metadata"], metadata);
    Ok(())
}

/// What was not changed is not complained about.
fn check_map(field: &str, map: &Map<String, Value>, before: &Value) -> Result<(), String> {
    if let Some((key, value)) = map.iter().find(|(_, value)| !value.is_string()) {
        let of = go_type(value);
        return Err(format!("metadata.{field}[{key}] must be a string, but is {of} in converted object"));
    }
    if before.as_object() == Some(map) {
        return Ok(());
    }
    let (mut causes, map) = (Causes::default(), Value::Object(map.clone()));
    match field {
        "labels" => names::validate_labels(&map, "metadata.labels", &mut causes),
        _ => names::validate_annotations(&map, "metadata.annotation", &mut causes),
    }
    let said: Vec<String> = causes.0.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
    match said.as_slice() {
        [] => Ok(()),
        [one] => Err(one.clone()),
        more => Err(format!("[{}]", more.join(", "))),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}
