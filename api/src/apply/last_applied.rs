//! kubectl's annotation of client-side apply: who goes over to server-side apply has no conflicts over what stands in it,
//! and it is kept up to date for who goes back.

use super::compare::compare;
use super::conflict::Conflict;
use super::field_set::field_set;
use super::place::Place;
use super::set::Set;
use super::track::Tracking;
use super::validate::validate;
use crate::document::{Document, Value};
use crate::names;

/// The manager for which the annotation counts.
pub(super) const KUBECTL: &str = "kubectl";

const ANNOTATION: [&str; 3] = ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];

/// The conflicts over fields that were not applied from the client, or have changed since.
pub(super) fn not_its_own(
    tracking: &Tracking<'_>,
    place: Place<'_>,
    live: &Value,
    conflicts: Vec<Conflict>,
) -> Vec<Conflict> {
    let Some(own) = applied_and_unchanged(tracking, place, live) else { return conflicts };
    let left = conflicts.into_iter().map(|conflict| Conflict { fields: conflict.fields.difference(&own), ..conflict });
    left.filter(|conflict| !conflict.fields.is_empty()).collect()
}

fn applied_and_unchanged(tracking: &Tracking<'_>, place: Place<'_>, live: &Value) -> Option<Set> {
    let applied: Value = serde_json::from_str(live.text(&ANNOTATION)).ok()?;
    if applied.text(&["apiVersion"]) != tracking.version || validate(place, &applied).is_err() {
        return None;
    }
    let change = compare(place, &applied, live);
    let fields = field_set(place, &applied);
    Some(fields.difference(&change.modified).difference(&change.added).difference(&change.removed))
}

/// Writes what was applied into the annotation, where there is one.
pub(super) fn renew(tracking: &Tracking<'_>, document: &mut Value, config: &Value) {
    if tracking.manager != KUBECTL || document.text(&ANNOTATION).is_empty() {
        return;
    }
    let mut config = config.clone();
    config.remove(&ANNOTATION);
    let text = format!("{config}\n");
    let annotations = document.at(&["metadata", "annotations"]).as_object().into_iter().flatten();
    let others = annotations.filter(|(key, _)| *key != ANNOTATION[2]);
    let size: usize = others.map(|(key, value)| key.len() + value.as_str().map_or(0, str::len)).sum();
    if size + ANNOTATION[2].len() + text.len() > names::MAX_ANNOTATIONS {
        document.remove(&ANNOTATION);
    } else {
        document.set(&ANNOTATION, text);
    }
}
