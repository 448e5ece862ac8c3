//! EndpointSlices: read and written, so every field that this controller fills is here.

use client::{Kept, Meta};
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use super::null_is_empty;

/// An EndpointSlice.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointSlice {
    /// metadata
    pub metadata: Meta,
    /// IPv4, IPv6, FQDN. Immutable.
    pub address_type: SmolStr,
    /// At most 100 of them.
    #[serde(deserialize_with = "null_is_empty")]
    pub endpoints: Vec<Endpoint>,
    /// The same for every endpoint of the slice.
    #[serde(deserialize_with = "null_is_empty")]
    pub ports: Vec<EndpointPort>,
}

/// One endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoint {
    /// Addresses, all of one family; consumers use the first.
    pub addresses: Vec<SmolStr>,
    /// Conditions.
    pub conditions: EndpointConditions,
    /// hostname
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<SmolStr>,
    /// nodeName
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_name: Option<SmolStr>,
    /// The Pod behind it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_ref: Option<TargetRef>,
    /// zone
    #[serde(skip_serializing_if = "Option::is_none")]
    pub zone: Option<SmolStr>,
}

/// Conditions of an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct EndpointConditions {
    /// Use it for new connections.
    pub ready: Option<bool>,
    /// Its Pod is ready, terminating or not.
    pub serving: Option<bool>,
    /// Its Pod is going away.
    pub terminating: Option<bool>,
}

/// The Pod behind an endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default)]
pub struct TargetRef {
    /// `Pod`
    pub kind: SmolStr,
    /// Its namespace.
    pub namespace: SmolStr,
    /// Its name.
    pub name: SmolStr,
    /// Its uid.
    pub uid: SmolStr,
}

/// A port of a slice.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct EndpointPort {
    /// name
    pub name: SmolStr,
    /// protocol
    pub protocol: SmolStr,
    /// port
    pub port: i32,
    /// appProtocol
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_protocol: Option<SmolStr>,
}

impl Kept for EndpointSlice {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

impl EndpointSlice {
    /// A label, empty where it is missing.
    pub fn label(&self, key: &str) -> &str {
        self.metadata.labels.get(key).map_or("", SmolStr::as_str)
    }
}
