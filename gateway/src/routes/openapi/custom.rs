//! What is published of the custom kinds of each cluster. The parts of a kind are made when a document that has them is asked
//! for, are kept compressed, and stay as they are until its own definition changes: documents are put together from them.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::{Object, Registry, Resource};
use hashbrown::HashMap;
use openapi::{Dialect, Form, Press};
use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::value::RawValue;
use smol_str::SmolStr;

use super::builtin::Sections;
use super::fragment::{Document, Fragment};
use crate::routes::etag::hash;

/// Kinds by the cluster's id.
#[derive(Default)]
pub(crate) struct Custom(Mutex<HashMap<SmolStr, Arc<Kinds>>>);

/// The custom kinds of a cluster at one time, by name.
#[derive(Default)]
pub(super) struct Kinds(BTreeMap<SmolStr, Arc<Kind>>);

/// A version by its position, and how its parts are written.
type Part = (usize, Dialect, Form);

/// One kind as one state of its definition has it.
struct Kind {
    definition: Arc<Object>,
    resource: Arc<Resource>,
    /// A hash of what its parts are made from.
    tag: String,
    /// Paths and types.
    parts: Mutex<HashMap<Part, [Arc<Fragment>; 2]>>,
}

/// What decides about a kind's parts. A definition changes more often than that: its status, its annotations.
#[derive(Deserialize)]
struct Source<'a> {
    #[serde(borrow)]
    spec: &'a RawValue,
    #[serde(borrow)]
    status: Option<Status<'a>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status<'a> {
    #[serde(borrow)]
    accepted_names: Option<&'a RawValue>,
}

impl Custom {
    /// What there is now. Kinds whose definition is the same are the same.
    pub(super) fn of(&self, registry: &Registry, cluster: &SmolStr, definitions: Vec<Arc<Object>>) -> Arc<Kinds> {
        let mut clusters = self.0.lock();
        let before = clusters.get(cluster).cloned().unwrap_or_default();
        let mut kinds = BTreeMap::new();
        for definition in definitions {
            // Only what the registry serves is published.
            let Some(resource) = registry.named_in(cluster, &definition.name) else { continue };
            let kept = before.0.get(&definition.name).filter(|kind| kind.is(&definition, &resource));
            let kind = kept.cloned().unwrap_or_else(|| {
                let old = before.0.get(&definition.name);
                Kind::new(definition.clone(), resource, old)
            });
            kinds.insert(definition.name.clone(), kind);
        }
        let kinds = Arc::new(Kinds(kinds));
        match kinds.0.is_empty() {
            true => _ = clusters.remove(cluster),
            false => _ = clusters.insert(cluster.clone(), kinds.clone()),
        }
        kinds
    }
}

impl Kind {
    fn new(definition: Arc<Object>, resource: Arc<Resource>, old: Option<&Arc<Self>>) -> Arc<Self> {
        let tag = tag(&definition);
        // What was made of the state before stays, where that said the same.
        let parts = old.filter(|old| old.tag == tag && alike(&old.resource, &resource));
        let parts = parts.map(|old| old.parts.lock().clone()).unwrap_or_default();
        Arc::new(Self { definition, resource, tag, parts: Mutex::new(parts) })
    }

    fn is(&self, definition: &Object, resource: &Arc<Resource>) -> bool {
        self.definition.version == definition.version && Arc::ptr_eq(&self.resource, resource)
    }

    /// Positions of its versions that are served.
    fn served(&self) -> impl Iterator<Item = usize> {
        self.resource.served.iter().enumerate().filter(|(_, served)| served.is_public()).map(|(at, _)| at)
    }

    /// What one version comes from.
    fn tag_of(&self, at: usize) -> String {
        let served = &self.resource.served[at];
        format!("{} {} {};", self.tag, served.version, served.verbs.join(","))
    }

    /// Adds the parts of one version to the sections of a document.
    fn add(&self, press: &Press<'_>, at: usize, dialect: Dialect, form: Form, sections: &mut [Vec<Arc<Fragment>>; 3]) {
        let parts = self.parts(press, at, dialect, form);
        sections.iter_mut().zip(parts).for_each(|(section, part)| section.push(part));
    }

    fn parts(&self, press: &Press<'_>, at: usize, dialect: Dialect, form: Form) -> [Arc<Fragment>; 2] {
        if let Some(made) = self.parts.lock().get(&(at, dialect, form)) {
            return made.clone();
        }
        let served = &self.resource.served[at];
        let parts = press.custom(dialect, &self.definition.document(), &self.resource, served);
        let [paths, types, _] = parts.sections(dialect, form);
        let made = [Fragment::of(&paths), Fragment::of(&types)];
        self.parts.lock().insert((at, dialect, form), made.clone());
        made
    }
}

fn alike(a: &Resource, b: &Resource) -> bool {
    let verbs = |resource: &Resource| resource.served.iter().map(|served| served.verbs.clone()).collect::<Vec<_>>();
    verbs(a) == verbs(b)
}

fn tag(definition: &Object) -> String {
    let text = [b"{" as &[u8], definition.tail()].concat();
    match serde_json::from_slice::<Source<'_>>(&text) {
        Ok(source) => {
            let names = source.status.and_then(|status| status.accepted_names).map_or("", RawValue::get);
            hash(format!("{} {names}", source.spec.get()).as_bytes())
        }
        Err(_) => hash(&text),
    }
}

impl Kinds {
    /// The documents of OpenAPI 3 by their paths, with a hash of each. `program` is that of what makes them.
    pub(super) fn hashes(&self, program: &str) -> BTreeMap<String, String> {
        let mut sources: BTreeMap<String, String> = BTreeMap::new();
        for kind in self.0.values() {
            for at in kind.served() {
                let served = &kind.resource.served[at];
                let path = format!("apis/{}/{}", served.group, served.version);
                sources.entry(path).or_insert_with(|| program.to_owned()).push_str(&kind.tag_of(at));
            }
        }
        sources.into_iter().map(|(path, source)| (path, hash(source.as_bytes()))).collect()
    }

    /// A hash of all of them; empty where there are none.
    pub(super) fn hash(&self) -> String {
        let tags: String = self.0.values().flat_map(|kind| kind.served().map(|at| kind.tag_of(at))).collect();
        if tags.is_empty() { tags } else { hash(tags.as_bytes()) }
    }

    /// The document of OpenAPI 3 at that path.
    pub(super) fn v3(&self, registry: &Registry, path: &str, form: Form) -> Option<Document> {
        let (group, version) = path.strip_prefix("apis/")?.split_once('/')?;
        let press = Press::new(registry);
        let (mut sections, mut scales) = (<[Vec<Arc<Fragment>>; 3]>::default(), false);
        for kind in self.0.values() {
            for at in kind.served() {
                let served = &kind.resource.served[at];
                if served.group == group && served.version == version {
                    scales |= served.subresource("scale").is_some();
                    kind.add(&press, at, Dialect::V3, form, &mut sections);
                }
            }
        }
        if sections[0].is_empty() {
            return None;
        }
        let [_, shared, _] = press.shared(group, version, scales).sections(Dialect::V3, form);
        sections[1].push(Fragment::of(&shared));
        Some(joined(Dialect::V3, form, true, sections))
    }

    /// OpenAPI 2: what is built in, and these kinds.
    pub(super) fn v2(&self, registry: &Registry, builtin: Sections, form: Form) -> Document {
        let mut sections = builtin.map(|section| vec![section]);
        if !self.0.is_empty() {
            let press = Press::new(registry);
            for kind in self.0.values() {
                kind.served().for_each(|at| kind.add(&press, at, Dialect::V2, form, &mut sections));
            }
        }
        joined(Dialect::V2, form, false, sections)
    }
}

/// A document of those sections.
fn joined(dialect: Dialect, form: Form, custom: bool, sections: [Vec<Arc<Fragment>>; 3]) -> Document {
    let lengths = sections.each_ref().map(|section| section.iter().map(|part| part.length).sum());
    let comma = Fragment::of(b",");
    let mut document = Document::default();
    let [start, first, second, end] = openapi::frame(dialect, form, custom, lengths).map(|text| Fragment::of(&text));
    for (before, section) in [start, first, second].into_iter().zip(sections) {
        document.0.push(before);
        for (at, part) in section.into_iter().filter(|part| part.length > 0).enumerate() {
            if at > 0 && form == Form::Json {
                document.0.push(comma.clone());
            }
            document.0.push(part);
        }
    }
    document.0.push(end);
    document
}

#[cfg(test)]
mod tests {
    use api::builtin::{RuntimeConfig, registry};
    use api::crd::definition;
    use api::object::Draft;
    use api::{Value, Version};
    use serde_json::json;

    use super::*;

    /// What a registry knows of some definitions.
    struct World {
        registry: Registry,
        custom: Custom,
        definitions: BTreeMap<String, Arc<Object>>,
        version: u64,
    }

    impl World {
        fn new() -> Self {
            let registry = registry(&RuntimeConfig::default());
            Self { registry, custom: Custom::default(), definitions: BTreeMap::new(), version: 0 }
        }

        fn define(&mut self, plural: &str, describe: &str, note: &str) {
            self.version += 1;
            let name = format!("{plural}.example.com");
            let names =
                json!({"plural": plural, "singular": plural, "kind": plural, "listKind": format!("{plural}List")});
            let document = json!({
                "metadata": {
                    "name": name, "uid": "u", "annotations": {"note": note}, "resourceVersion": self.version.to_string(),
                },
                "spec": {
                    "group": "example.com", "scope": "Cluster", "names": names,
                    "versions": [{"name": format!("v{}", plural.len()), "served": true, "storage": true, "schema": {
                        "openAPIV3Schema": {"type": "object", "description": describe},
                    }}],
                },
                "status": {
                    "acceptedNames": names,
                    "conditions": [
                        {"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"},
                    ],
                },
            });
            let row = self.registry.named("customresourcedefinitions.apiextensions.k8s.io").unwrap().clone();
            let object = Arc::new(Draft::new(&row, &document).seal(Version(self.version)));
            let resource = definition::resource(&object.document());
            assert!(self.registry.define("a", &name, object.version, resource));
            self.definitions.insert(name, object);
        }

        fn kinds(&self) -> Arc<Kinds> {
            self.custom.of(&self.registry, &"a".into(), self.definitions.values().cloned().collect())
        }
    }

    fn text(document: &Document) -> Value {
        let text: Vec<u8> = document.0.iter().flat_map(|fragment| fragment.inflate()).collect();
        serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&text)))
    }

    #[test]
    fn documents_have_the_kinds_of_their_version() {
        let mut world = World::new();
        world.define("cats", "one", "");
        world.define("dogs", "two", "");
        world.define("horses", "three", "");
        let kinds = world.kinds();
        let paths: Vec<String> = kinds.hashes("p").into_keys().collect();
        assert_eq!(paths, ["apis/example.com/v4", "apis/example.com/v6"]);
        let document = text(&kinds.v3(&world.registry, "apis/example.com/v4", Form::Json).unwrap());
        let types = document["components"]["schemas"].as_object().unwrap();
        assert!(types.contains_key("com.example.v4.cats") && types.contains_key("com.example.v4.dogs"), "{types:?}");
        assert!(!types.contains_key("com.example.v6.horses"));
        assert!(document["paths"]["/apis/example.com/v4/dogs/{name}"]["patch"].is_object());
        assert!(kinds.v3(&world.registry, "apis/example.com/v5", Form::Json).is_none());
        let builtin = super::super::builtin::Builtin::default();
        let whole = text(&kinds.v2(&world.registry, builtin.v2(&world.registry, Form::Json), Form::Json));
        for name in ["com.example.v6.horses", "com.example.v4.catsList", "io.k8s.api.core.v1.Pod"] {
            assert!(whole["definitions"][name].is_object(), "{name}");
        }
        assert!(whole["paths"]["/apis/example.com/v6/horses"]["get"].is_object());
    }

    #[test]
    fn what_did_not_change_is_not_made_again() {
        let mut world = World::new();
        world.define("cats", "one", "");
        world.define("dogs", "two", "");
        let made = |world: &World| {
            let kinds = world.kinds();
            let document = kinds.v3(&world.registry, "apis/example.com/v4", Form::Json).unwrap();
            (document.0, kinds.hashes("p").remove("apis/example.com/v4").unwrap(), kinds.hash())
        };
        let kept = |a: &[Arc<Fragment>], b: &[Arc<Fragment>]| {
            a.iter().filter(|part| part.length > 1000 && b.iter().any(|other| Arc::ptr_eq(part, other))).count()
        };
        let first = made(&world);
        // A note on a definition is nothing that is published.
        world.define("cats", "one", "noted");
        let second = made(&world);
        assert_eq!((kept(&first.0, &second.0), &first.1, &first.2), (4, &second.1, &second.2));
        world.define("cats", "another", "noted");
        let third = made(&world);
        assert_eq!(kept(&second.0, &third.0), 2, "the parts of dogs");
        assert!(second.1 != third.1 && second.2 != third.2);
        assert_ne!(world.kinds().hashes("p"), world.kinds().hashes("another program"));
        world.definitions.clear();
        assert!(world.kinds().hash().is_empty() && world.custom.0.lock().is_empty());
    }
}
