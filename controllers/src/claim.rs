//! Who manages an object: adopting orphans that a selector selects, releasing what it no longer selects.

use api::Value;
use api::selector::LabelSelector;
use client::{ApiRef, Client, ClientError, Meta, OwnerReference};
use serde_json::json;
use smol_str::SmolStr;

use crate::views::Partial;

/// What to do with an object that may be ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Ours, and selected.
    Keep,
    /// Nobody's, and selected: take it.
    Adopt,
    /// Ours, and no longer selected: let it go.
    Release,
    /// None of our business.
    Ignore,
}

/// Decides about one object in the owner's namespace.
pub fn claim(owner: &Meta, selector: &LabelSelector, object: &Meta) -> Claim {
    let selected = || selector.matches_with(|key| object.labels.get(key).map(SmolStr::as_str));
    match object.controller() {
        Some(controller) if controller.uid != owner.uid => Claim::Ignore,
        Some(_) if selected() => Claim::Keep,
        Some(_) if owner.is_deleting() => Claim::Ignore,
        Some(_) => Claim::Release,
        None if owner.is_deleting() || object.is_deleting() || !selected() => Claim::Ignore,
        None => Claim::Adopt,
    }
}

/// The reference with which `owner` controls what it made.
pub fn controller_reference(api: &ApiRef, owner: &Meta) -> OwnerReference {
    OwnerReference {
        api_version: api.api_version().into(),
        kind: api.kind.into(),
        name: owner.name.clone(),
        uid: owner.uid.clone(),
        controller: Some(true),
        block_owner_deletion: Some(true),
    }
}

/// The patch by which `owner` takes an object.
pub fn adoption(api: &ApiRef, owner: &Meta, object: &Meta) -> Value {
    json!({ "metadata": { "ownerReferences": [controller_reference(api, owner)], "uid": object.uid } })
}

/// The patch by which the owners with these uids let go of an object.
pub fn release(owners: &[&str], object: &Meta) -> Value {
    let gone: Vec<Value> = owners.iter().map(|uid| json!({ "$patch": "delete", "uid": uid })).collect();
    json!({ "metadata": { "ownerReferences": gone, "uid": object.uid } })
}

/// Asks the server, not the cache, whether `owner` is still there and not on its way out: what is adopted after the
/// garbage collector has orphaned it would be deleted with it.
pub async fn may_adopt(client: &Client, api: &ApiRef, owner: &Meta) -> Result<bool, ClientError> {
    match client.get::<Partial>(api, &owner.namespace, &owner.name).await {
        Ok(fresh) => Ok(fresh.metadata.uid == owner.uid && !fresh.metadata.is_deleting()),
        Err(error) if error.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(value: Value) -> Meta {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn only_what_is_selected_and_free_is_adopted() {
        let selector = LabelSelector::from_value(&json!({ "matchLabels": { "app": "web" } })).unwrap();
        let owner = meta(json!({ "name": "web", "uid": "1" }));
        let dying = meta(json!({ "name": "web", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z" }));
        let object = |labels: Value, controller: &str| {
            let mut object = json!({ "name": "p", "uid": "9", "labels": labels });
            if !controller.is_empty() {
                object["ownerReferences"] = json!([{ "uid": controller, "controller": true }]);
            }
            meta(object)
        };
        let (yes, no) = (json!({ "app": "web", "x": "y" }), json!({ "app": "db" }));
        let decide = |owner: &Meta, object: Meta| claim(owner, &selector, &object);
        assert_eq!(decide(&owner, object(yes.clone(), "1")), Claim::Keep);
        assert_eq!(decide(&owner, object(no.clone(), "1")), Claim::Release);
        assert_eq!(decide(&owner, object(yes.clone(), "2")), Claim::Ignore);
        assert_eq!(decide(&owner, object(yes.clone(), "")), Claim::Adopt);
        assert_eq!(decide(&owner, object(no.clone(), "")), Claim::Ignore);
        assert_eq!(decide(&dying, object(yes.clone(), "")), Claim::Ignore);
        assert_eq!(decide(&dying, object(yes, "1")), Claim::Keep);
        assert_eq!(decide(&dying, object(no, "1")), Claim::Ignore);
    }
}
