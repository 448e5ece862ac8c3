//! resource.k8s.io: v1 is stored. In v1beta1 a request's `exactly` and a device's `basic` stand in other places.

use serde_json::Map;

use super::settle;
use crate::document::{Document, Value};
use crate::resource::Conversion;

pub(super) const CLAIM: Conversion = Conversion {
    from_stored: |document| claim(document, &["spec", "devices", "requests"], flatten, "v1beta1.ResourceClaim"),
    to_stored: |document| claim(document, &["spec", "devices", "requests"], nest, "v1.ResourceClaim"),
};

pub(super) const TEMPLATE: Conversion = Conversion {
    from_stored: |document| {
        claim(document, &["spec", "spec", "devices", "requests"], flatten, "v1beta1.ResourceClaimTemplate");
    },
    to_stored: |document| claim(document, &["spec", "spec", "devices", "requests"], nest, "v1.ResourceClaimTemplate"),
};

pub(super) const SLICE: Conversion = Conversion {
    from_stored: |document| {
        each(document, &["spec", "devices"], |device| gather(device, &["name"], "basic"));
        settle(document, "io.k8s.api.resource.v1beta1.ResourceSlice");
    },
    to_stored: |document| {
        each(document, &["spec", "devices"], |device| spread(device, "basic"));
        settle(document, "io.k8s.api.resource.v1.ResourceSlice");
    },
};

fn claim(document: &mut Value, path: &[&str], change: fn(&mut Map<String, Value>), name: &str) {
    each(document, path, change);
    settle(document, &format!("io.k8s.api.resource.{name}"));
}

/// v1 to v1beta1.
fn flatten(request: &mut Map<String, Value>) {
    spread(request, "exactly");
}

/// v1beta1 to v1: what belongs to one exact request, which one without a class is not.
fn nest(request: &mut Map<String, Value>) {
    let exact = request.iter().any(|(name, value)| {
        !["name", "firstAvailable", "deviceClassName"].contains(&name.as_str()) && !value.is_null()
    }) || request.get("deviceClassName").and_then(Value::as_str).is_some_and(|class| !class.is_empty());
    if exact {
        gather(request, &["name", "firstAvailable"], "exactly");
    } else {
        request.remove("deviceClassName");
    }
}

/// Moves the fields of the map `name` up into its parent.
fn spread(fields: &mut Map<String, Value>, name: &str) {
    if let Some(Value::Object(inner)) = fields.remove(name) {
        for (name, value) in inner {
            fields.entry(name).or_insert(value);
        }
    }
}

/// Moves every field but those of `stay` down into a new map `name`.
fn gather(fields: &mut Map<String, Value>, stay: &[&str], name: &str) {
    let (stay, inner) = std::mem::take(fields).into_iter().partition(|(field, _)| stay.contains(&field.as_str()));
    *fields = stay;
    fields.insert(name.to_owned(), Value::Object(inner));
}

fn each(document: &mut Value, path: &[&str], change: impl Fn(&mut Map<String, Value>)) {
    if document.at(path).is_array()
        && let Some(items) = document.at_mut(path).as_array_mut()
    {
        items.iter_mut().filter_map(Value::as_object_mut).for_each(change);
    }
}
