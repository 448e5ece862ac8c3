//! Where objects are: cluster, resource, and a namespace or (empty) all of them.

use crate::history::{Key, Scope};

pub(super) type Place<'a> = (&'a str, &'a str, &'a str);

/// The place of a list or watch.
pub(super) fn of_scope(scope: &Scope) -> Place<'_> {
    (&scope.cluster, &scope.resource, &scope.namespace)
}

/// The places that hold an object: all, and its namespace.
pub(super) fn of_key(key: &Key) -> impl Iterator<Item = Place<'_>> {
    let within = (!key.namespace.is_empty()).then_some(key.namespace.as_str());
    [Some(""), within].into_iter().flatten().map(|namespace| (&*key.cluster, &*key.resource, namespace))
}
