//! What no schema can say about one kind: defaults that depend on other fields, cross-field rules, immutable fields.
//!
//! The engine (shards) does what all kinds share: metadata, generation, dropping or keeping status. A strategy is asked in
//! this order: decode -> `default` -> `prepare_*` -> `validate*`.

use std::fmt;

use crate::document::Value;
use crate::status::Causes;

/// One kind's rules. Documents are canonical and in the stored version.
pub trait Strategy: Send + Sync {
    /// Fills in defaults. Must be idempotent.
    fn default(&self, _object: &mut Value) {}

    /// Last changes before a create: what clients may not set is cleared, what is always there is set.
    fn prepare_create(&self, _object: &mut Value) {}

    /// Last changes before an update of the main resource. Status was already taken from `old`.
    fn prepare_update(&self, _object: &mut Value, _old: &Value) {}

    /// Last changes before an update of `status`. Everything else was already taken from `old`.
    fn prepare_status(&self, _object: &mut Value, _old: &Value) {}

    /// Complaints about a new object, metadata excepted (the engine checks that).
    fn validate(&self, _object: &Value, _causes: &mut Causes) {}

    /// Complaints about a change. [`Strategy::validate`] is asked as well, by the engine.
    fn validate_update(&self, _object: &Value, _old: &Value, _causes: &mut Causes) {}

    /// Complaints about a change of `status`.
    fn validate_status(&self, _object: &Value, _old: &Value, _causes: &mut Causes) {}

    /// The form of metadata.name: complaints about it, one sentence each.
    fn validate_name(&self, _name: &str) -> Vec<String> {
        Vec::new()
    }

    /// Seconds of grace that a deletion starts with, given what the client asked for; `None` deletes at once.
    fn grace(&self, _object: &Value, _asked: Option<i64>) -> Option<i64> {
        None
    }

    /// Paths of spec.replicas, status.replicas and the selector for the `scale` subresource.
    fn scale(&self) -> Option<ScalePaths> {
        None
    }
}

impl fmt::Debug for dyn Strategy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Strategy")
    }
}

/// Where a kind keeps what autoscaling/v1 Scale shows.
#[derive(Clone, Copy, Debug)]
pub struct ScalePaths {
    /// `spec.replicas`
    pub replicas: &'static [&'static str],
    /// `status.replicas`
    pub status: &'static [&'static str],
    /// The label selector: a metav1.LabelSelector or a map of labels.
    pub selector: &'static [&'static str],
}

/// A kind about which the schema says everything.
struct Plain;

impl Strategy for Plain {}

/// The strategy of a stored kind.
pub fn of(_group: &str, _kind: &str) -> &'static dyn Strategy {
    &Plain
}
