//! Scopes: which objects a quota is about.

use crate::document::{Document, Value};

/// One scope of a quota.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    pub(super) name: String,
    pub(super) test: Test,
}

/// What is asked of the value that an object has in a scope. (Scopes that have no values are always asked whether the object
/// exists in them.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Test {
    Exists,
    DoesNotExist,
    In(Vec<String>),
    NotIn(Vec<String>),
}

impl Test {
    /// Whether it holds for an object that has these values.
    pub(super) fn holds<'v>(&self, mut values: impl Iterator<Item = &'v str>) -> bool {
        match self {
            Self::Exists => values.next().is_some(),
            Self::DoesNotExist => values.next().is_none(),
            Self::In(wanted) => values.any(|value| wanted.iter().any(|wanted| wanted == value)),
            // One of several is enough, and none at all.
            Self::NotIn(unwanted) => {
                let Some(first) = values.next() else { return true };
                let is_other = |value: &str| unwanted.iter().all(|unwanted| unwanted != value);
                is_other(first) || values.any(is_other)
            }
        }
    }
}

/// The scopes of a quota's spec.
pub(super) fn of(spec: &Value) -> Vec<Scope> {
    let plain = spec.list(&["scopes"]).iter().filter_map(Value::as_str);
    let plain = plain.map(|name| Scope { name: name.to_owned(), test: Test::Exists });
    let selected = spec.list(&["scopeSelector", "matchExpressions"]).iter().map(|expression| {
        let values = expression.list(&["values"]).iter().filter_map(Value::as_str).map(str::to_owned).collect();
        let test = match expression.text(&["operator"]) {
            "In" => Test::In(values),
            "NotIn" => Test::NotIn(values),
            "DoesNotExist" => Test::DoesNotExist,
            _ => Test::Exists,
        };
        Scope { name: expression.text(&["scopeName"]).to_owned(), test }
    });
    plain.chain(selected).collect()
}
