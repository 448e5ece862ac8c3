//! What every cluster has from its first moment: four Namespaces, two PriorityClasses, the range of Services and the
//! Service that leads back to this API.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use api::resource::{Registry, Resource};
use api::status::Reason;
use api::{Status, Value};
use bytes::Bytes;
use ipnet::Ipv4Net;
use serde_json::json;
use smol_str::SmolStr;

use crate::service::{Format, Request, Topology, UserInfo, Verb, WriteOptions};

/// Times that an object is tried again while its shard is not ready.
const TRIES: u32 = 20;

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
    /// Where the API listens: the endpoint behind that address. A loopback address is nobody else's to reach, and no
    /// endpoint can have one: the Service then has none.
    pub advertise: (Ipv4Addr, u16),
}

/// Makes what is missing. The shards must be connected and running. May be called at every start.
pub async fn bootstrap(topology: &Topology, options: &Bootstrap) -> Result<(), Status> {
    for name in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let labels = json!({"kubernetes.io/metadata.name": name});
        let body = json!({"metadata": {"name": name, "labels": labels}});
        ensure(topology, options, "namespaces", "", name, body).await?;
    }
    let classes = [
        (
            "system-cluster-critical",
            2_000_000_000,
            "Used for system critical pods that must run in the cluster, but can be \
          moved to another node if necessary.",
        ),
        (
            "system-node-critical",
            2_000_001_000,
            "Used for system critical pods that must not be moved from their current \
          node.",
        ),
    ];
    for (name, value, description) in classes {
        let body = json!({"metadata": {"name": name}, "value": value, "description": description});
        ensure(topology, options, "priorityclasses.scheduling.k8s.io", "", name, body).await?;
    }
    let range = json!({"metadata": {"name": "kubernetes"}, "spec": {"cidrs": [options.service_cidr.to_string()]}});
    ensure(topology, options, "servicecidrs.networking.k8s.io", "", "kubernetes", range).await?;
    let labels = json!({"component": "apiserver", "provider": "kubernetes"});
    let address = Ipv4Addr::from(u32::from(options.service_cidr.network()) + 1).to_string();
    let service = json!({
        "metadata": {"name": "kubernetes", "namespace": "default", "labels": labels},
        "spec": {
            "type": "ClusterIP", "clusterIP": address, "clusterIPs": [address], "sessionAffinity": "None",
            "ipFamilies": ["IPv4"], "ipFamilyPolicy": "SingleStack",
            "ports": [{"name": "https", "port": 443, "protocol": "TCP", "targetPort": options.advertise.1}],
        },
    });
    ensure(topology, options, "services", "default", "kubernetes", service).await?;
    let (address, port) = options.advertise;
    let endpoint = json!({"addresses": [address.to_string()], "conditions": {"ready": true}});
    let endpoints: Vec<Value> =
        (!address.is_loopback() && !address.is_unspecified()).then_some(endpoint).into_iter().collect();
    let slice = json!({
        "metadata": {
            "name": "kubernetes", "namespace": "default", "labels": {"kubernetes.io/service-name": "kubernetes"},
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": [{"name": "https", "port": port, "protocol": "TCP"}],
    });
    ensure(topology, options, "endpointslices.discovery.k8s.io", "default", "kubernetes", slice).await
}

async fn ensure(
    topology: &Topology,
    options: &Bootstrap,
    id_name: &str,
    namespace: &str,
    name: &str,
    body: Value,
) -> Result<(), Status> {
    // A kind that is switched off is not missed.
    let Some(resource) = options.registry.named(id_name) else { return Ok(()) };
    let mut tries = 0;
    loop {
        let (get, create) = requests(options, resource, namespace, name, &body);
        let owner = topology.owner(resource.slot(&options.cluster, namespace, name));
        let result = match owner.execute(get).await {
            Err(status) if status.reason() == Reason::NotFound => owner.execute(create).await,
            other => other,
        };
        match result {
            Ok(_) => return Ok(()),
            Err(status) if status.reason() == Reason::AlreadyExists => return Ok(()),
            Err(status) if status.reason() == Reason::ServiceUnavailable && tries < TRIES => {
                tries += 1;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(status) => return Err(status),
        }
    }
}

fn requests(options: &Bootstrap, resource: &Resource, namespace: &str, name: &str, body: &Value) -> (Request, Request) {
    let entropy = &options.ambient.entropy;
    let uid = uuid::Builder::from_random_bytes(entropy.next_u128().to_be_bytes()).into_uuid().to_string();
    let user = UserInfo {
        name: "system:apiserver".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..UserInfo::default()
    };
    let get = Request {
        id: 0,
        cluster: options.cluster.clone(),
        resource: resource.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: namespace.into(),
        name: name.into(),
        user: Arc::new(user),
        verb: Verb::Get { version: None },
    };
    let verb = Verb::Create {
        body: Bytes::from(body.to_string()),
        format: Format::Json,
        options: WriteOptions::default(),
        uid,
    };
    let create = Request { id: entropy.next_u128(), verb, ..get.clone() };
    (get, create)
}
