//! What a cluster serves: each kind once, in the version that its group prefers.

use std::collections::BTreeMap;

use client::{ApiRef, Client};
use serde_json::Value;

use crate::Failure;

/// A kind that can be listed.
#[derive(Clone, Debug)]
pub(super) struct Kind {
    pub(super) api: ApiRef,
    /// `deployments.apps`
    pub(super) name: String,
    pub(super) creates: bool,
    pub(super) has_status: bool,
}

/// By `deployments.apps`.
pub(super) type Kinds = BTreeMap<String, Kind>;

pub(super) async fn kinds(client: &Client) -> Result<Kinds, Failure> {
    let mut kinds = Kinds::new();
    add(client, &mut kinds, "", "v1").await?;
    let groups: Value = serde_json::from_slice(&client.raw_get("/apis").await?)?;
    for group in groups["groups"].as_array().into_iter().flatten() {
        let Some(name) = group["name"].as_str() else { continue };
        // The preferred version first: what it lacks may be served in another one.
        let preferred = group["preferredVersion"]["version"].as_str();
        let all = group["versions"].as_array().into_iter().flatten().filter_map(|version| version["version"].as_str());
        for version in preferred.into_iter().chain(all) {
            // An API server behind this one may be away: what it serves is missing then, and nothing else.
            if let Err(error) = add(client, &mut kinds, name, version).await {
                tracing::warn!(group = name, version, %error, "a group cannot be read, and is left out");
            }
        }
    }
    Ok(kinds)
}

async fn add(client: &Client, kinds: &mut Kinds, group: &str, version: &str) -> Result<(), Failure> {
    let path = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    let list: Value = serde_json::from_slice(&client.raw_get(&path).await?)?;
    let resources: Vec<&Value> = list["resources"].as_array().into_iter().flatten().collect();
    let text = |resource: &Value, field: &str| resource[field].as_str().unwrap_or_default().to_owned();
    for resource in &resources {
        let plural = text(resource, "name");
        let verbs: Vec<&str> =
            resource["verbs"].as_array().into_iter().flatten().filter_map(|verb| verb.as_str()).collect();
        if plural.contains('/') || !verbs.contains(&"list") {
            continue;
        }
        let name = if group.is_empty() { plural.clone() } else { format!("{plural}.{group}") };
        let status = format!("{plural}/status");
        let api = ApiRef {
            group: kept(group),
            version: kept(version),
            plural: kept(&plural),
            kind: kept(&text(resource, "kind")),
            namespaced: resource["namespaced"].as_bool().unwrap_or(false),
        };
        let has_status = resources.iter().any(|other| other["name"] == status.as_str());
        let creates = verbs.contains(&"create");
        kinds.entry(name.clone()).or_insert(Kind { api, name, creates, has_status });
    }
    Ok(())
}

/// An [`ApiRef`] names constants. A command asks once, so what is never freed is a few kilobytes.
fn kept(text: &str) -> &'static str {
    Box::leak(text.to_owned().into_boxed_str())
}
