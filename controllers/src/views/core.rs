//! Namespaces, Services, ServiceAccounts, ConfigMaps and node Leases, as controllers see them.

use std::collections::BTreeMap;

use api::Value;
use client::{Kept, Meta};
use serde::{Deserialize, Deserializer, Serialize};
use smol_str::SmolStr;

/// A Namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Namespace {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: NamespaceSpec,
    /// status
    pub status: NamespaceStatus,
}

/// spec of a Namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceSpec {
    /// `kubernetes` until the namespace controller is done with it.
    pub finalizers: Vec<SmolStr>,
}

/// status of a Namespace.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct NamespaceStatus {
    /// Active, Terminating.
    pub phase: SmolStr,
    /// What keeps it from going.
    pub conditions: Vec<NamespaceCondition>,
}

/// A condition of a Namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NamespaceCondition {
    /// type
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// True, False.
    pub status: SmolStr,
    /// RFC 3339.
    pub last_transition_time: SmolStr,
    /// reason
    pub reason: SmolStr,
    /// message
    pub message: String,
}

/// A Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Service {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: ServiceSpec,
}

/// spec of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSpec {
    /// Labels that its Pods must have; empty: somebody else fills its slices.
    pub selector: BTreeMap<SmolStr, SmolStr>,
    /// Ports.
    pub ports: Vec<ServicePort>,
    /// `None` for a headless one.
    #[serde(rename = "clusterIP")]
    pub cluster_ip: SmolStr,
    /// IPv4, IPv6.
    pub ip_families: Vec<SmolStr>,
    /// ClusterIP, NodePort, LoadBalancer, ExternalName.
    #[serde(rename = "type")]
    pub kind: SmolStr,
    /// publishNotReadyAddresses
    pub publish_not_ready_addresses: bool,
}

/// A port of a Service.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ServicePort {
    /// name
    pub name: SmolStr,
    /// protocol
    pub protocol: SmolStr,
    /// appProtocol
    pub app_protocol: Option<SmolStr>,
    /// A number, or the name of a container port.
    pub target_port: Value,
}

/// A ServiceAccount.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ServiceAccount {
    /// metadata
    pub metadata: Meta,
}

/// A ConfigMap.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct ConfigMap {
    /// metadata
    pub metadata: Meta,
    /// data
    pub data: BTreeMap<SmolStr, String>,
}

/// A node's Lease.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub struct Lease {
    /// metadata
    pub metadata: Meta,
    /// spec
    pub spec: LeaseSpec,
}

/// spec of a Lease.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeaseSpec {
    /// renewTime in microseconds since 1970; 0 where there is none.
    #[serde(deserialize_with = "micros")]
    pub renew_time: i64,
}

fn micros<'de, D: Deserializer<'de>>(from: D) -> Result<i64, D::Error> {
    let text = Option::<SmolStr>::deserialize(from)?;
    Ok(text.and_then(|text| api::time::parse(&text)).unwrap_or_default())
}

macro_rules! kept {
    ($($kind:ident)*) => {
        $(impl Kept for $kind {
            fn meta(&self) -> &Meta {
                &self.metadata
            }
        })*
    };
}

kept!(Namespace Service ServiceAccount ConfigMap Lease);

impl Service {
    /// Whether it has an address of its own.
    pub fn has_cluster_ip(&self) -> bool {
        !matches!(self.spec.cluster_ip.as_str(), "" | "None")
    }

    /// Whether its selector selects these labels. An empty selector selects nothing.
    pub fn selects(&self, labels: &BTreeMap<SmolStr, SmolStr>) -> bool {
        let selector = &self.spec.selector;
        !selector.is_empty() && selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    }
}
