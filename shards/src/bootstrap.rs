//! What every cluster has from its first moment: four Namespaces, two PriorityClasses, the range of Services, the Service
//! that leads back to this API, an APIService for each group and version that is built in, and the roles and bindings that
//! RBAC begins with ([`roles`]).

mod roles;

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use api::status::Reason;
use api::{Object, Status, Value};
use api::{Registry, Resource};
use bytes::Bytes;
use futures_util::future::{try_join_all, try_join3};
use ipnet::Ipv4Net;
use serde_json::json;
use smol_str::SmolStr;

use crate::definitions::api_services;
use crate::service::{Answer, Format, Outcome, Request, UserInfo, Verb, WriteOptions};
use crate::topology::Topology;

/// Times that an object is tried again while its shard is not ready.
const TRIES: u32 = 20;
/// … while it is refused.
const FEW_TRIES: u32 = 5;

/// What a cluster is made with.
#[derive(Clone)]
pub struct Bootstrap {
    /// The logical cluster.
    pub cluster: SmolStr,
    /// The kinds.
    pub registry: Arc<Registry>,
    /// Where uids come from.
    pub ambient: Ambient,
    /// Where ClusterIPs come from; its first address is the API's.
    pub service_cidr: Ipv4Net,
    /// Where others reach the API: the endpoint behind that address. Without one, or with a loopback address, which
    /// no endpoint may have, the Service has no endpoints.
    pub advertise: Option<(Ipv4Addr, u16)>,
}

/// The port that the API listens on unless it is told otherwise.
const SECURE_PORT: u16 = 6443;

/// Makes what is missing of a cluster whose API advertises no address. See [`Bootstrap::run`].
pub async fn bootstrap(
    topology: &Topology,
    registry: &Arc<Registry>,
    ambient: &Ambient,
    cluster: &str,
    service_cidr: Ipv4Net,
) -> Result<(), Status> {
    let (registry, ambient) = (registry.clone(), ambient.clone());
    Bootstrap { cluster: cluster.into(), registry, ambient, service_cidr, advertise: None }.run(topology).await
}

impl Bootstrap {
    /// Makes what is missing. The shards must be connected and running. May be called at every start.
    pub async fn run(&self, topology: &Topology) -> Result<(), Status> {
        // What does not need each other shares its commits: a first start waits for three of them.
        let local = api_services::built_in(&self.registry);
        let mut first = Vec::new();
        for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
            let body = json!({"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name}}});
            first.push(ensure(topology, self, "namespaces", ("", name), body));
        }
        for (name, value, description) in CLASSES {
            let body = json!({"metadata": {"name": name}, "value": value, "description": description});
            first.push(ensure(topology, self, "priorityclasses.scheduling.k8s.io", ("", name), body));
        }
        let range = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [self.service_cidr.to_string()]}});
        first.push(ensure(topology, self, "servicecidrs.networking.k8s.io", ("", "kubernetes"), range));
        for (name, body) in &local {
            first.push(ensure(topology, self, api_services::ID_NAME, ("", name), body.clone()));
        }
        try_join_all(first).await?;
        let at = ("default", "kubernetes");
        let service = ensure(topology, self, "services", at, self.service());
        let slice = ensure(topology, self, "endpointslices.discovery.k8s.io", at, self.slice());
        try_join3(service, slice, roles::reconcile(topology, self)).await.map(|_| ())
    }

    fn port(&self) -> u16 {
        self.advertise.map_or(SECURE_PORT, |(_, port)| port)
    }

    fn service(&self) -> Value {
        let address = Ipv4Addr::from(u32::from(self.service_cidr.network()) + 1).to_string();
        json!({
            "metadata": {
                "name": "kubernetes", "namespace": "default",
                "labels": {"component": "apiserver", "provider": "kubernetes"},
            },
            "spec": {
                "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
                "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
                "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": self.port()}],
            },
        })
    }

    fn slice(&self) -> Value {
        let reachable = self.advertise.filter(|(address, _)| !address.is_loopback() && !address.is_unspecified());
        let endpoint = |(address, _): (Ipv4Addr, u16)| json!({"addresses": [address], "conditions": {"ready": true}});
        json!({
            "metadata": {
                "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
            },
            "addressType": "IPv4",
            "endpoints": reachable.map(endpoint).into_iter().collect::<Vec<_>>(),
            "ports": [{"name": "https", "port": self.port(), "protocol": "TCP"}],
        })
    }
}

const CLASSES: [(&str, i64, &str); 2] = [
    ("system-cluster-critical", 2_000_000_000, "For pods that the cluster cannot do without, on whichever node."),
    ("system-node-critical", 2_000_001_000, "For pods that their node cannot do without."),
];

async fn ensure(
    topology: &Topology,
    options: &Bootstrap,
    id_name: &str,
    at: (&str, &str),
    body: Value,
) -> Result<(), Status> {
    // A kind that is switched off is not missed.
    let Some(resource) = options.registry.named(id_name) else { return Ok(()) };
    let call = BootstrapCall { topology, options, resource, namespace: at.0, name: at.1 };
    let make = || async {
        match call.get().await {
            Err(status) if status.reason() == Reason::NotFound => call.create(&body).await,
            other => other.map(|_| ()),
        }
    };
    with_patience(make).await
}

/// Tries again what others hinder.
async fn with_patience<F: Future<Output = Result<(), Status>>>(attempt: impl Fn() -> F) -> Result<(), Status> {
    let mut tries = 0;
    loop {
        let Err(status) = attempt().await else { return Ok(()) };
        match status.reason() {
            Reason::AlreadyExists => return Ok(()),
            Reason::ServiceUnavailable if tries < TRIES => {}
            // Two gateways that start together: the address of the Service is taken, because the other one is about to make
            // it; or both reconcile the same role.
            Reason::Invalid | Reason::Conflict if tries < FEW_TRIES => {}
            _ => return Err(status),
        }
        tries += 1;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Calls about one object, as the server itself.
#[derive(Clone, Copy)]
struct BootstrapCall<'a> {
    topology: &'a Topology,
    options: &'a Bootstrap,
    resource: &'a Resource,
    namespace: &'a str,
    name: &'a str,
}

impl BootstrapCall<'_> {
    async fn get(&self) -> Result<Arc<Object>, Status> {
        match self.execute(Verb::Get { version: None }).await?.outcome {
            Outcome::Object(object) => Ok(object),
            Outcome::Document(_) => Err(Status::internal("an object was read, and a document came")),
        }
    }

    async fn create(&self, body: &Value) -> Result<(), Status> {
        let (body, uid) = (Bytes::from(body.to_string()), self.uid());
        self.execute(Verb::Create { body, format: Format::Json, options: as_the_server(), uid }).await.map(|_| ())
    }

    async fn update(&self, body: &Value) -> Result<(), Status> {
        let (body, uid) = (Bytes::from(body.to_string()), self.uid());
        self.execute(Verb::Update { body, format: Format::Json, options: as_the_server(), uid }).await.map(|_| ())
    }

    fn uid(&self) -> String {
        let bytes = self.options.ambient.entropy.next_u128().to_be_bytes();
        uuid::Builder::from_random_bytes(bytes).into_uuid().to_string()
    }

    async fn execute(&self, verb: Verb) -> Result<Answer, Status> {
        let user = UserInfo {
            name: "system:apiserver".to_owned(),
            groups: vec!["system:masters".to_owned()],
            ..UserInfo::default()
        };
        let request = Request {
            id: if matches!(verb, Verb::Get { .. }) { 0 } else { self.options.ambient.entropy.next_u128() },
            cluster: self.options.cluster.clone(),
            resource: self.resource.id,
            served: 0,
            subresource: SmolStr::default(),
            namespace: self.namespace.into(),
            name: self.name.into(),
            user: Arc::new(user),
            verb,
        };
        let slot = self.resource.slot(&self.options.cluster, self.namespace, self.name);
        self.topology.execute(slot, request).await
    }
}

fn as_the_server() -> WriteOptions {
    WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() }
}
