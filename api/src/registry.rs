//! Which kinds there are: built-in rows, which every logical cluster has, and custom ones, which belong to one cluster.
//!
//! Custom rows come and go with CustomResourceDefinitions, while requests are under way. A kind keeps its number as long as
//! the process runs, whichever clusters define it and however often, so that a number always means the same name.
//!
//! Invariants: a built-in row is never hidden by a custom one; a definition is never replaced by an older one.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use smol_str::SmolStr;

use crate::resource::{Resource, ResourceId};
use crate::version::Version;

/// Group, version and plural name.
type Path = (SmolStr, SmolStr, SmolStr);

/// The kinds that are served, and the paths to them.
#[derive(Debug)]
pub struct Registry {
    builtin: Vec<Arc<Resource>>,
    by_path: HashMap<Path, (ResourceId, usize)>,
    by_name: HashMap<SmolStr, ResourceId>,
    custom: RwLock<Custom>,
}

/// What is not built in.
#[derive(Debug, Default)]
struct Custom {
    /// Names of custom kinds, by number from behind the built-in ones on.
    names: Vec<SmolStr>,
    numbers: HashMap<SmolStr, ResourceId>,
    clusters: HashMap<SmolStr, Arc<CustomRows>>,
}

/// The custom kinds of one cluster at one time.
#[derive(Clone, Debug, Default)]
pub struct CustomRows {
    rows: HashMap<ResourceId, Arc<Resource>>,
    by_path: HashMap<Path, (ResourceId, usize)>,
    /// Which state of its definition a kind has here, those that are gone included.
    seen: HashMap<SmolStr, Version>,
    /// Grows with each change.
    generation: u64,
}

impl CustomRows {
    /// A number that changes with the rows.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    fn index(&mut self) {
        self.by_path.clear();
        for (id, resource) in &self.rows {
            self.by_path.extend(paths(resource).map(|(path, at)| (path, (*id, at))));
        }
        self.generation += 1;
    }
}

fn paths(resource: &Resource) -> impl Iterator<Item = (Path, usize)> {
    let public = resource.served.iter().enumerate().filter(|(_, served)| served.is_public());
    public.map(|(at, served)| ((served.group.clone(), served.version.clone(), resource.plural.clone()), at))
}

impl Registry {
    /// A registry of those built-in rows. Their ids must be their positions. Versions that are not public get no path.
    pub fn new(resources: Vec<Resource>) -> Self {
        let mut by_path = HashMap::new();
        let mut by_name = HashMap::new();
        for resource in &resources {
            by_name.insert(resource.id_name.clone(), resource.id);
            by_path.extend(paths(resource).map(|(path, at)| (path, (resource.id, at))));
        }
        Self { builtin: resources.into_iter().map(Arc::new).collect(), by_path, by_name, custom: RwLock::default() }
    }

    /// The built-in resource served under a path, and which of its versions.
    pub fn resolve(&self, group: &str, version: &str, plural: &str) -> Option<(&Arc<Resource>, usize)> {
        let path = (group.into(), version.into(), plural.into());
        self.by_path.get(&path).map(|(id, served)| (self.get(*id), *served))
    }

    /// The resource that a cluster serves under a path, and which of its versions.
    pub fn resolve_in(
        &self,
        cluster: &str,
        group: &str,
        version: &str,
        plural: &str,
    ) -> Option<(Arc<Resource>, usize)> {
        if let Some((resource, served)) = self.resolve(group, version, plural) {
            return Some((resource.clone(), served));
        }
        let rows = self.custom_rows(cluster)?;
        let (id, served) = rows.by_path.get(&(group.into(), version.into(), plural.into()))?;
        Some((rows.rows[id].clone(), *served))
    }

    /// The built-in resource stored as `id_name`.
    pub fn named(&self, id_name: &str) -> Option<&Arc<Resource>> {
        self.by_name.get(id_name).map(|id| self.get(*id))
    }

    /// The resource that a cluster stores as `id_name`.
    pub fn named_in(&self, cluster: &str, id_name: &str) -> Option<Arc<Resource>> {
        match self.named(id_name) {
            Some(builtin) => Some(builtin.clone()),
            None => self.row(cluster, self.read().numbers.get(id_name).copied()?),
        }
    }

    /// The built-in row of that number.
    pub fn get(&self, id: ResourceId) -> &Arc<Resource> {
        &self.builtin[id.0 as usize]
    }

    /// The row that a kind has in a cluster; `None` for a custom one that is not defined there (any more).
    pub fn row(&self, cluster: &str, id: ResourceId) -> Option<Arc<Resource>> {
        match self.builtin.get(id.0 as usize) {
            Some(builtin) => Some(builtin.clone()),
            None => self.custom_rows(cluster)?.rows.get(&id).cloned(),
        }
    }

    /// Every built-in row.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Resource>> {
        self.builtin.iter()
    }

    /// Every row of a cluster, the custom ones behind the others and in order of their names.
    pub fn all(&self, cluster: &str) -> Vec<Arc<Resource>> {
        let mut custom = self.custom(cluster);
        custom.sort_by(|a, b| a.id_name.cmp(&b.id_name));
        self.builtin.iter().cloned().chain(custom).collect()
    }

    /// The custom rows of a cluster, in no order.
    pub fn custom(&self, cluster: &str) -> Vec<Arc<Resource>> {
        let rows = self.custom_rows(cluster);
        rows.iter().flat_map(|rows| rows.rows.values().cloned()).collect()
    }

    /// The custom rows of a cluster, if it ever had any.
    pub fn custom_rows(&self, cluster: &str) -> Option<Arc<CustomRows>> {
        self.read().clusters.get(cluster).cloned()
    }

    /// The number of a kind, which gets one if it is new.
    pub fn number(&self, id_name: &str) -> ResourceId {
        if let Some(id) = self.by_name.get(id_name).or(self.read().numbers.get(id_name)) {
            return *id;
        }
        let mut custom = self.custom.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(id) = custom.numbers.get(id_name) {
            return *id;
        }
        let id = ResourceId((self.builtin.len() + custom.names.len()) as u32);
        custom.names.push(id_name.into());
        custom.numbers.insert(id_name.into(), id);
        id
    }

    /// The name of a number that [`Registry::number`] gave out, or of a built-in row.
    pub fn id_name(&self, id: ResourceId) -> SmolStr {
        match self.builtin.get(id.0 as usize) {
            Some(builtin) => builtin.id_name.clone(),
            None => self.read().names[id.0 as usize - self.builtin.len()].clone(),
        }
    }

    /// Takes note of what a definition says at a version: the kind is `resource`, or nothing. Answers whether that was
    /// news; what is older than what is known is not, and no definition changes what is built in.
    pub fn define(&self, cluster: &str, id_name: &str, version: Version, resource: Option<Resource>) -> bool {
        let id = self.number(id_name);
        if (id.0 as usize) < self.builtin.len() {
            return false;
        }
        let mut custom = self.custom.write().unwrap_or_else(PoisonError::into_inner);
        let rows = custom.clusters.entry(cluster.into()).or_default();
        if rows.seen.get(id_name).is_some_and(|seen| *seen >= version) {
            return false;
        }
        let rows = Arc::make_mut(rows);
        rows.seen.insert(id_name.into(), version);
        match resource {
            Some(resource) => _ = rows.rows.insert(id, Arc::new(Resource { id, ..resource })),
            None => _ = rows.rows.remove(&id),
        }
        rows.index();
        true
    }

    /// Which state of each definition is known of a cluster, those that are gone included.
    pub fn seen(&self, cluster: &str) -> HashMap<SmolStr, Version> {
        self.custom_rows(cluster).map(|rows| rows.seen.clone()).unwrap_or_default()
    }

    /// Forgets a cluster that is gone.
    pub fn forget(&self, cluster: &str) {
        self.custom.write().unwrap_or_else(PoisonError::into_inner).clusters.remove(cluster);
    }

    fn read(&self) -> std::sync::RwLockReadGuard<'_, Custom> {
        // Nothing panics while it is held, and what is there is whole after each step.
        self.custom.read().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builtin::{RuntimeConfig, registry};

    /// A custom kind with one version, which is all that paths need.
    fn widgets(registry: &Registry, version: &str) -> Resource {
        let like = registry.named("configmaps").unwrap();
        let mut widgets = Resource::undefined(registry.number("widgets.example.com"), "widgets.example.com");
        widgets.served.push(crate::resource::Served {
            group: "example.com".into(),
            version: version.into(),
            type_id: like.served[0].type_id,
            verbs: vec!["get"],
            subresources: Vec::new(),
            head: bytes::Bytes::new(),
            convert: None,
            rules: None,
            custom: None,
        });
        widgets
    }

    #[test]
    fn a_custom_kind_is_served_where_it_is_defined_and_nowhere_else() {
        let registry = registry(&RuntimeConfig::default());
        let find = |cluster: &str, version: &str| registry.resolve_in(cluster, "example.com", version, "widgets");
        assert!(find("a", "v1").is_none());
        assert!(registry.define("a", "widgets.example.com", Version(5), Some(widgets(&registry, "v1"))));
        let (row, served) = find("a", "v1").unwrap();
        assert_eq!((row.id_name.as_str(), served), ("widgets.example.com", 0));
        assert!(find("b", "v1").is_none());
        assert_eq!(registry.row("a", row.id).unwrap().id, row.id);
        assert!(registry.row("b", row.id).is_none());
        assert_eq!(registry.id_name(row.id), "widgets.example.com");
        assert_eq!(registry.named_in("a", "widgets.example.com").unwrap().id, row.id);
        // In another cluster it has the same number.
        assert!(registry.define("b", "widgets.example.com", Version(6), Some(widgets(&registry, "v2"))));
        assert_eq!(find("b", "v2").unwrap().0.id, row.id);
        assert!(find("a", "v2").is_none());
        assert_eq!(registry.all("a").last().unwrap().id_name, "widgets.example.com");
    }

    #[test]
    fn an_older_definition_changes_nothing() {
        let registry = registry(&RuntimeConfig::default());
        let define = |version: u64, served: Option<&str>| {
            let resource = served.map(|served| widgets(&registry, served));
            registry.define("a", "widgets.example.com", Version(version), resource)
        };
        assert!(define(5, Some("v2")));
        assert!(!define(4, Some("v1")), "it is older");
        assert!(!define(5, Some("v2")), "it is known");
        assert!(define(7, None), "it was deleted");
        assert!(!define(6, Some("v2")), "a late word does not bring it back");
        assert!(registry.resolve_in("a", "example.com", "v2", "widgets").is_none());
        assert!(define(9, Some("v3")));
    }

    #[test]
    fn what_is_built_in_cannot_be_redefined() {
        let registry = registry(&RuntimeConfig::default());
        let fake = Resource::undefined(registry.number("pods"), "pods");
        assert!(!registry.define("a", "pods", Version(5), Some(fake)));
        assert!(registry.named_in("a", "pods").unwrap().namespaced);
    }
}
