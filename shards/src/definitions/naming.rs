//! Which names a definition gets: those that no other of its group has, or asked for before.

use std::collections::BTreeSet;

use api::Value;
use api::document::Document;

/// One condition's news.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Verdict {
    pub(super) is_accepted: bool,
    pub(super) reason: &'static str,
    pub(super) message: String,
}

/// The names that a definition has, given the others of its group, and what to say about it.
pub(super) fn accept(definition: &Value, others: &[Value]) -> (Value, Verdict) {
    let asked = definition.at(&["spec", "names"]);
    let has = definition.at(&["status", "acceptedNames"]);
    let order = order(definition);
    // What is asked for by one that came later is free, and so is what was refused to another.
    let waits = |other: &&Value| self::order(other) < order && !is_judged(other);
    let first = others.iter().filter(waits).map(|other| other.at(&["spec", "names"]));
    let taken = others.iter().map(|other| other.at(&["status", "acceptedNames"])).chain(first);
    let (mut resources, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for names in taken {
        resources.extend([names.text(&["plural"]), names.text(&["singular"])]);
        resources.extend(names.list(&["shortNames"]).iter().filter_map(Value::as_str));
        kinds.extend([names.text(&["kind"]), names.text(&["listKind"])]);
    }
    let mut names = has.clone();
    if !names.is_object() {
        names = serde_json::json!({});
    }
    let mut refusals = Vec::new();
    let in_use = |name: &str| format!("{name:?} is already in use");
    for (field, taken, reason) in [
        ("plural", &resources, "PluralConflict"),
        ("singular", &resources, "SingularConflict"),
        ("kind", &kinds, "KindConflict"),
        ("listKind", &kinds, "ListKindConflict"),
    ] {
        let wanted = asked.text(&[field]);
        if wanted != has.text(&[field]) && taken.contains(wanted) {
            refusals.push((reason, in_use(wanted)));
        } else {
            copy(&mut names, asked, field);
        }
    }
    let mine: Vec<&str> = has.list(&["shortNames"]).iter().filter_map(Value::as_str).collect();
    let short = asked.list(&["shortNames"]).iter().filter_map(Value::as_str);
    let refused: Vec<String> =
        short.filter(|name| !mine.contains(name) && resources.contains(name)).map(in_use).collect();
    match refused.as_slice() {
        [] => copy(&mut names, asked, "shortNames"),
        [one] => refusals.push(("ShortNamesConflict", one.clone())),
        more => refusals.push(("ShortNamesConflict", format!("[{}]", more.join(", ")))),
    }
    copy(&mut names, asked, "categories");
    let verdict = match refusals.pop() {
        Some((reason, message)) => Verdict { is_accepted: false, reason, message },
        None => Verdict { is_accepted: true, reason: "NoConflicts", message: "no conflicts found".to_owned() },
    };
    (names, verdict)
}

/// Whether it was said which of its names a definition has.
fn is_judged(definition: &Value) -> bool {
    definition.list(&["status", "conditions"]).iter().any(|condition| condition.text(&["type"]) == "NamesAccepted")
}

/// Who comes first: by the second of their creation, then by their names.
fn order(definition: &Value) -> (&str, &str) {
    (definition.text(&["metadata", "creationTimestamp"]), definition.name())
}

fn copy(to: &mut Value, from: &Value, field: &str) {
    match from.at(&[field]) {
        Value::Null => drop(to.remove(&[field])),
        value => to.set(&[field], value.clone()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn definition(name: &str, at: &str, names: Value, accepted: Value) -> Value {
        json!({
            "metadata": {"name": name, "creationTimestamp": at}, "spec": {"names": names},
            "status": {"acceptedNames": accepted},
        })
    }

    #[test]
    fn names_are_given_once_and_to_the_first() {
        let wanted = json!({"plural": "a", "singular": "x", "kind": "K", "listKind": "KList", "shortNames": ["s"]});
        let mine = definition("a.g.example", "2026-01-02T00:00:00Z", wanted.clone(), json!({}));
        let (names, verdict) = accept(&mine, &[]);
        assert_eq!((names, verdict.is_accepted), (wanted.clone(), true));

        let has = json!({"plural": "b", "singular": "x", "kind": "K", "shortNames": ["s"]});
        let other = definition("b.g.example", "2026-01-03T00:00:00Z", has.clone(), has.clone());
        let (names, verdict) = accept(&mine, &[other]);
        assert_eq!(names, json!({"plural": "a", "listKind": "KList"}));
        assert_eq!((verdict.is_accepted, verdict.reason), (false, "ShortNamesConflict"));
        assert_eq!(verdict.message, "\"s\" is already in use");

        // Nobody has the names yet: who came first gets them, the other does not.
        let later = definition("b.g.example", "2026-01-03T00:00:00Z", has.clone(), json!({}));
        assert!(accept(&mine, std::slice::from_ref(&later)).1.is_accepted);
        assert!(!accept(&later, std::slice::from_ref(&mine)).1.is_accepted);

        // What it has it keeps.
        let settled = definition("a.g.example", "2026-01-04T00:00:00Z", wanted.clone(), wanted.clone());
        assert!(accept(&settled, &[later]).1.is_accepted);
    }
}
