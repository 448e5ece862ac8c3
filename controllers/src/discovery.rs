//! Which resources the server serves: by legacy discovery, which every Kubernetes API answers.

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use api::ambient::Clock;
use client::{ApiRef, Client, ClientError};
use futures_util::stream::{self, StreamExt};
use hashbrown::HashSet;
use parking_lot::Mutex;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;

/// Groups that are asked at once.
const CONCURRENCY: usize = 16;

/// One resource in its preferred version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// What it is.
    pub api: &'static ApiRef,
    /// What can be done with it.
    pub verbs: Vec<SmolStr>,
}

impl Served {
    /// Whether it supports all of these.
    pub fn can(&self, verbs: &[&str]) -> bool {
        verbs.iter().all(|verb| self.verbs.iter().any(|have| have == verb))
    }
}

/// The answer of one round: what is served, and which groups did not answer.
#[derive(Clone, Debug, Default)]
pub struct Resources {
    /// Sorted by group and plural.
    pub served: Vec<Served>,
    /// Why some are missing, by group and version.
    pub failures: Vec<(String, String)>,
}

impl Resources {
    /// The resource of a kind in a group (`apps/v1` or `v1`; versions of one group share their resources).
    pub fn of_kind(&self, api_version: &str, kind: &str) -> Option<&'static ApiRef> {
        let group = api_version.split_once('/').map_or("", |(group, _)| group);
        let found = self.served.iter().find(|served| served.api.group == group && served.api.kind == kind);
        found.map(|served| served.api)
    }
}

/// Asks for resources and shares the answer for a moment.
pub struct Discovery {
    client: Client,
    clock: Arc<dyn Clock>,
    last: Mutex<Option<(Duration, Arc<Resources>)>>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct GroupList {
    groups: Vec<Group>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Group {
    versions: Vec<GroupVersion>,
    preferred_version: GroupVersion,
}

#[derive(Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct GroupVersion {
    group_version: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ResourceList {
    group_version: String,
    resources: Vec<ApiResource>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ApiResource {
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<SmolStr>,
}

impl Discovery {
    /// Discovery through a client.
    pub fn new(client: Client) -> Arc<Self> {
        let clock = client.ambient().clock.clone();
        Arc::new(Self { client, clock, last: Mutex::default() })
    }

    /// What is served now; an answer that is at most `age` old will do.
    pub async fn resources(&self, age: Duration) -> Result<Arc<Resources>, ClientError> {
        let now = self.clock.boot();
        if let Some((at, resources)) = &*self.last.lock()
            && *at + age > now
        {
            return Ok(resources.clone());
        }
        let resources = Arc::new(self.ask().await?);
        *self.last.lock() = Some((now, resources.clone()));
        Ok(resources)
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let bytes = self.client.raw_get(path).await?;
        serde_json::from_slice(&bytes)
            .map_err(|error| ClientError::Decode { path: path.to_owned(), message: error.to_string() })
    }

    async fn ask(&self) -> Result<Resources, ClientError> {
        let groups: GroupList = self.get("/apis").await?;
        // Of each group the preferred version first: what it has is not taken from another.
        let mut paths = vec![vec!["/api/v1".to_owned()]];
        for group in groups.groups {
            let first = group.preferred_version.clone();
            let others = group.versions.into_iter().filter(|version| *version != first);
            let versions = std::iter::once(first.clone()).chain(others);
            paths.push(versions.map(|version| format!("/apis/{}", version.group_version)).collect());
        }
        let asked: Vec<_> =
            paths.iter().flatten().map(|path| async move { (path.clone(), self.get(path).await) }).collect();
        let answers: Vec<(String, Result<ResourceList, ClientError>)> =
            stream::iter(asked).buffered(CONCURRENCY).collect().await;
        let mut resources = Resources::default();
        let mut taken: HashSet<(&'static str, &'static str)> = HashSet::new();
        for (path, answer) in answers {
            match answer {
                Ok(list) => add(&mut resources, &mut taken, list),
                Err(error) => resources.failures.push((path, error.to_string())),
            }
        }
        resources.served.sort_by_key(|served| (served.api.group, served.api.plural));
        Ok(resources)
    }
}

fn add(resources: &mut Resources, taken: &mut HashSet<(&'static str, &'static str)>, list: ResourceList) {
    let (group, version) = list.group_version.split_once('/').unwrap_or(("", &list.group_version));
    for resource in list.resources {
        if resource.name.contains('/') {
            continue;
        }
        let api = intern(group, version, &resource);
        if taken.insert((api.group, api.plural)) {
            resources.served.push(Served { api, verbs: resource.verbs });
        }
    }
}

/// Resources that were ever discovered. Calls name them by `'static` texts; a resource that is served costs a few dozen
/// bytes for the rest of the process, and those are as many as there are kinds.
static KNOWN: LazyLock<Mutex<HashSet<&'static ApiRef>>> = LazyLock::new(Mutex::default);

fn intern(group: &str, version: &str, resource: &ApiResource) -> &'static ApiRef {
    let mut known = KNOWN.lock();
    let same = |api: &&&'static ApiRef| {
        (api.group, api.version, api.plural) == (group, version, resource.name.as_str())
            && (api.kind, api.namespaced) == (resource.kind.as_str(), resource.namespaced)
    };
    if let Some(api) = known.iter().find(same) {
        return api;
    }
    let text = |text: &str| -> &'static str { Box::leak(text.to_owned().into_boxed_str()) };
    let api: &'static ApiRef = Box::leak(Box::new(ApiRef {
        group: text(group),
        version: text(version),
        plural: text(&resource.name),
        kind: text(&resource.kind),
        namespaced: resource.namespaced,
    }));
    known.insert(api);
    api
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_preferred_version_wins_and_subresources_are_no_resources() {
        let list = |version: &str, names: &[&str]| -> ResourceList {
            let resources: Vec<_> = names
                .iter()
                .map(|name| json!({ "name": name, "kind": "Kind", "namespaced": true, "verbs": ["delete", "list"] }))
                .collect();
            serde_json::from_value(json!({ "groupVersion": version, "resources": resources })).unwrap()
        };
        let (mut resources, mut taken) = (Resources::default(), HashSet::new());
        add(&mut resources, &mut taken, list("example.com/v1", &["things", "things/status"]));
        add(&mut resources, &mut taken, list("example.com/v1beta1", &["things", "others"]));
        let found: Vec<_> = resources.served.iter().map(|served| (served.api.version, served.api.plural)).collect();
        assert_eq!(found, [("v1", "things"), ("v1beta1", "others")]);
        assert!(resources.served[0].can(&["delete"]) && !resources.served[0].can(&["delete", "watch"]));
        assert_eq!(resources.of_kind("example.com/v7", "Kind").unwrap().plural, "things");
        assert!(std::ptr::eq(intern("g", "v", &ApiResource::default()), intern("g", "v", &ApiResource::default())));
    }
}
