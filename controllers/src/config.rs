//! What can be set, with Kubernetes' defaults (kube-controller-manager v1.36) unless it says otherwise.

use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

/// How many keys of each controller are worked on at once.
///
/// Kubernetes' defaults (5 for most) ration an API server that takes 5 ms a write; these saturate one that batches
/// writes, and an idle worker costs nothing.
#[derive(Clone, Copy, Debug)]
pub struct Concurrency {
    /// Deployments (Kubernetes: 5).
    pub deployment: usize,
    /// ReplicaSets (Kubernetes: 5).
    pub replica_set: usize,
    /// Services (Kubernetes: 5).
    pub endpoint_slice: usize,
    /// Namespaces that are deleted (Kubernetes: 10).
    pub namespace: usize,
    /// Namespaces that need their ServiceAccount and root CA (Kubernetes: 5).
    pub service_account: usize,
    /// Objects that the garbage collector looks at (Kubernetes: 20).
    pub garbage_collector: usize,
    /// Nodes that need a podCIDR (Kubernetes: 30).
    pub node_ipam: usize,
    /// Nodes whose taints follow their conditions (Kubernetes: 8).
    pub node_lifecycle: usize,
    /// Pods that taints may evict (Kubernetes: 8).
    pub taint_eviction: usize,
}

impl Default for Concurrency {
    fn default() -> Self {
        Self {
            deployment: 32,
            replica_set: 64,
            endpoint_slice: 16,
            namespace: 10,
            service_account: 16,
            garbage_collector: 20,
            node_ipam: 64,
            node_lifecycle: 64,
            taint_eviction: 32,
        }
    }
}

/// Where Nodes get their podCIDR from.
#[derive(Clone, Debug)]
pub struct NodeIpamConfig {
    /// --cluster-cidr. The default holds 32,768 Nodes of 254 Pods each and stays clear of the default service range
    /// 10.96.0.0/12. 10.0.0.0/8 with a mask of 25 holds 122,880 Nodes of 126 Pods, the service range left out.
    pub cluster_cidr: Ipv4Net,
    /// --node-cidr-mask-size
    pub node_mask: u8,
    /// --service-cluster-ip-range: never given to Nodes, where it overlaps with the cluster's range.
    pub service_cidr: Option<Ipv4Net>,
    /// --allocate-node-cidrs
    pub allocate: bool,
}

impl Default for NodeIpamConfig {
    fn default() -> Self {
        let net = |a, b, mask| Ipv4Net::new(Ipv4Addr::new(a, b, 0, 0), mask).expect("the mask is below 32");
        Self { cluster_cidr: net(10, 128, 9), node_mask: 24, service_cidr: Some(net(10, 96, 12)), allocate: true }
    }
}

/// When Nodes count as lost and how fast their Pods leave them.
#[derive(Clone, Copy, Debug)]
pub struct NodeLifecycleConfig {
    /// --node-monitor-period
    pub monitor_period: Duration,
    /// --node-monitor-grace-period
    pub monitor_grace_period: Duration,
    /// --node-startup-grace-period
    pub startup_grace_period: Duration,
    /// --node-eviction-rate: Nodes per second that are tainted NoExecute in a healthy zone.
    pub eviction_rate: f32,
    /// --secondary-node-eviction-rate: the same in an unhealthy, large zone.
    pub secondary_eviction_rate: f32,
    /// --large-cluster-size-threshold: zones up to this size are not evicted from at all when unhealthy.
    pub large_cluster_threshold: usize,
    /// --unhealthy-zone-threshold: share of Nodes that are not ready in an unhealthy zone.
    pub unhealthy_zone_threshold: f32,
}

impl Default for NodeLifecycleConfig {
    fn default() -> Self {
        Self {
            monitor_period: Duration::from_secs(5),
            monitor_grace_period: Duration::from_secs(50),
            startup_grace_period: Duration::from_secs(60),
            eviction_rate: 0.1,
            secondary_eviction_rate: 0.01,
            large_cluster_threshold: 50,
            unhealthy_zone_threshold: 0.55,
        }
    }
}

/// When Pods that nobody wants are removed.
#[derive(Clone, Copy, Debug)]
pub struct PodGcConfig {
    /// --terminated-pod-gc-threshold; 0: never.
    pub terminated_threshold: usize,
    /// How often it looks.
    pub period: Duration,
    /// For how long a Node must have been missing before its Pods are removed.
    pub quarantine: Duration,
}

impl Default for PodGcConfig {
    fn default() -> Self {
        Self { terminated_threshold: 12_500, period: Duration::from_secs(20), quarantine: Duration::from_secs(40) }
    }
}

/// Everything that [`crate::Controllers::start`] can be told.
#[derive(Clone, Debug)]
pub struct ControllersConfig {
    /// Keys at once.
    pub concurrency: Concurrency,
    /// No reconcile takes longer.
    pub reconcile_deadline: Duration,
    /// podCIDRs.
    pub node_ipam: NodeIpamConfig,
    /// Node health.
    pub node_lifecycle: NodeLifecycleConfig,
    /// Pod garbage collection.
    pub pod_gc: PodGcConfig,
    /// --enable-garbage-collector
    pub garbage_collector: bool,
    /// How often discovery is asked for new resources to collect (Kubernetes: 30 s).
    pub discovery_period: Duration,
    /// --max-endpoints-per-slice
    pub max_endpoints_per_slice: usize,
    /// --endpointslice-updates-batch-period: changes of Pods wait so long for others (Kubernetes: 0, in effect the pace
    /// of its client's rate limit).
    pub endpoint_updates_batch_period: Duration,
    /// How long a Namespace rests before its content is deleted, so that every server knows that it is terminating
    /// (Kubernetes: 5 s, not settable). One writer per Namespace needs no such pause; spread kinds and other servers do.
    pub namespace_deletion_grace_period: Duration,
    /// PEM of the CA that is published as `kube-root-ca.crt` in every Namespace; `None`: it is not published.
    pub root_ca: Option<String>,
}

impl Default for ControllersConfig {
    fn default() -> Self {
        Self {
            concurrency: Concurrency::default(),
            reconcile_deadline: Duration::from_secs(60),
            node_ipam: NodeIpamConfig::default(),
            node_lifecycle: NodeLifecycleConfig::default(),
            pod_gc: PodGcConfig::default(),
            garbage_collector: true,
            discovery_period: Duration::from_secs(30),
            max_endpoints_per_slice: 100,
            endpoint_updates_batch_period: Duration::from_millis(100),
            namespace_deletion_grace_period: Duration::from_secs(1),
            root_ca: None,
        }
    }
}
