//! Rules as a table: what is allowed with a resource (and a name) is one look-up.

use std::hash::{Hash, Hasher};

use hashbrown::{Equivalent, HashMap};
use smallvec::SmallVec;
use smol_str::SmolStr;

use super::verbs::Verbs;
use super::{Action, Rule};

/// What a set of rules allows. See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compiled {
    resources: HashMap<Key, SmallVec<[(SmolStr, Verbs); 1]>>,
    /// With `*` at the end: everything that begins so.
    urls: Vec<(SmolStr, Verbs)>,
}

/// `resource[/subresource]`, and one name or (empty) all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    resource: SmolStr,
    subresource: SmolStr,
    name: SmolStr,
}

struct KeyRef<'a>(&'a str, &'a str, &'a str);

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        self.1.hash(state);
        self.2.hash(state);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.0 == key.resource && self.1 == key.subresource && self.2 == key.name
    }
}

impl Compiled {
    /// The table of those rules.
    pub fn new<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Self {
        let mut compiled = Self::default();
        for rule in rules {
            compiled.add(rule);
        }
        compiled
    }

    fn add(&mut self, rule: &Rule) {
        let mut verbs = Verbs::default();
        rule.verbs.iter().for_each(|verb| verbs.add(verb));
        for url in &rule.urls {
            self.unite_url(url, &verbs);
        }
        let everything = [SmolStr::default()];
        let names = if rule.names.is_empty() { &everything[..] } else { &rule.names };
        // An empty name among the names is nobody's: as a key it would stand for all.
        let names = names.iter().filter(|name| rule.names.is_empty() || !name.is_empty());
        for (whole, name) in rule.resources.iter().flat_map(|whole| names.clone().map(move |name| (whole, name))) {
            let (resource, subresource) = whole.split_once('/').unwrap_or((whole, ""));
            let key = Key { resource: resource.into(), subresource: subresource.into(), name: name.clone() };
            for group in &rule.groups {
                unite(self.resources.entry(key.clone()).or_default(), group, &verbs);
            }
        }
    }

    /// Takes in what others allow.
    pub(super) fn merge(&mut self, other: &Self) {
        for (key, groups) in &other.resources {
            let own = self.resources.entry(key.clone()).or_default();
            groups.iter().for_each(|(group, verbs)| unite(own, group, verbs));
        }
        other.urls.iter().for_each(|(url, verbs)| self.unite_url(url, verbs));
    }

    fn unite_url(&mut self, url: &SmolStr, verbs: &Verbs) {
        match self.urls.iter_mut().find(|(own, _)| own == url) {
            Some((_, own)) => own.unite(verbs),
            None => self.urls.push((url.clone(), verbs.clone())),
        }
    }

    /// Whether some rule allows it.
    pub fn allows(&self, action: &Action<'_>) -> bool {
        if !action.is_resource() {
            return self.urls.iter().any(|(url, verbs)| matches(url, action.path) && verbs.contains(action.verb));
        }
        let (resource, subresource) = (action.resource, action.subresource);
        let by_resource = |resource, subresource| {
            self.by_key(KeyRef(resource, subresource, ""), action)
                || !action.name.is_empty() && self.by_key(KeyRef(resource, subresource, action.name), action)
        };
        // `*` holds for subresources, too.
        by_resource(resource, subresource)
            || !subresource.is_empty() && resource != "*" && by_resource("*", subresource)
            || (resource, subresource) != ("*", "") && by_resource("*", "")
    }

    fn by_key(&self, key: KeyRef<'_>, action: &Action<'_>) -> bool {
        self.resources.get(&key).is_some_and(|groups| {
            groups.iter().any(|(group, verbs)| (group == action.group || group == "*") && verbs.contains(action.verb))
        })
    }
}

fn unite(groups: &mut SmallVec<[(SmolStr, Verbs); 1]>, group: &SmolStr, verbs: &Verbs) {
    match groups.iter_mut().find(|(own, _)| own == group) {
        Some((_, own)) => own.unite(verbs),
        None => groups.push((group.clone(), verbs.clone())),
    }
}

/// `pattern` may end in `*`. A pattern asked for (as who grants it does) must be written just so, or fall under a wider one.
fn matches(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}
