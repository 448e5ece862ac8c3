//! Deployments to Running: the whole way through controllers, scheduler and kubelets.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use client::known::{DEPLOYMENTS, PODS};
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{RUN_LABEL, clean_up, create_all, make_namespace, version_of};
use crate::api_call::watch_lines;
use crate::progress::Progress;
use crate::{Bench, LoadError, Measured, Report};

/// Creates the Deployments, follows their Pods until all run, and removes them.
pub(super) async fn run(bench: &Bench<'_>, count: u32, replicas: u32, timeout: u64) -> Result<Report, LoadError> {
    let namespace = make_namespace(bench).await?;
    let version = version_of(bench, PODS, &namespace).await?;
    let start = bench.ambient.clock.boot();
    let total = u64::from(count) * u64::from(replicas);
    let (seen, mut running) = mpsc::channel(total.max(1) as usize);
    let watcher = tokio::spawn(follow(bench, &namespace, version, seen));
    let run = bench.run.clone();
    let made = create_all(bench, "create deployments", DEPLOYMENTS, &namespace, count, move |number| {
        deployment(&run, number, replicas)
    })
    .await;

    let mut measured = Measured::new(format!("{total} pods of {count} deployments to Running"), 0);
    let progress = Progress::count("pods running", Some(total), bench);
    let counter = progress.counter();
    let deadline = tokio::time::Instant::now() + Duration::from_secs(timeout);
    while measured.latencies.len() < total {
        match tokio::time::timeout_at(deadline, running.recv()).await {
            Ok(Some(at)) => {
                let latency: Duration = at - start;
                measured.elapsed = latency;
                measured.latencies.saturating_record((latency.as_micros() as u64).max(1));
                counter.fetch_add(1, Ordering::Relaxed);
            }
            Ok(None) | Err(_) => break,
        }
    }
    progress.finish();
    let missing = total - measured.latencies.len();
    if missing > 0 {
        let why =
            if watcher.is_finished() { "the watch ended".to_owned() } else { format!("not Running after {timeout} s") };
        measured.failures.insert(why, missing);
    }
    watcher.abort();
    clean_up(bench, &[(DEPLOYMENTS, &namespace)], Some(&namespace)).await?;
    let notes = vec!["latencies count from the first Deployment's creation to each Pod's Running".to_owned()];
    Ok(Report { measured: vec![made, measured], notes })
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(borrow)]
    object: PodView<'a>,
}

#[derive(Deserialize)]
struct PodView<'a> {
    #[serde(borrow)]
    metadata: Name<'a>,
    #[serde(default)]
    status: Phase,
}

#[derive(Deserialize)]
struct Name<'a> {
    name: &'a str,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Phase {
    phase: String,
}

/// Watches the namespace's Pods and reports when each is seen Running for the first time.
fn follow(
    bench: &Bench<'_>,
    namespace: &str,
    version: String,
    seen: mpsc::Sender<Duration>,
) -> impl Future<Output = ()> + Send + 'static {
    let transport = bench.transports[bench.transports.len() - 1].clone();
    let clock = Arc::clone(&bench.ambient.clock);
    let path = format!("{}?watch=1&resourceVersion={version}", PODS.collection(namespace));
    async move {
        let mut known = HashSet::new();
        let watched = watch_lines(
            &transport,
            &path,
            || (),
            |line| {
                let Ok(line) = serde_json::from_slice::<Line<'_>>(line) else { return true };
                if line.object.status.phase == "Running" && known.insert(line.object.metadata.name.to_owned()) {
                    // The channel holds every Pod of the test, so this fails only when nobody waits any more.
                    return seen.try_send(clock.boot()).is_ok();
                }
                true
            },
        )
        .await;
        if let Err(error) = watched {
            tracing::warn!(%error, "the watch of the test's Pods failed");
        }
    }
}

fn deployment(run: &str, number: u64, replicas: u32) -> Value {
    let name = format!("web-{number}");
    json!({
        "metadata": {"name": name, "labels": {RUN_LABEL: run}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name, RUN_LABEL: run}},
                "spec": {"containers": [{
                    "name": "nginx", "image": "nginx:1.21", "ports": [{"containerPort": 80}],
                    "resources": {"requests": {"cpu": "50m", "memory": "64Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
                }]},
            },
        },
    })
}
