//! The end of a run: a mark that everybody must come to see, and a look at what is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Version;
use client::Client;
use tokio::time::{Instant, sleep};

use super::lister::pages;
use super::writer::{Task, execute};
use super::{Resource, Shared};
use crate::history::{At, ClientLog, Key, Scope, Verb};

/// How often a watcher is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Writes the marks, reads what is left, and waits for the watchers. Those that do not get there, in words.
pub(super) async fn finish(
    shared: &Shared,
    client: &Client,
    watchers: &[(Scope, Arc<AtomicU64>)],
) -> Result<Vec<String>, String> {
    let until = Instant::now() + shared.plan.settle;
    let mut log = shared.recorder.client();
    // Before the marks hide what is under them, and behind them.
    for resource in &shared.plan.resources {
        last(shared, client, &mut log, *resource, until).await?;
    }
    let mut marks: Vec<(Key, Version)> = Vec::new();
    for resource in &shared.plan.resources {
        for number in 0..shared.plan.namespaces {
            let namespace = shared.plan.namespace_of(*resource, number);
            for object in 0..shared.plan.objects {
                let name = shared.plan.object(object);
                let version = mark(shared, client, &mut log, (*resource, &namespace, &name), until).await?;
                marks.push((shared.key(*resource, &namespace, &name), version));
            }
        }
    }
    for resource in &shared.plan.resources {
        last(shared, client, &mut log, *resource, until).await?;
    }
    let mut stalled = Vec::new();
    for (number, (scope, reached)) in watchers.iter().enumerate() {
        let wanted = marks.iter().filter(|(key, _)| scope.holds(key)).map(|(_, version)| *version).max();
        let wanted = wanted.unwrap_or_default();
        while reached.load(Ordering::Relaxed) < wanted.0 && Instant::now() < until {
            sleep(LOOK).await;
        }
        let at = reached.load(Ordering::Relaxed);
        if at < wanted.0 {
            stalled.push(format!("watcher {number} on {scope} is at {at}, and {wanted} is long past"));
        }
    }
    Ok(stalled)
}

/// Writes an object that every selector takes, whatever is there.
async fn mark(
    shared: &Shared,
    client: &Client,
    log: &mut ClientLog,
    (resource, namespace, name): (Resource, &str, &str),
    until: Instant,
) -> Result<Version, String> {
    let mut random = shared.random(4000);
    let mut verb = Verb::Create;
    loop {
        let task = Task { resource, namespace, name, verb, tags: 3 };
        let error = match execute(shared, client, log, &task).await {
            Ok(Some(version)) => return Ok(version),
            Ok(None) => "the answer was no object".to_owned(),
            Err(error) => {
                verb = if error.is_already_exists() { Verb::Patch(None) } else { verb };
                verb = if error.is_not_found() { Verb::Create } else { verb };
                shared.pause_after(&error, &mut random).await;
                error.to_string()
            }
        };
        if Instant::now() > until {
            return Err(format!("{namespace}/{name} cannot be written: {error}"));
        }
    }
}

async fn last(
    shared: &Shared,
    client: &Client,
    log: &mut ClientLog,
    resource: Resource,
    until: Instant,
) -> Result<(), String> {
    let mut random = shared.random(4001);
    loop {
        let scope = shared.scope(resource);
        let open = log.last_list(scope.clone());
        match pages(shared, client, log, open, (resource, &scope, At::Latest, 0)).await {
            Ok(_) => return Ok(()),
            Err(error) if Instant::now() > until => return Err(error.to_string()),
            Err(error) => shared.pause_after(&error, &mut random).await,
        }
    }
}
