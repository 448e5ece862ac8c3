//! The garbage collector: what all owners of have gone goes too.
//!
//! One elected member holds the graph of the whole cluster ([`graph`]), fed by the caches that the other controllers
//! share and by one slim informer for every other resource that can be deleted, listed and watched. Events are not
//! collected, and of Leases only the Nodes'. Nothing is decided before every informer has its first list: orphaning must
//! not miss a dependent. Start reading at [`GarbageCollector::run`], then [`work`].

mod graph;
mod work;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use client::{
    ApiRef, Change, Client, ClientError, EventKind, Informer, InformerOptions, Kept, Meta, Recorder, Regarding, known,
};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use serde::{Deserialize, Deserializer};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::discovery::{Discovery, Resources};
use crate::informers::Informers;
use crate::reconcile::{After, Controller, Loop, Queue};
use crate::share::Part;

use graph::{Graph, Kind, Todo};

/// How long a resource that cannot be listed may hold the others up.
const SYNC_DEADLINE: Duration = Duration::from_secs(30);
/// How soon a key is looked at again while the graph is not complete.
const NOT_READY_WAIT: Duration = Duration::from_millis(50);

/// What the caches of this process hold already.
const SHARED: [ApiRef; 9] = [
    known::PODS,
    known::NODES,
    known::DEPLOYMENTS,
    known::REPLICA_SETS,
    known::SERVICES,
    known::ENDPOINT_SLICES,
    known::NAMESPACES,
    known::SERVICE_ACCOUNTS,
    known::LEASES,
];

/// What is to be done with a uid.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Work {
    /// Look whether it has to be deleted.
    Delete(SmolStr),
    /// Let its dependents go.
    Orphan(SmolStr),
}

/// One term of the controller.
pub struct GarbageCollector {
    client: Client,
    informers: Arc<Informers>,
    discovery: Arc<Discovery>,
    recorder: Recorder,
    graph: Mutex<Graph>,
    resources: RwLock<Arc<Resources>>,
    work: OnceLock<Queue<Work>>,
    ready: AtomicBool,
}

/// Metadata without what no owner needs.
struct Slim {
    metadata: Meta,
}

impl<'de> Deserialize<'de> for Slim {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct Kept {
            name: SmolStr,
            namespace: SmolStr,
            uid: SmolStr,
            resource_version: SmolStr,
            deletion_timestamp: Option<SmolStr>,
            #[serde(deserialize_with = "client::tight")]
            owner_references: Vec<client::OwnerReference>,
            finalizers: Vec<SmolStr>,
        }
        #[derive(Deserialize)]
        struct Object {
            metadata: Kept,
        }
        let kept = Object::deserialize(from)?.metadata;
        let metadata = Meta {
            name: kept.name,
            namespace: kept.namespace,
            uid: kept.uid,
            resource_version: kept.resource_version,
            deletion_timestamp: kept.deletion_timestamp,
            owner_references: kept.owner_references,
            finalizers: kept.finalizers,
            ..Meta::default()
        };
        Ok(Self { metadata })
    }
}

impl Kept for Slim {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

/// An informer of the garbage collector's own.
struct Monitor {
    informer: Arc<Informer<Slim>>,
    end: CancellationToken,
}

impl GarbageCollector {
    /// A term, which knows nothing yet.
    pub fn new(client: Client, informers: Arc<Informers>, discovery: Arc<Discovery>, recorder: Recorder) -> Arc<Self> {
        Arc::new(Self {
            client,
            informers,
            discovery,
            recorder,
            graph: Mutex::default(),
            resources: RwLock::default(),
            work: OnceLock::new(),
            ready: AtomicBool::new(false),
        })
    }

    /// Runs the term to its end.
    pub async fn run(self: Arc<Self>, work: Loop, period: Duration, end: CancellationToken) {
        tokio::join!(work.run(self.clone()), self.follow_resources(period, end));
    }

    /// Starts and ends informers as resources come and go.
    async fn follow_resources(self: Arc<Self>, period: Duration, end: CancellationToken) {
        let mut monitors: HashMap<&'static ApiRef, Monitor> = HashMap::new();
        let mut pause = Duration::from_millis(100);
        loop {
            tokio::select! {
                followed = self.follow(&mut monitors, &end) => match followed {
                    Ok(()) => pause = period,
                    Err(error) => {
                        tracing::debug!(controller = "garbage_collector", %error, "discovery failed; it is tried again");
                        pause = (pause * 2).min(period);
                    }
                },
                () = end.cancelled() => return,
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = end.cancelled() => return,
            }
        }
    }

    async fn follow(
        self: &Arc<Self>,
        monitors: &mut HashMap<&'static ApiRef, Monitor>,
        end: &CancellationToken,
    ) -> Result<(), ClientError> {
        let resources = self.discovery.resources(Duration::ZERO).await?;
        let collected = |api: &ApiRef| {
            let shared = SHARED.iter().any(|shared| (shared.group, shared.plural) == (api.group, api.plural));
            let events = api.plural == "events" && matches!(api.group, "" | "events.k8s.io");
            !shared && !events
        };
        let wanted: Vec<&'static ApiRef> = resources
            .served
            .iter()
            .filter(|served| served.can(&["delete", "list", "watch"]) && collected(served.api))
            .map(|served| served.api)
            .collect();
        if resources.failures.is_empty() {
            monitors.retain(|api, monitor| {
                wanted.contains(api) || {
                    monitor.end.cancel();
                    false
                }
            });
        }
        *self.resources.write() = resources;
        let fresh: Vec<&'static ApiRef> = wanted.into_iter().filter(|api| !monitors.contains_key(api)).collect();
        for api in &fresh {
            let end = end.child_token();
            let informer = Informer::start(self.client.clone(), **api, InformerOptions::default(), end.clone());
            self.feed(&informer, api);
            monitors.insert(api, Monitor { informer, end });
        }
        let synced = fresh.iter().map(|api| monitors[api].informer.synced());
        let synced = futures_util::future::join_all(synced);
        if tokio::time::timeout(SYNC_DEADLINE, synced).await.is_err() {
            tracing::warn!(
                controller = "garbage_collector",
                "some resources cannot be listed; the others are collected"
            );
        }
        self.ready.store(true, Ordering::Release);
        Ok(())
    }

    /// Feeds the graph with the changes of a cache. A term must not outlive its end because of a handler.
    fn feed<T: Kept>(self: &Arc<Self>, informer: &Informer<T>, api: &'static ApiRef) {
        let term: Weak<Self> = Arc::downgrade(self);
        informer.on_change(move |change| {
            if let Some(term) = term.upgrade() {
                term.changed(api, change);
            }
        });
    }

    fn changed<T: Kept>(&self, api: &'static ApiRef, change: &Change<T>) {
        let todo = match change {
            Change::Added(new) => self.graph.lock().observe(api, new.meta()),
            Change::Updated(old, new) => {
                let (old, new) = (old.meta(), new.meta());
                let same = old.uid == new.uid
                    && old.owner_references == new.owner_references
                    && old.finalizers == new.finalizers
                    && old.deletion_timestamp == new.deletion_timestamp;
                if same {
                    return;
                }
                let mut graph = self.graph.lock();
                let mut todo = if old.uid == new.uid { Vec::new() } else { graph.remove(&old.uid) };
                todo.extend(graph.observe(api, new));
                todo
            }
            Change::Deleted(old) => self.graph.lock().remove(&old.meta().uid),
        };
        self.queue_all(todo);
    }

    fn queue(&self, work: Work) {
        if let Some(queue) = self.work.get() {
            queue.add(work);
        }
    }

    fn queue_all(&self, todo: Vec<Todo>) {
        let Some(queue) = self.work.get() else { return };
        for todo in todo {
            match todo {
                Todo::Delete(uid) => queue.add(Work::Delete(uid)),
                Todo::DeleteLater(uid) => queue.add_rate_limited(Work::Delete(uid)),
                Todo::Orphan(uid) => queue.add(Work::Orphan(uid)),
                Todo::Report(uid, reference) => self.report(&uid, &reference),
            }
        }
    }

    fn report(&self, dependent: &SmolStr, reference: &client::OwnerReference) {
        let Some(item) = self.graph.lock().item(dependent) else { return };
        let Kind::Known(api) = item.identity.kind else { return };
        let namespace = &item.identity.namespace;
        let message = format!(
            "ownerRef [{}/{}, namespace: {namespace}, name: {}, uid: {}] does not exist in namespace \"{namespace}\"",
            reference.api_version, reference.kind, reference.name, reference.uid
        );
        let regarding = Regarding {
            api: *api,
            namespace: namespace.to_string(),
            name: item.identity.name.to_string(),
            uid: item.identity.uid.to_string(),
            field_path: String::new(),
        };
        self.recorder.event(&regarding, EventKind::Warning, "OwnerRefInvalidNamespace", &message);
    }
}

impl Controller for GarbageCollector {
    type Key = Work;

    fn name(&self) -> &'static str {
        "garbage_collector_attempt_to_delete"
    }

    fn start(self: Arc<Self>, queue: Queue<Work>) {
        // The only call: see the trait.
        let _ = self.work.set(queue);
        let informers = self.informers.clone();
        self.feed(&informers.pods, &known::PODS);
        self.feed(&informers.nodes, &known::NODES);
        self.feed(&informers.deployments, &known::DEPLOYMENTS);
        self.feed(&informers.replica_sets, &known::REPLICA_SETS);
        self.feed(&informers.services, &known::SERVICES);
        self.feed(&informers.endpoint_slices, &known::ENDPOINT_SLICES);
        self.feed(&informers.namespaces, &known::NAMESPACES);
        self.feed(&informers.service_accounts, &known::SERVICE_ACCOUNTS);
        self.feed(&informers.leases, &known::LEASES);
    }

    fn part(&self, _work: &Work) -> Part {
        Part::Term
    }

    fn keys(&self) -> Vec<Work> {
        Vec::new()
    }

    async fn reconcile(&self, work: &Work) -> Result<After, ClientError> {
        if !self.ready.load(Ordering::Acquire) {
            return Ok(After::In(NOT_READY_WAIT));
        }
        match work {
            Work::Delete(uid) => self.attempt_to_delete(uid).await,
            Work::Orphan(uid) => self.attempt_to_orphan(uid).await,
        }
    }
}
