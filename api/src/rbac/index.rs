//! Who holds which roles where.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use smol_str::SmolStr;

use super::subjects::{Subject, SubjectRef};
use super::{Action, Compiled, Rule, Who, rules_of};
use crate::document::{Document, Value};

/// Namespace (empty for cluster-wide) and name.
type Place = (SmolStr, SmolStr);

/// Somebody with more roles than this in one place has one table of them all.
const FEW: usize = 8;

/// Roles and bindings of one cluster, by subject. See the module.
#[derive(Debug, Default)]
pub struct Index {
    roles: Vec<Role>,
    role_at: HashMap<Place, usize>,
    bindings: HashMap<Place, Binding>,
    holders: HashMap<Subject, HashMap<SmolStr, Scope>>,
    /// The scopes with more than [`FEW`] roles.
    heavy: HashSet<(Subject, SmolStr)>,
    stale: Stale,
}

/// What tables have to be made anew for.
#[derive(Debug, Default)]
struct Stale {
    roles: bool,
    scopes: HashSet<(Subject, SmolStr)>,
}

/// A role that exists, or that a binding names.
#[derive(Debug)]
struct Role {
    place: Place,
    rules: Option<Arc<[Rule]>>,
    compiled: Compiled,
}

#[derive(Debug, PartialEq, Eq)]
struct Binding {
    role: usize,
    subjects: Vec<Subject>,
}

/// What one subject holds in one namespace, or (empty) everywhere.
#[derive(Debug, Default)]
struct Scope {
    held: Vec<Held>,
    merged: Option<Compiled>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    role: usize,
    /// The binding's name.
    by: SmolStr,
}

/// A role that somebody holds.
#[derive(Clone, Debug)]
pub struct Grant<'i> {
    /// Where the binding is; empty for a ClusterRoleBinding.
    pub namespace: &'i str,
    /// The binding.
    pub binding: &'i str,
    /// Where the role is; empty for a ClusterRole.
    pub role_namespace: &'i str,
    /// The role.
    pub role: &'i str,
    /// The user or group that it is bound to.
    pub subject: String,
    /// What it allows; `None` where the role does not exist.
    pub rules: Option<&'i Arc<[Rule]>>,
    /// The same as a table.
    pub compiled: &'i Compiled,
}

impl Grant<'_> {
    /// The reference's words for who allowed it.
    pub fn reason(&self) -> String {
        let Self { binding, namespace, role, subject, .. } = self;
        let kind = if self.role_namespace.is_empty() { "ClusterRole" } else { "Role" };
        match namespace.is_empty() {
            true => format!("RBAC: allowed by ClusterRoleBinding {binding:?} of {kind} {role:?} to {subject}"),
            false => format!("RBAC: allowed by RoleBinding \"{binding}/{namespace}\" of {kind} {role:?} to {subject}"),
        }
    }
}

/// A role or binding that came, changed or (`None`) went.
#[derive(Clone, Copy, Debug)]
pub enum Change<'a> {
    /// A Role or (without a namespace) a ClusterRole: its place and its document.
    Role(&'a str, &'a str, Option<&'a Value>),
    /// A RoleBinding or ClusterRoleBinding.
    Binding(&'a str, &'a str, Option<&'a Value>),
}

impl Index {
    /// Takes changes in, all before it is asked again.
    pub fn apply<'a>(&mut self, changes: impl IntoIterator<Item = Change<'a>>) {
        for change in changes {
            match change {
                Change::Role(namespace, name, role) => self.set_role((namespace.into(), name.into()), role),
                Change::Binding(namespace, name, binding) => self.bind((namespace.into(), name.into()), binding),
            }
        }
        self.settle();
    }

    /// Whether some role that they hold allows it.
    pub fn allows(&self, who: Who<'_>, action: &Action<'_>) -> bool {
        self.scopes(who, action.namespace).any(|(.., scope)| match &scope.merged {
            Some(merged) => merged.allows(action),
            None => scope.held.iter().any(|held| self.roles[held.role].compiled.allows(action)),
        })
    }

    /// What they hold in a namespace and everywhere, the latter first.
    pub fn grants<'i>(&'i self, who: Who<'i>, namespace: &'i str) -> impl Iterator<Item = Grant<'i>> {
        self.scopes(who, namespace).flat_map(move |(subject, namespace, scope)| {
            scope.held.iter().map(move |held| {
                let Role { place, rules, compiled } = &self.roles[held.role];
                Grant {
                    namespace,
                    binding: &held.by,
                    role_namespace: &place.0,
                    role: &place.1,
                    subject: subject.describe(),
                    rules: rules.as_ref(),
                    compiled,
                }
            })
        })
    }

    /// The rules of a role, if it is there.
    pub fn rules(&self, namespace: &str, name: &str) -> Option<&Arc<[Rule]>> {
        let at = self.role_at.get(&(namespace.into(), name.into()))?;
        self.roles[*at].rules.as_ref()
    }

    fn scopes<'i>(
        &'i self,
        who: Who<'i>,
        namespace: &'i str,
    ) -> impl Iterator<Item = (SubjectRef<'i>, &'i str, &'i Scope)> {
        let user = std::iter::once(SubjectRef::User(who.name));
        let subjects = move || user.clone().chain(who.groups.iter().map(|group| SubjectRef::Group(group)));
        let everywhere = std::iter::once("");
        let places = everywhere.chain((!namespace.is_empty()).then_some(namespace));
        places.flat_map(move |place| {
            subjects().filter_map(move |subject| {
                let scope = self.holders.get(&subject)?.get(place)?;
                Some((subject, place, scope))
            })
        })
    }

    fn set_role(&mut self, place: Place, role: Option<&Value>) {
        let at = self.role_slot(place);
        let rules: Option<Arc<[Rule]>> = role.map(|role| rules_of(role).into());
        if self.roles[at].rules != rules {
            self.roles[at].compiled = Compiled::new(rules.iter().flat_map(|rules| rules.iter()));
            self.roles[at].rules = rules;
            self.stale.roles = true;
        }
    }

    /// Slots of roles that are gone stay: names come back, and bindings may name them.
    fn role_slot(&mut self, place: Place) -> usize {
        *self.role_at.entry(place).or_insert_with_key(|place| {
            self.roles.push(Role { place: place.clone(), rules: None, compiled: Compiled::default() });
            self.roles.len() - 1
        })
    }

    fn bind(&mut self, place: Place, binding: Option<&Value>) {
        let new = binding.map(|binding| {
            let reference = binding.at(&["roleRef"]);
            let is_role = reference.text(&["kind"]) == "Role";
            let role_namespace = if is_role { place.0.clone() } else { SmolStr::default() };
            let role = self.role_slot((role_namespace, reference.text(&["name"]).into()));
            let subjects = binding.list(&["subjects"]).iter();
            Binding { role, subjects: subjects.filter_map(|subject| Subject::read(subject, &place.0)).collect() }
        });
        if self.bindings.get(&place) == new.as_ref() {
            return;
        }
        if let Some(old) = self.bindings.remove(&place) {
            self.drop_binding(&place, old);
        }
        if let Some(new) = new {
            for subject in &new.subjects {
                let scope = self.holders.entry(subject.clone()).or_default().entry(place.0.clone()).or_default();
                scope.held.push(Held { role: new.role, by: place.1.clone() });
                self.stale.scopes.insert((subject.clone(), place.0.clone()));
            }
            self.bindings.insert(place, new);
        }
    }

    fn drop_binding(&mut self, place: &Place, old: Binding) {
        for subject in old.subjects {
            let Some(scopes) = self.holders.get_mut(&subject) else { continue };
            if let Some(scope) = scopes.get_mut(&place.0) {
                scope.held.retain(|held| held.by != place.1);
                if scope.held.is_empty() {
                    scopes.remove(&place.0);
                }
            }
            if scopes.is_empty() {
                self.holders.remove(&subject);
            }
            self.stale.scopes.insert((subject, place.0.clone()));
        }
    }

    /// Makes the tables of those with many roles anew where something has changed.
    fn settle(&mut self) {
        let Stale { roles, scopes } = std::mem::take(&mut self.stale);
        let heavy = if roles { self.heavy.clone() } else { HashSet::default() };
        for (subject, namespace) in scopes.into_iter().chain(heavy) {
            let scope = self.holders.get_mut(&subject).and_then(|scopes| scopes.get_mut(&namespace));
            let Some(scope) = scope.filter(|scope| scope.held.len() > FEW) else {
                self.holders.get_mut(&subject).and_then(|scopes| scopes.get_mut(&namespace)?.merged.take());
                self.heavy.remove(&(subject, namespace));
                continue;
            };
            let mut held: Vec<usize> = scope.held.iter().map(|held| held.role).collect();
            held.sort_unstable();
            held.dedup();
            let mut merged = Compiled::default();
            held.iter().for_each(|at| merged.merge(&self.roles[*at].compiled));
            scope.merged = Some(merged);
            self.heavy.insert((subject, namespace));
        }
    }
}
