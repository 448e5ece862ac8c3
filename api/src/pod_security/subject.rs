//! What is looked at, and the words that many checks share.

use std::collections::BTreeSet;

use crate::document::{Document, Value};

/// A Pod, or the template of one.
pub(super) struct Subject<'a> {
    pub(super) annotations: &'a Value,
    pub(super) spec: &'a Value,
}

impl<'a> Subject<'a> {
    /// Every container, in the order in which they are complained about.
    pub(super) fn containers(&self) -> impl Iterator<Item = &'a Value> + use<'a> {
        let spec = self.spec;
        ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(move |list| spec.list(&[list]))
    }

    /// The names of those containers that something is wrong with.
    pub(super) fn containers_that(&self, mut is_wrong: impl FnMut(&'a Value) -> bool) -> Containers<'a> {
        Containers(self.containers().filter(|container| is_wrong(container)).map(|it| it.text(&["name"])).collect())
    }

    /// Something of the Pod's own securityContext.
    pub(super) fn security(&self, path: &[&str]) -> &'a Value {
        security(self.spec, path)
    }

    /// Whether its root is nobody on the node.
    pub(super) fn has_users_of_its_own(&self) -> bool {
        self.spec.at(&["hostUsers"]) == &Value::Bool(false)
    }

    pub(super) fn is_windows(&self) -> bool {
        self.spec.text(&["os", "name"]) == "windows"
    }
}

/// Something of the securityContext of a Pod's spec or a container.
pub(super) fn security<'a>(of: &'a Value, path: &[&str]) -> &'a Value {
    of.at(&["securityContext"]).at(path)
}

/// Names of containers.
pub(super) struct Containers<'a>(Vec<&'a str>);

impl Containers<'_> {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// `container "a"`, or `containers "a", "b"`
    pub(super) fn said(&self) -> String {
        format!("{} {}", self.plural("container", "containers"), quoted(&self.0))
    }

    pub(super) fn plural(&self, one: &'static str, many: &'static str) -> &'static str {
        plural(self.0.len(), one, many)
    }

    /// `pod and container "a"`: whoever has set something wrong; `None` if nobody has.
    pub(super) fn or_pod(&self, pod: bool) -> Option<String> {
        match (pod, self.is_empty()) {
            (false, true) => None,
            (true, true) => Some("pod".to_owned()),
            (false, false) => Some(self.said()),
            (true, false) => Some(format!("pod and {}", self.said())),
        }
    }
}

/// `"a", "b"`
pub(super) fn quoted<T: AsRef<str>>(items: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| format!("\"{}\"", item.as_ref())).collect();
    quoted.join(", ")
}

pub(super) fn plural(count: usize, one: &'static str, many: &'static str) -> &'static str {
    if count == 1 { one } else { many }
}

/// Values that may not be, each once and in order.
pub(super) type Values<'a> = BTreeSet<&'a str>;
