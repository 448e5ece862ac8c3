//! Deleting everything in a Namespace, and looking what is left.

use std::time::Duration;

use api::Value;
use client::{ApiRef, Client, ClientError, ListOptions, known};
use futures_util::stream::{self, StreamExt};
use serde_json::json;

use super::conditions::Findings;
use crate::discovery::{Discovery, Served};
use crate::views::Partial;

/// Resources that are deleted at once.
const CONCURRENCY: usize = 16;
/// Items of one page.
const PAGE: usize = 500;
/// An answer of discovery that is so old will do: several Namespaces are often deleted together.
const DISCOVERY_AGE: Duration = Duration::from_secs(2);

/// What is left of one resource.
#[derive(Default)]
struct Left {
    count: usize,
    finalizers: Vec<String>,
}

/// Deletes the content of a Namespace: Pods first, and the rest once they are gone, so that nothing that they rely on goes
/// before them.
pub async fn delete_all(client: &Client, discovery: &Discovery, namespace: &str) -> Result<Findings, ClientError> {
    let resources = discovery.resources(DISCOVERY_AGE).await?;
    let undiscovered = resources.failures.iter().map(|(group, error)| format!("{group}: {error}")).collect();
    let mut findings = Findings { undiscovered, ..Findings::default() };
    let deletable = |served: &&Served| served.api.namespaced && served.can(&["delete"]);
    let all: Vec<&Served> = resources.served.iter().filter(deletable).collect();
    let is_pods = |served: &&&Served| served.api.group.is_empty() && served.api.plural == known::PODS.plural;
    let (pods, rest): (Vec<&Served>, Vec<&Served>) = all.iter().partition(is_pods);
    for served in [pods, rest] {
        let deletions: Vec<_> = served.iter().map(|served| delete_one(client, served, namespace)).collect();
        let results: Vec<_> = stream::iter(deletions).buffered(CONCURRENCY).collect().await;
        for (served, result) in served.iter().zip(results) {
            note(&mut findings, served.api, result);
        }
        if !findings.remaining.is_empty() {
            break;
        }
    }
    Ok(findings)
}

fn note(findings: &mut Findings, api: &ApiRef, result: Result<Left, ClientError>) {
    let left = match result {
        Ok(left) => left,
        Err(error) => {
            findings.failed.push(error.to_string());
            return;
        }
    };
    if left.count > 0 {
        findings.remaining.insert(format!("{}.{}", api.plural, api.group), left.count);
    }
    for finalizer in left.finalizers {
        *findings.finalizers.entry(finalizer).or_default() += 1;
    }
}

async fn delete_one(client: &Client, served: &Served, namespace: &str) -> Result<Left, ClientError> {
    let in_namespace = || ListOptions { namespace: namespace.to_owned(), ..ListOptions::default() };
    let found = if served.can(&["list"]) { list(client, served.api, namespace).await? } else { Vec::new() };
    if found.is_empty() && served.can(&["list"]) {
        return Ok(Left::default());
    }
    if served.can(&["deletecollection"]) {
        ignore_missing(client.delete_collection(served.api, &in_namespace()).await)?;
    } else {
        let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background" });
        for item in found {
            let deleted = client.delete(served.api, namespace, &item.metadata.name, &options).await;
            ignore_missing(deleted.map(|_: Value| ()))?;
        }
    }
    if !served.can(&["list"]) {
        return Ok(Left::default());
    }
    let left = list(client, served.api, namespace).await?;
    let finalizers = left.iter().flat_map(|item| item.metadata.finalizers.iter().map(ToString::to_string));
    Ok(Left { count: left.len(), finalizers: finalizers.collect() })
}

fn ignore_missing(result: Result<(), ClientError>) -> Result<(), ClientError> {
    match result {
        // Some resources say in discovery that they can, and cannot.
        Err(error) if error.is_not_found() || error.reason() == "MethodNotAllowed" => Ok(()),
        other => other,
    }
}

async fn list(client: &Client, api: &ApiRef, namespace: &str) -> Result<Vec<Partial>, ClientError> {
    let mut options = ListOptions { namespace: namespace.to_owned(), limit: PAGE, ..ListOptions::default() };
    let mut items: Vec<Partial> = Vec::new();
    loop {
        let page = match client.list::<Partial>(api, &options).await {
            Err(error) if error.is_not_found() || error.reason() == "MethodNotAllowed" => return Ok(items),
            page => page?,
        };
        items.extend(page.items);
        if page.continue_token.is_empty() {
            return Ok(items);
        }
        options.continue_token = page.continue_token;
    }
}
