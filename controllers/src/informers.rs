//! The caches that the controllers of one process share: each object is parsed and kept once, whoever looks at it.

use std::sync::Arc;

use client::{Client, Informer, InformerOptions, Kept, Key, known};
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use crate::index::Index;
use crate::views::{Deployment, EndpointSlice, Lease, Namespace, Node, Pod, ReplicaSet, Service, ServiceAccount};

/// Namespace of the kubelets' Leases.
pub const NODE_LEASES: &str = "kube-node-lease";

/// Shared caches and the indexes over them.
pub struct Informers {
    /// Pods.
    pub pods: Arc<Informer<Pod>>,
    /// Nodes.
    pub nodes: Arc<Informer<Node>>,
    /// Deployments.
    pub deployments: Arc<Informer<Deployment>>,
    /// ReplicaSets.
    pub replica_sets: Arc<Informer<ReplicaSet>>,
    /// Services.
    pub services: Arc<Informer<Service>>,
    /// EndpointSlices.
    pub endpoint_slices: Arc<Informer<EndpointSlice>>,
    /// Namespaces.
    pub namespaces: Arc<Informer<Namespace>>,
    /// ServiceAccounts.
    pub service_accounts: Arc<Informer<ServiceAccount>>,
    /// The kubelets' Leases.
    pub leases: Arc<Informer<Lease>>,
    /// Pods by the uid of their controller.
    pub pods_by_owner: Arc<Index<SmolStr, Pod>>,
    /// Pods without a controller, by namespace.
    pub orphan_pods: Arc<Index<SmolStr, Pod>>,
    /// Pods by the Node that they are bound to.
    pub pods_by_node: Arc<Index<SmolStr, Pod>>,
    /// ReplicaSets by the uid of their controller.
    pub sets_by_owner: Arc<Index<SmolStr, ReplicaSet>>,
    /// ReplicaSets without a controller, by namespace.
    pub orphan_sets: Arc<Index<SmolStr, ReplicaSet>>,
    /// EndpointSlices by the Service that they name.
    pub slices_by_service: Arc<Index<Key, EndpointSlice>>,
}

fn owner_of<T: Kept>(object: &T) -> Option<SmolStr> {
    object.meta().controller().map(|owner| owner.uid.clone())
}

fn orphan_of<T: Kept>(object: &T) -> Option<SmolStr> {
    object.meta().controller().is_none().then(|| object.meta().namespace.clone())
}

/// The Service that a slice belongs to.
pub fn service_of(slice: &EndpointSlice) -> Option<Key> {
    let name = slice.metadata.labels.get("kubernetes.io/service-name").filter(|name| !name.is_empty())?;
    Some(Key { namespace: slice.metadata.namespace.clone(), name: name.clone() })
}

impl Informers {
    /// Starts them all. The indexes are connected first, so that every later handler finds them up to date.
    pub fn start(client: &Client, shutdown: &CancellationToken) -> Arc<Self> {
        let all = InformerOptions::default;
        let pods = Informer::start(client.clone(), known::PODS, all(), shutdown.clone());
        let replica_sets = Informer::start(client.clone(), known::REPLICA_SETS, all(), shutdown.clone());
        let endpoint_slices = Informer::start(client.clone(), known::ENDPOINT_SLICES, all(), shutdown.clone());
        let leases = InformerOptions { namespace: NODE_LEASES.to_owned(), ..all() };
        Arc::new(Self {
            nodes: Informer::start(client.clone(), known::NODES, all(), shutdown.clone()),
            deployments: Informer::start(client.clone(), known::DEPLOYMENTS, all(), shutdown.clone()),
            services: Informer::start(client.clone(), known::SERVICES, all(), shutdown.clone()),
            namespaces: Informer::start(client.clone(), known::NAMESPACES, all(), shutdown.clone()),
            service_accounts: Informer::start(client.clone(), known::SERVICE_ACCOUNTS, all(), shutdown.clone()),
            leases: Informer::start(client.clone(), known::LEASES, leases, shutdown.clone()),
            pods_by_owner: Index::follow(&pods, owner_of),
            orphan_pods: Index::follow(&pods, orphan_of),
            pods_by_node: Index::follow(&pods, |pod: &Pod| {
                Some(pod.spec.node_name.clone()).filter(|name| !name.is_empty())
            }),
            sets_by_owner: Index::follow(&replica_sets, owner_of),
            orphan_sets: Index::follow(&replica_sets, orphan_of),
            slices_by_service: Index::follow(&endpoint_slices, service_of),
            pods,
            replica_sets,
            endpoint_slices,
        })
    }

    /// Waits until all of them hold their first list.
    pub async fn synced(&self) {
        self.pods.synced().await;
        self.nodes.synced().await;
        self.deployments.synced().await;
        self.replica_sets.synced().await;
        self.services.synced().await;
        self.endpoint_slices.synced().await;
        self.namespaces.synced().await;
        self.service_accounts.synced().await;
        self.leases.synced().await;
    }

    /// Whether nothing can be created in a namespace any more, as far as the cache knows.
    pub fn is_terminating(&self, namespace: &str) -> bool {
        let key = Key { namespace: SmolStr::default(), name: namespace.into() };
        self.namespaces.get(&key).is_none_or(|namespace| namespace.metadata.is_deleting())
    }
}

/// The key of a cluster-scoped object.
pub fn cluster_key(name: impl Into<SmolStr>) -> Key {
    Key { namespace: SmolStr::default(), name: name.into() }
}
