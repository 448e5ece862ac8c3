//! One rule of a role, as it is written.

use smol_str::SmolStr;

use super::{Action, Compiled};
use crate::document::{Document, Value};

/// A PolicyRule. Empty `names` are all names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rule {
    /// `*` is all.
    pub verbs: Vec<SmolStr>,
    /// `*` is all, empty text the core group.
    pub groups: Vec<SmolStr>,
    /// `resource`, `resource/subresource`, `*/subresource` or `*`.
    pub resources: Vec<SmolStr>,
    /// The objects that it is restricted to.
    pub names: Vec<SmolStr>,
    /// Paths that are no resources; `*` at the end stands for any rest.
    pub urls: Vec<SmolStr>,
}

impl Rule {
    /// Reads a PolicyRule.
    pub fn read(rule: &Value) -> Self {
        let texts = |key| rule.list(&[key]).iter().filter_map(Value::as_str).map(SmolStr::from).collect();
        Self {
            verbs: texts("verbs"),
            groups: texts("apiGroups"),
            resources: texts("resources"),
            names: texts("resourceNames"),
            urls: texts("nonResourceURLs"),
        }
    }

    /// The rules with one verb, group, resource and name each (or verb and path) that together say the same.
    fn atoms(&self) -> impl Iterator<Item = Action<'_>> {
        let of_resources = self.groups.iter().flat_map(move |group| {
            self.resources.iter().flat_map(move |whole| {
                let (resource, subresource) = whole.split_once('/').unwrap_or((whole, ""));
                let named = self.names.iter().map(SmolStr::as_str).filter(|name| !name.is_empty());
                let names = named.chain(self.names.is_empty().then_some(""));
                names.flat_map(move |name| {
                    let action = Action { group, resource, subresource, name, ..Action::default() };
                    self.verbs.iter().map(move |verb| Action { verb, ..action })
                })
            })
        });
        let of_paths = self
            .urls
            .iter()
            .flat_map(move |path| self.verbs.iter().map(move |verb| Action { verb, path, ..Action::default() }));
        of_resources.chain(of_paths)
    }
}

/// The rules of a Role or ClusterRole.
pub fn rules_of(role: &Value) -> Vec<Rule> {
    role.list(&["rules"]).iter().map(Rule::read).collect()
}

/// The rules among `wanted` that `held` does not cover: nobody may give what they do not have (escalation). Wildcards are
/// covered by wildcards alone.
pub fn covered<'r>(held: &[&Compiled], wanted: &'r [Rule]) -> Vec<&'r Rule> {
    let is_held = |action: &Action<'_>| held.iter().any(|rules| rules.allows(action));
    wanted.iter().filter(|rule| !rule.atoms().all(|action| is_held(&action))).collect()
}
