//! EndpointSlices: which Pods are behind a Service.
//!
//! A Service is looked at as a whole, a moment after the first of several changes of its Pods, so that a rollout costs
//! few writes. Start reading at [`EndpointSlices::sync`]; what an endpoint says is in [`endpoints`], which slice it goes
//! into in [`packing`].
//!
//! Left out: topology hints (trafficDistribution), the last-change-trigger-time annotation, and the legacy Endpoints
//! objects, which another controller writes in Kubernetes.

mod endpoints;
mod packing;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::document::Map;
use api::patch::PatchType;
use client::{Change, Client, ClientError, EventKind, Key, Recorder, Regarding, known};
use serde_json::json;
use smol_str::SmolStr;

use crate::claim::controller_reference;
use crate::informers::{Informers, cluster_key, service_of};
use crate::metrics::{Metrics, Operation};
use crate::reconcile::{After, Controller, Queue};
use crate::share::Part;
use crate::views::{EndpointSlice, Pod, Service};
use crate::written::{EXPIRY, Written, number};

use packing::{Content, Wanted};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const HEADLESS: &str = "service.kubernetes.io/headless";
const CONTROLLER: &str = "endpointslice-controller.k8s.io";

/// The controller.
pub struct EndpointSlices {
    client: Client,
    informers: Arc<Informers>,
    recorder: Recorder,
    metrics: Metrics,
    written: Written,
    most: usize,
    batch: Duration,
}

impl EndpointSlices {
    /// A controller over shared caches: at most `most` endpoints in a slice; changes of Pods wait `batch` for others.
    pub fn new(
        client: Client,
        informers: Arc<Informers>,
        recorder: Recorder,
        metrics: Metrics,
        most: usize,
        batch: Duration,
    ) -> Arc<Self> {
        let written = Written::new(client.ambient().clock.clone());
        Arc::new(Self { client, informers, recorder, metrics, written, most: most.max(1), batch })
    }

    async fn sync(&self, key: &Key, service: &Service) -> Result<(), ClientError> {
        let existing: Vec<Arc<EndpointSlice>> = self.informers.slices_by_service.group(key);
        let mut existing: Vec<_> = existing
            .into_iter()
            .filter(|slice| slice.label(MANAGED_BY) == CONTROLLER && !slice.metadata.is_deleting())
            .collect();
        existing.sort_by(|a, b| a.metadata.name.cmp(&b.metadata.name));
        let owned = |slice: &EndpointSlice| {
            let mut owners = slice.metadata.owner_references.iter();
            owners.any(|owner| owner.uid == service.metadata.uid && owner.kind == "Service")
        };
        let types = endpoints::address_types(service);
        let (mut ours, foreign): (Vec<_>, Vec<_>) =
            existing.into_iter().partition(|slice| owned(slice) && types.contains(&slice.address_type.as_str()));
        for slice in foreign {
            self.delete(&slice).await?;
        }
        let pods = self.informers.pods.namespace(&service.metadata.namespace);
        for address_type in types {
            let (slices, rest) = ours.into_iter().partition(|slice| slice.address_type == address_type);
            ours = rest;
            let wanted = self.wanted(service, &pods, address_type);
            self.write(key, service, address_type, slices, wanted).await?;
        }
        Ok(())
    }

    fn wanted(&self, service: &Service, pods: &[Arc<Pod>], address_type: &str) -> Wanted {
        let mut wanted = Wanted::new();
        for pod in pods {
            if !endpoints::is_candidate(pod) || !service.selects(&pod.metadata.labels) {
                continue;
            }
            let node = self.informers.nodes.get(&cluster_key(pod.spec.node_name.clone()));
            if node.is_none() && !service.spec.publish_not_ready_addresses {
                // Its Node is gone, and the Pod with it; when the Node shows up, its Pods' Services are queued.
                continue;
            }
            if let Some(endpoint) = endpoints::of_pod(pod, node.as_deref(), service, address_type) {
                wanted.entry(endpoints::ports_of(pod, service)).or_default().push(endpoint);
            }
        }
        wanted
    }

    async fn write(
        &self,
        key: &Key,
        service: &Service,
        address_type: &str,
        slices: Vec<Arc<EndpointSlice>>,
        wanted: Wanted,
    ) -> Result<(), ClientError> {
        let labels = labels_of(service);
        let mut plan = packing::plan(&slices, wanted, self.most);
        for slice in slices {
            let planned = |other: &Arc<EndpointSlice>| other.metadata.uid == slice.metadata.uid;
            let written = plan.update.iter().any(|(other, _)| planned(other)) || plan.delete.iter().any(planned);
            if !written && slice.metadata.labels != labels {
                let content = Content { ports: slice.ports.clone(), endpoints: slice.endpoints.clone() };
                plan.update.push((slice, content));
            }
        }
        if !service.metadata.is_deleting() {
            for content in plan.create {
                self.create(key, service, address_type, &labels, &content).await?;
            }
        }
        for (slice, content) in plan.update {
            self.update(key, &slice, &labels, &content).await?;
        }
        for slice in plan.delete {
            self.delete(&slice).await?;
        }
        Ok(())
    }

    async fn create(
        &self,
        key: &Key,
        service: &Service,
        address_type: &str,
        labels: &BTreeMap<SmolStr, SmolStr>,
        content: &Content,
    ) -> Result<(), ClientError> {
        let meta = &service.metadata;
        let body = json!({
            "apiVersion": "discovery.k8s.io/v1",
            "kind": "EndpointSlice",
            "metadata": {
                "generateName": format!("{}-", meta.name),
                "namespace": meta.namespace,
                "labels": labels,
                "ownerReferences": [controller_reference(&known::SERVICES, meta)],
            },
            "addressType": address_type,
            "endpoints": content.endpoints,
            "ports": content.ports,
        });
        match self.client.create::<EndpointSlice>(&known::ENDPOINT_SLICES, &meta.namespace, &body).await {
            Ok(answer) => {
                self.note(key, &answer, "create");
                Ok(())
            }
            Err(_) if self.informers.is_terminating(&meta.namespace) => Ok(()),
            Err(error) => Err(error),
        }
    }

    async fn update(
        &self,
        key: &Key,
        slice: &EndpointSlice,
        labels: &BTreeMap<SmolStr, SmolStr>,
        content: &Content,
    ) -> Result<(), ClientError> {
        let meta = &slice.metadata;
        let mut new_labels: Map<String, Value> =
            labels.iter().map(|(key, value)| (key.to_string(), json!(value))).collect();
        for old in meta.labels.keys().filter(|old| !labels.contains_key(*old)) {
            new_labels.insert(old.to_string(), Value::Null);
        }
        let patch = json!({
            "metadata": { "resourceVersion": meta.resource_version, "labels": new_labels },
            "endpoints": content.endpoints,
            "ports": content.ports,
        });
        let api = known::ENDPOINT_SLICES;
        let answer = self.client.patch(&api, &meta.namespace, &meta.name, "", PatchType::Merge, &patch).await?;
        self.note(key, &answer, "update");
        Ok(())
    }

    async fn delete(&self, slice: &EndpointSlice) -> Result<(), ClientError> {
        let meta = &slice.metadata;
        let options = json!({ "kind": "DeleteOptions", "apiVersion": "v1", "preconditions": { "uid": meta.uid } });
        match self.client.delete(&known::ENDPOINT_SLICES, &meta.namespace, &meta.name, &options).await {
            Ok(_) => {
                self.metrics.slice_changes.get_or_create(&Operation { operation: "delete" }).inc();
                Ok(())
            }
            Err(error) if error.is_not_found() || error.is_conflict() => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn note(&self, key: &Key, answer: &EndpointSlice, operation: &'static str) {
        self.metrics.slice_changes.get_or_create(&Operation { operation }).inc();
        let cached = || self.informers.endpoint_slices.get(&answer.metadata.key());
        self.written.note(key, &answer.metadata, || number(&cached()?.metadata.resource_version));
    }

    /// Queues the Services that select a Pod.
    fn pod_changed(&self, queue: &Queue<Key>, pod: &Pod) {
        if pod.metadata.labels.is_empty() {
            return;
        }
        for service in self.informers.services.namespace(&pod.metadata.namespace) {
            if service.selects(&pod.metadata.labels) {
                queue.add_after(service.metadata.key(), self.batch);
            }
        }
    }

    fn watch_pods(self: &Arc<Self>, queue: &Queue<Key>) {
        let (this, to) = (self.clone(), queue.clone());
        self.informers.pods.on_change(move |change| match change {
            Change::Updated(old, new) => {
                if old.metadata.labels != new.metadata.labels {
                    this.pod_changed(&to, old);
                }
                if endpoints::differs(old, new) {
                    this.pod_changed(&to, new);
                }
            }
            // A Pod without an address is no endpoint yet, or was none.
            Change::Added(pod) | Change::Deleted(pod) if endpoints::is_candidate(pod) => this.pod_changed(&to, pod),
            Change::Added(_) | Change::Deleted(_) => {}
        });
    }

    fn watch_nodes(self: &Arc<Self>, queue: &Queue<Key>) {
        let (this, to) = (self.clone(), queue.clone());
        self.informers.nodes.on_change(move |change| {
            let zone = "topology.kubernetes.io/zone";
            if let Change::Updated(old, new) = change
                && old.label(zone) == new.label(zone)
            {
                return;
            }
            for pod in this.informers.pods_by_node.group(change.object().metadata.name.as_str()) {
                this.pod_changed(&to, &pod);
            }
        });
    }
}

/// The labels that the slices of a Service have: its own, and those that say whose they are.
fn labels_of(service: &Service) -> BTreeMap<SmolStr, SmolStr> {
    let mut labels = service.metadata.labels.clone();
    labels.remove(HEADLESS);
    if !service.has_cluster_ip() {
        labels.insert(HEADLESS.into(), SmolStr::default());
    }
    labels.insert(SERVICE_NAME.into(), service.metadata.name.clone());
    labels.insert(MANAGED_BY.into(), CONTROLLER.into());
    labels
}

impl Controller for EndpointSlices {
    type Key = Key;

    fn name(&self) -> &'static str {
        "endpoint_slice"
    }

    fn start(self: Arc<Self>, queue: Queue<Key>) {
        let to = queue.clone();
        self.informers.services.on_change(move |change| to.add(change.object().metadata.key()));
        self.watch_pods(&queue);
        self.watch_nodes(&queue);
        let this = self.clone();
        self.informers.endpoint_slices.on_change(move |change| {
            let slice = change.object();
            let Some(key) = service_of(slice) else { return };
            this.written.seen(&key, &slice.metadata, matches!(change, Change::Deleted(_)));
            if slice.label(MANAGED_BY) == CONTROLLER {
                queue.add_after(key, this.batch);
            }
        });
    }

    fn part(&self, key: &Key) -> Part {
        Part::Namespace(key.namespace.clone())
    }

    fn keys(&self) -> Vec<Key> {
        self.informers.services.list().iter().map(|service| service.metadata.key()).collect()
    }

    async fn reconcile(&self, key: &Key) -> Result<After, ClientError> {
        let Some(service) = self.informers.services.get(key) else {
            // The garbage collector removes what it owned.
            self.written.forget(key);
            return Ok(After::Done);
        };
        if service.spec.kind == "ExternalName" || service.spec.selector.is_empty() {
            return Ok(After::Done);
        }
        if self.written.pending(key) {
            return Ok(After::In(EXPIRY));
        }
        match self.sync(key, &service).await {
            Ok(()) => Ok(After::Done),
            Err(error) if error.is_conflict() => Err(error),
            Err(error) => {
                let regarding = Regarding::object(known::SERVICES, &service.metadata);
                let message =
                    format!("Error updating Endpoint Slices for Service {}/{}: {error}", key.namespace, key.name);
                self.recorder.event(&regarding, EventKind::Warning, "FailedToUpdateEndpointSlices", &message);
                Err(error)
            }
        }
    }
}
