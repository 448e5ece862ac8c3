//! Priority: a Pod's priority is the number of its PriorityClass, and at most one class is everybody's default.

use api::document::Document;
use api::{Status, Value};

use super::{Attributes, Operation};
use crate::follow::Kind;

pub(super) fn admit(attributes: &mut Attributes<'_, '_, '_>, document: &mut Value) -> Result<(), Status> {
    match (attributes.call.resource.id_name.as_str(), attributes.operation) {
        (_, Operation::Delete) => Ok(()),
        ("pods", Operation::Create) => admit_pod(attributes, document),
        ("pods", Operation::Update) => {
            // What was computed stays, where a client leaves it out.
            for field in ["priority", "preemptionPolicy"] {
                let before = attributes.old.map_or(&Value::Null, |old| old.at(&["spec", field]));
                if !before.is_null() {
                    document.set_default(&["spec", field], before.clone());
                }
            }
            Ok(())
        }
        ("priorityclasses.scheduling.k8s.io", _) => admit_class(attributes, document),
        _ => Ok(()),
    }
}

fn admit_pod(attributes: &Attributes<'_, '_, '_>, pod: &mut Value) -> Result<(), Status> {
    let call = attributes.call;
    let named = pod.text(&["spec", "priorityClassName"]).to_owned();
    let (name, priority, policy) = if named.is_empty() {
        match default_class(attributes) {
            Some(class) => (class.name().to_owned(), value_of(&class), policy_of(&class)),
            None => (String::new(), 0, Some("PreemptLowerPriority".to_owned())),
        }
    } else {
        let followed = call.shard.followed.get(call, Kind::PriorityClasses, &named);
        let class = followed.or_else(|| attributes.looked_up.priority_class.clone());
        let Some(class) = class else {
            return Err(call.forbidden(&format!("no PriorityClass with name {named} was found")));
        };
        let class = class.document();
        (named, value_of(&class), policy_of(&class))
    };
    if !name.is_empty() {
        pod.set(&["spec", "priorityClassName"], name);
    }
    if let Some(given) = pod.int(&["spec", "priority"]).filter(|given| *given != priority) {
        return Err(call.forbidden(&format!(
            "the integer value of priority ({given}) must not be provided in pod spec; priority admission controller \
             computed {priority} from the given PriorityClass name"
        )));
    }
    pod.set(&["spec", "priority"], priority);
    let Some(policy) = policy else { return Ok(()) };
    let given = pod.text(&["spec", "preemptionPolicy"]);
    if !given.is_empty() && given != policy {
        return Err(call.forbidden(&format!(
            "the string value of PreemptionPolicy ({given}) must not be provided in pod spec; priority admission \
             controller computed {policy} from the given PriorityClass name"
        )));
    }
    pod.set(&["spec", "preemptionPolicy"], policy);
    Ok(())
}

fn value_of(class: &Value) -> i64 {
    class.int(&["value"]).unwrap_or(0)
}

fn policy_of(class: &Value) -> Option<String> {
    class.at(&["preemptionPolicy"]).as_str().map(str::to_owned)
}

/// The class that is marked as everybody's default; of several, made at once, the lowest.
fn default_class(attributes: &Attributes<'_, '_, '_>) -> Option<Value> {
    let call = attributes.call;
    let classes = call.shard.followed.all(call, Kind::PriorityClasses);
    let documents = classes.iter().map(|class| class.document());
    documents.filter(|class| class.at(&["globalDefault"]) == &Value::Bool(true)).min_by_key(value_of)
}

fn admit_class(attributes: &Attributes<'_, '_, '_>, class: &Value) -> Result<(), Status> {
    if class.at(&["globalDefault"]) != &Value::Bool(true) {
        return Ok(());
    }
    match default_class(attributes) {
        Some(default) if attributes.operation == Operation::Create || default.name() != class.name() => {
            let why =
                format!("PriorityClass {} is already marked as default. Only one default can exist", default.name());
            Err(attributes.call.forbidden(&why))
        }
        _ => Ok(()),
    }
}
