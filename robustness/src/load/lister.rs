//! A client that lists: the latest and at versions, whole and in pages, wide and narrow.

use std::sync::Arc;

use api::Version;
use client::{Client, ClientError, ListOptions, Page};
use serde_json::value::RawValue;
use tokio::time::sleep;

use super::object::{Seen, selector, version};
use super::{Random, Resource, Shared};
use crate::history::{At, ClientLog, Item, Listed, OpenList, Scope};

/// Pages of one list, at most.
const PAGES: usize = 1000;

pub(super) async fn run(shared: Arc<Shared>, client: Client, number: usize) {
    let mut random = shared.random(2000 + number);
    let mut log = shared.recorder.client();
    let plan = &shared.plan;
    let mut seen: Option<Version> = None;
    while !shared.stopped() {
        let resource = plan.resources[random.below(plan.resources.len())];
        let scope = scope(&shared, resource, &mut random);
        let limit = if random.below(2) == 0 { 0 } else { 1 + random.below(2 * plan.objects) };
        let at = match (random.below(6), seen) {
            (0, _) => At::Any,
            // As the API reads them: a limited list of a version is of exactly that version.
            (1 | 2, Some(version)) if limit == 0 => At::NotOlderThan(version),
            (1 | 2, Some(version)) => At::Exactly(version),
            _ => At::Latest,
        };
        let open = log.list(scope.clone(), at);
        match pages(&shared, &client, &mut log, open, (resource, &scope, at, limit)).await {
            Ok(version) => seen = Some(version),
            Err(error) => shared.pause_after(&error, &mut random).await,
        }
        sleep(random.up_to(10 * plan.pause)).await;
    }
}

/// Everything, a namespace, a selector.
pub(super) fn scope(shared: &Shared, resource: Resource, random: &mut Random) -> Scope {
    let mut scope = shared.scope(resource);
    if random.below(2) == 0 {
        scope.namespace = shared.plan.namespace_of(resource, random.below(shared.plan.namespaces)).into();
    }
    match random.below(5) {
        0 => scope.tags = 1,
        1 => scope.tags = 3,
        2 => scope.name = shared.plan.object(random.below(shared.plan.objects)).into(),
        _ => {}
    }
    scope
}

/// The options that ask for a scope.
pub(super) fn options(scope: &Scope) -> ListOptions {
    let fields = if scope.name.is_empty() { String::new() } else { format!("metadata.name={}", scope.name) };
    ListOptions {
        namespace: scope.namespace.to_string(),
        labels: selector(scope.tags),
        fields,
        ..ListOptions::default()
    }
}

/// Reads a list to its end and records it; its version.
pub(super) async fn pages(
    shared: &Shared,
    client: &Client,
    log: &mut ClientLog,
    mut open: OpenList,
    (resource, scope, at, limit): (Resource, &Scope, At, usize),
) -> Result<Version, ClientError> {
    let mut options = options(scope);
    options.limit = limit;
    options.version = match at {
        At::Latest => None,
        At::Any => Some("0".to_owned()),
        At::NotOlderThan(version) | At::Exactly(version) => Some(version.to_string()),
    };
    let mut of = Version::ZERO;
    for _ in 0..PAGES {
        let page = match client.list::<Box<RawValue>>(resource.api(), &options).await {
            Ok(page) => page,
            Err(error) => {
                // Exactly an old version, or the next page of one: the server may have forgotten it.
                let expired = error.is_expired();
                if !expired {
                    shared.outcome(&error);
                }
                log.listed(open, if expired { Listed::Expired } else { Listed::Failed });
                return Err(error);
            }
        };
        let listed = match read(shared, log, resource, &page) {
            Ok(listed) => listed,
            Err(message) => {
                shared.odd(&message);
                log.listed(open, Listed::Failed);
                return Err(ClientError::Decode { path: scope.to_string(), message });
            }
        };
        if let Listed::Page { version, .. } = &listed {
            of = *version;
        }
        let Some(next) = log.listed(open, listed) else { return Ok(of) };
        (open, options.continue_token) = (next, page.continue_token);
    }
    Ok(of)
}

fn read(shared: &Shared, log: &ClientLog, resource: Resource, page: &Page<Box<RawValue>>) -> Result<Listed, String> {
    let item = |object: &RawValue| {
        let Seen { namespace, name, version, state } = Seen::read(object)?;
        Ok(Item { key: log.key(&shared.key(resource, &namespace, &name)), version, state })
    };
    let items = page.items.iter().map(|object| item(object)).collect::<Result<Vec<Item>, String>>()?;
    Ok(Listed::Page { version: version(&page.version)?, items, more: !page.continue_token.is_empty() })
}
