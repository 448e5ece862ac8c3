//! What can be measured, a file each.

mod deployments;
mod leases;
mod list;
mod nodes;
mod pods;
mod watch;

use bytes::Bytes;
use client::{ApiRef, known};
use http::Method;
use serde_json::{Value, json};

use crate::api_call::{fetch, request, send};
use crate::pace::{Load, drive};
use crate::{Bench, LoadError, Measured, Report};

/// One measurement.
#[derive(Clone, Debug, clap::Subcommand)]
pub enum Mode {
    /// Renew node Leases, as kubelets do every 10 s
    Leases {
        /// Leases that take turns; best more than there are requests in flight
        #[arg(long, default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..))]
        nodes: u32,
    },
    /// Create Nodes
    Nodes {
        /// How many
        #[arg(long, default_value_t = 5000)]
        count: u32,
    },
    /// Create Pods that no scheduler takes
    Pods {
        /// How many
        #[arg(long, default_value_t = 5000)]
        count: u32,
    },
    /// List Pods of all namespaces
    List {
        /// Pods that are there to be listed; made first, without a scheduler
        #[arg(long, default_value_t = 20_000)]
        pods: u32,
        /// Page size; 0: everything in one answer
        #[arg(long, default_value_t = 0)]
        limit: u32,
    },
    /// Watch Pods of all namespaces while they change
    Watch {
        /// Watchers
        #[arg(long, default_value_t = 50)]
        watchers: u32,
        /// Nodes that the Pods are bound to: each watcher watches the Pods of one node, in turn, as a kubelet does. 0: the
        /// Pods are bound to none, and each watcher watches all of them
        #[arg(long, default_value_t = 0)]
        nodes: u32,
        /// Pods that are labelled again and again
        #[arg(long, default_value_t = 1000)]
        pods: u32,
    },
    /// Create Deployments and wait until their Pods run
    Deployments {
        /// Deployments
        #[arg(long, default_value_t = 100)]
        count: u32,
        /// Pods of each
        #[arg(long, default_value_t = 50)]
        replicas: u32,
        /// Seconds to wait at most
        #[arg(long, default_value_t = 600)]
        timeout: u64,
    },
}

/// Runs the mode of the command line.
pub(crate) async fn run(bench: &Bench<'_>) -> Result<Report, LoadError> {
    match &bench.command.mode {
        Mode::Leases { nodes } => leases::run(bench, *nodes).await,
        Mode::Nodes { count } => nodes::run(bench, *count).await,
        Mode::Pods { count } => pods::run(bench, *count).await,
        Mode::List { pods, limit } => list::run(bench, *pods, *limit).await,
        Mode::Watch { watchers, nodes, pods } => watch::run(bench, *watchers, *nodes, *pods).await,
        Mode::Deployments { count, replicas, timeout } => deployments::run(bench, *count, *replicas, *timeout).await,
    }
}

const JSON: &str = "application/json";

/// A label that finds what this run made.
const RUN_LABEL: &str = "loadtest.shardplane.dev/run";

/// Creates `count` objects made by `object(number)` as fast as the load allows.
async fn create_all(
    bench: &Bench<'_>,
    name: &str,
    api: ApiRef,
    namespace: &str,
    count: u32,
    object: impl Fn(u64) -> Value + Clone + Send + Sync + 'static,
) -> Measured {
    let transports = bench.transports.clone();
    let path = api.collection(namespace);
    let load = Load { name: name.to_owned(), total: Some(u64::from(count)), duration: std::time::Duration::MAX / 4 };
    drive(bench, load, move |worker, number| {
        let transport = transports[worker % transports.len()].clone();
        let request = request(Method::POST, &path, JSON, body(&object(number)));
        async move { send(&transport, request).await }
    })
    .await
}

fn body(value: &Value) -> Bytes {
    serde_json::to_vec(value).expect("a Value always serialises").into()
}

/// The namespace of this run.
async fn make_namespace(bench: &Bench<'_>) -> Result<String, LoadError> {
    let name = format!("loadtest-{}", bench.run);
    let object = json!({"metadata": {"name": name}});
    let create = request(Method::POST, &known::NAMESPACES.collection(""), JSON, body(&object));
    send(&bench.transports[0], create).await.map_err(LoadError::during(format!("creating namespace {name}")))?;
    // Pods wait for the namespace's ServiceAccount: where no controller makes it, the run does.
    let account = json!({"metadata": {"name": "default"}});
    let create = request(Method::POST, &known::SERVICE_ACCOUNTS.collection(&name), JSON, body(&account));
    match send(&bench.transports[0], create).await {
        Ok(_) => Ok(name),
        Err(error) if error.is_already_exists() => Ok(name),
        Err(error) => Err(LoadError::during(format!("creating the ServiceAccount of {name}"))(error)),
    }
}

/// Removes a collection's objects of this run, and the namespace if there is one; says so where that fails.
async fn clean_up(bench: &Bench<'_>, collections: &[(ApiRef, &str)], namespace: Option<&str>) -> Result<(), LoadError> {
    if bench.command.keep {
        return Ok(());
    }
    for (api, in_namespace) in collections {
        let path = format!("{}?labelSelector={RUN_LABEL}%3D{}", api.collection(in_namespace), bench.run);
        let options = json!({"kind": "DeleteOptions", "apiVersion": "v1", "gracePeriodSeconds": 0});
        let delete = request(Method::DELETE, &path, JSON, body(&options));
        let doing = format!("removing {}", api.plural);
        send(&bench.transports[0], delete).await.map_err(LoadError::during(doing))?;
    }
    if let Some(name) = namespace {
        let delete = request(Method::DELETE, &known::NAMESPACES.object("", name, ""), JSON, Bytes::new());
        send(&bench.transports[0], delete).await.map_err(LoadError::during(format!("removing namespace {name}")))?;
    }
    Ok(())
}

/// A Pod of about 3 kB: what a Deployment's Pod weighs in a cluster with the usual sidecars and probes.
fn pod(bench_run: &str, name: &str, scheduler: &str) -> Value {
    let container = |name: &str| {
        json!({
            "name": name, "image": "registry.example/team/service:1.21.4",
            "command": ["/bin/server"], "args": ["--listen=0.0.0.0:8080", "--log-level=info", "--shutdown-grace=20s"],
            "env": [
                {"name": "POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                {"name": "REGION", "value": "eu-central"},
                {"name": "FEATURES", "value": "fast-path,structured-logs,tracing"},
            ],
            "ports": [{"name": "http", "containerPort": 8080}],
            "resources": {"requests": {"cpu": "10m", "memory": "16Mi"}, "limits": {"cpu": "100m", "memory": "64Mi"}},
            "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 5},
            "livenessProbe": {"httpGet": {"path": "/alive", "port": "http"}, "periodSeconds": 10},
            "volumeMounts": [{"name": "config", "mountPath": "/etc/service"}, {"name": "cache", "mountPath": "/cache"}],
        })
    };
    json!({
        "metadata": {
            "name": name,
            "labels": {RUN_LABEL: bench_run, "app": "service", "tier": "backend", "pod-template-hash": "6d4cf56db6"},
            "annotations": {"prometheus.io/scrape": "true", "prometheus.io/port": "8080"},
        },
        "spec": {
            "schedulerName": scheduler,
            "containers": [container("service"), container("sidecar")],
            "volumes": [{"name": "config", "configMap": {"name": "service"}}, {"name": "cache", "emptyDir": {}}],
            "nodeSelector": {"kubernetes.io/os": "linux"},
        },
    })
}

/// A scheduler that nobody runs, so that Pods stay Pending and only the API is measured.
const NO_SCHEDULER: &str = "loadtest.shardplane.dev/none";

/// The collection's version, to watch from.
async fn version_of(bench: &Bench<'_>, api: ApiRef, namespace: &str) -> Result<String, LoadError> {
    let path = format!("{}?limit=1", api.collection(namespace));
    let list = fetch(&bench.transports[0], request(Method::GET, &path, JSON, Bytes::new())).await;
    let list = list.map_err(LoadError::during(format!("listing {}", api.plural)))?;
    Ok(list["metadata"]["resourceVersion"].as_str().unwrap_or_default().to_owned())
}
