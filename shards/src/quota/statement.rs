//! What a ResourceQuota says about itself: `status.hard` and `status.used`, written by the owner of its namespace.

use api::apply::{Sent, Tracking};
use api::document::Document;
use api::object::Draft;
use api::resource::Resource;
use api::{Object, Value};
use serde_json::{Map, json};

use super::ledger::Ledger;
use crate::verbs::managed_fields;

/// Whose fields they are, as where the reference's admission writes them.
const MANAGER: &str = "kube-apiserver";

/// A quota as it is written but for its status, so that a new one costs little while others wait.
#[derive(Debug)]
pub(crate) struct Form {
    draft: Draft,
    /// The status that it has.
    said: Vec<u8>,
}

/// The status of a quota, encoded: keys in order.
pub(crate) fn status(ledger: &Ledger, quota: usize) -> Vec<u8> {
    let mut status = Map::new();
    let hard = ledger.rules.quotas[quota].hard.iter();
    let hard: Map<String, Value> = hard.map(|(name, amount)| (name.to_string(), json!(amount.to_string()))).collect();
    let used = ledger.used(quota).map(|(name, amount)| (name.to_string(), json!(amount.to_string())));
    let used: Map<String, Value> = used.collect();
    for (key, list) in [("hard", hard), ("used", used)] {
        if !list.is_empty() {
            status.insert(key.to_owned(), Value::Object(list));
        }
    }
    Value::Object(status).to_string().into_bytes()
}

impl Form {
    /// Of a quota that somebody else has written, or that this owner has not written yet. `now` is metav1.Time.
    pub(crate) fn of(resource: &Resource, object: &Object, status: &[u8], now: &str) -> Self {
        let mut old = object.working_copy();
        let before = managed_fields::take_text(&mut old);
        let said = match old.at(&["status"]) {
            Value::Null => b"{}".to_vec(),
            said => said.to_string().into_bytes(),
        };
        let mut document = old.clone();
        document.set(&["status"], serde_json::from_slice::<Value>(status).unwrap_or_default());
        let tracking = Tracking::of(resource, &resource.served[0], "status", MANAGER, now);
        let managers = tracking.update(&before, &old, &document, Sent::Nothing);
        document.remove(&["status"]);
        managed_fields::put(&mut document, managers);
        Self { draft: Draft::new(resource, &document), said }
    }

    /// The quota with a new status; `None` where it has that already.
    pub(crate) fn restate(&mut self, status: Vec<u8>) -> Option<Draft> {
        if self.said == status {
            return None;
        }
        let draft = self.draft.with_last("status", &status);
        self.said = status;
        Some(draft)
    }
}
