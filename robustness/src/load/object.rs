//! The objects that the load writes, and how a state is read from one.
//!
//! The write's id is an annotation. The digest is of the text from `metadata` on without the resourceVersion: lists leave
//! out kind and apiVersion, and a DELETED event has another version.

use std::collections::BTreeMap;

use api::{Value, Version};
use client::{ApiRef, known};
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;
use xxhash_rust::xxh3::Xxh3Default;

use crate::history::{State, WriteId};

/// What carries [`WriteId`].
const WRITE: &str = "robustness/write";
/// The terms of selectors that watches use, by the bit that stands for each.
pub(super) const TERMS: [&str; 2] = ["group=a", "tier=x"];

/// A resource that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// Small and without rules.
    ConfigMaps,
    /// With admission, defaults and a status; nobody schedules them.
    Pods,
    /// Acknowledged early; all in kube-node-lease, which must be there.
    NodeLeases,
    /// Acknowledged early.
    Events,
}

impl Resource {
    /// Its place in the API.
    pub fn api(self) -> &'static ApiRef {
        match self {
            Self::ConfigMaps => &known::CONFIG_MAPS,
            Self::Pods => &known::PODS,
            Self::NodeLeases => &known::LEASES,
            Self::Events => &known::EVENTS,
        }
    }

    /// Whether it can be replaced by what the load knows of it. Of others, admission and defaults have added to it, and a Lease
    /// that is not there is made by an update.
    pub(super) fn is_replaceable(self) -> bool {
        self == Self::ConfigMaps
    }

    /// metadata and the rest of a new object.
    pub(super) fn body(self, (namespace, name): (&str, &str), write: WriteId, tags: u64) -> Value {
        let mut body = metadata(write, tags);
        body["metadata"]["name"] = name.into();
        match self {
            Self::ConfigMaps => body["data"] = json!({ "write": write.0.to_string() }),
            Self::Pods => {
                body["spec"] = json!({
                    "schedulerName": "nobody",
                    "containers": [{ "name": "main", "image": "example.com/main:1" }],
                });
            }
            Self::NodeLeases => body["spec"] = json!({ "holderIdentity": write.0.to_string() }),
            Self::Events => {
                body["involvedObject"] = json!({ "kind": "Pod", "namespace": namespace, "name": name });
                body["reason"] = "Loaded".into();
                body["type"] = "Normal".into();
            }
        }
        body
    }

    /// A merge patch that makes the object this write's.
    pub(super) fn patch(self, write: WriteId, tags: u64) -> Value {
        let mut body = metadata(write, tags);
        match self {
            Self::ConfigMaps => body["data"] = json!({ "write": write.0.to_string() }),
            Self::NodeLeases => body["spec"] = json!({ "holderIdentity": write.0.to_string() }),
            Self::Pods | Self::Events => {}
        }
        body
    }
}

fn metadata(write: WriteId, tags: u64) -> Value {
    let label = |bit: u64, yes: &'static str, no: &'static str| if tags & bit != 0 { yes } else { no };
    json!({ "metadata": {
        "labels": { "group": label(1, "a", "b"), "tier": label(2, "x", "y") },
        "annotations": { WRITE: write.0.to_string() },
    }})
}

/// A labelSelector that wants these tags.
pub(super) fn selector(tags: u64) -> String {
    let wanted = TERMS.iter().enumerate().filter(|(bit, _)| tags & (1 << bit) != 0);
    wanted.map(|(_, term)| *term).collect::<Vec<_>>().join(",")
}

/// An object as it was read.
#[derive(Debug, PartialEq)]
pub(super) struct Seen {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) version: Version,
    pub(super) state: State,
}

#[derive(Deserialize)]
struct View {
    metadata: MetaView,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct MetaView {
    name: String,
    namespace: String,
    resource_version: String,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
}

impl Seen {
    /// Reads what matters of an object.
    pub(super) fn read(object: &RawValue) -> Result<Self, String> {
        let text = object.get();
        let View { metadata } = serde_json::from_str(text).map_err(|error| format!("{error}: {text}"))?;
        let version = version(&metadata.resource_version)?;
        let labels = metadata.labels.unwrap_or_default();
        let has = |term: &str| {
            let (name, value) = term.split_once('=').unwrap_or_default();
            labels.get(name).is_some_and(|label| label == value)
        };
        let tags = TERMS.iter().enumerate().filter(|(_, term)| has(term)).map(|(bit, _)| 1 << bit).sum();
        let write = metadata.annotations.and_then(|all| all.get(WRITE)?.parse().ok()).unwrap_or_default();
        let state = State { digest: digest(text, &metadata.resource_version), tags, write: WriteId(write) };
        Ok(Self { namespace: metadata.namespace, name: metadata.name, version, state })
    }
}

/// A resourceVersion.
pub(super) fn version(text: &str) -> Result<Version, String> {
    text.parse().map_err(|error: api::version::InvalidVersion| error.to_string())
}

fn digest(text: &str, version: &str) -> u64 {
    let from = text.find("\"metadata\":").unwrap_or_default();
    let text = &text[from..];
    let member = format!("\"resourceVersion\":\"{version}\"");
    let (head, tail) = text.split_once(&member).unwrap_or((text, ""));
    let mut hasher = Xxh3Default::new();
    hasher.update(head.as_bytes());
    hasher.update(tail.as_bytes());
    hasher.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &str) -> Seen {
        Seen::read(&RawValue::from_string(value.to_owned()).unwrap()).unwrap()
    }

    #[test]
    fn a_state_is_all_but_version_and_kind() {
        let meta = |version: u32, write: u32| {
            format!(
                r#""metadata":{{"name":"a","namespace":"n","resourceVersion":"{version}","labels":{{"group":"a","tier":"y"}},"annotations":{{"robustness/write":"{write}"}}}},"data":{{}}}}"#
            )
        };
        let listed = read(&format!("{{{}", meta(5, 9)));
        let told = read(&format!(r#"{{"kind":"ConfigMap","apiVersion":"v1",{}"#, meta(6, 9)));
        assert_eq!((listed.state, listed.version, told.version), (told.state, Version(5), Version(6)));
        assert_eq!((listed.state.tags, listed.state.write), (1, WriteId(9)));
        assert_ne!(read(&format!("{{{}", meta(5, 8))).state.digest, listed.state.digest);
    }

    #[test]
    fn bodies_carry_what_is_read() {
        for resource in [Resource::ConfigMaps, Resource::Pods, Resource::NodeLeases, Resource::Events] {
            let mut body = resource.body(("n", "x"), WriteId(7), 3);
            body["metadata"]["resourceVersion"] = "1".into();
            let seen = read(&body.to_string());
            assert_eq!((seen.state.tags, seen.state.write), (3, WriteId(7)));
        }
        assert_eq!(selector(3), "group=a,tier=x");
    }
}
