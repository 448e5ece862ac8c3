//! What a gateway is told when it starts.

use std::path::PathBuf;
use std::time::Duration;

use ipnet::Ipv4Net;
use smol_str::SmolStr;

use crate::authn::Tokens;
pub use crate::relay::RelayLimits;
use shards::authorization::Mode;

/// Everything that a gateway does not find out by itself.
#[derive(Clone, Debug)]
pub struct GatewayConfig {
    /// The logical cluster that paths without a cluster prefix belong to (DESIGN D11).
    pub cluster: SmolStr,
    /// Host names `NAME.domain` lead to the logical cluster NAME, where this is set; `/clusters/NAME` always does.
    pub cluster_domain: Option<String>,
    /// Where ClusterIPs of new logical clusters come from; each has all of it for itself.
    pub service_cidr: Ipv4Net,
    /// Bearer tokens that are accepted in the default cluster (`--token-auth-file`).
    pub tokens: Tokens,
    /// Who is asked whether somebody may, in order (`--authorization-mode`).
    pub authorization: Vec<Mode>,
    /// PEM file of the CA whose client certificates are accepted.
    pub client_ca: Option<PathBuf>,
    /// How kubelets are reached.
    pub kubelets: KubeletAccess,
    /// Loopback, link-local and other internal addresses, networks and hosts that are called on behalf of a cluster's own
    /// objects: conversion webhooks (DESIGN D12).
    pub webhook_allow: Vec<String>,
    /// `host:port` under which clients reach this gateway, as `/api` tells them.
    pub advertise: String,
    /// Bounds on what clients may ask for.
    pub limits: Limits,
    /// Bounds on what relays keep.
    pub relay: RelayLimits,
    /// What `/version` answers.
    pub version: VersionInfo,
}

impl Default for GatewayConfig {
    fn default() -> Self {
        Self {
            cluster: SmolStr::new_static("default"),
            cluster_domain: None,
            service_cidr: Ipv4Net::new_assert(std::net::Ipv4Addr::new(10, 96, 0, 0), 12),
            tokens: Tokens::default(),
            authorization: vec![Mode::Rbac],
            client_ca: None,
            kubelets: KubeletAccess::default(),
            webhook_allow: Vec::new(),
            advertise: "127.0.0.1:6443".to_owned(),
            limits: Limits::default(),
            relay: RelayLimits::default(),
            version: VersionInfo::default(),
        }
    }
}

/// How the gateway reaches kubelets, for logs.
#[derive(Clone, Debug, Default)]
pub struct KubeletAccess {
    /// PEM files of the client certificate and its key, with which the gateway shows who it is.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// PEM file of the CA of kubelets' serving certificates. Without one they are not checked, as in the reference.
    pub ca: Option<PathBuf>,
    /// Addresses (`127.0.0.1`) or networks (`10.0.0.0/8`) that are reached although they are loopback or link-local
    /// (DESIGN D12).
    pub allowed_internal: Vec<String>,
}

/// Bounds on what clients may ask for.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body: usize,
    /// Bytes of protobuf that are kept for those who ask for it again.
    pub forms: usize,
    /// Bytes of custom objects that are kept in other versions than they are stored in.
    pub conversions: usize,
    /// Connections at a time; more wait to be accepted.
    pub connections: usize,
    /// Bytes of a request's header.
    pub header: usize,
    /// Requests at a time on one HTTP/2 connection.
    pub streams: u32,
    /// How long a header, a TLS handshake or a body may take to arrive.
    pub arrival: Duration,
    /// How long a request that is neither list nor watch nor log may take.
    pub request: Duration,
    /// How long requests may go on after the gateway was told to stop.
    pub grace: Duration,
    /// The least time that a watch lasts when the client does not say; the most is twice that.
    pub watch: Duration,
    /// About how often a watch gets a bookmark.
    pub bookmark: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 3 << 20,
            forms: 64 << 20,
            conversions: 32 << 20,
            connections: 20_000,
            header: 64 << 10,
            streams: 1000,
            arrival: Duration::from_secs(30),
            request: Duration::from_secs(34),
            grace: Duration::from_millis(1500),
            watch: Duration::from_secs(1800),
            bookmark: Duration::from_secs(60),
        }
    }
}

/// version.Info of the reference.
#[derive(Clone, Debug)]
pub struct VersionInfo {
    /// `v1.36.0+shardplane.0.1.0`
    pub git_version: String,
    /// Commit that was built, if that is known.
    pub git_commit: String,
    /// RFC 3339, if that is known.
    pub build_date: String,
}

impl Default for VersionInfo {
    fn default() -> Self {
        Self {
            git_version: concat!("v1.36.0+shardplane.", env!("CARGO_PKG_VERSION")).to_owned(),
            git_commit: String::new(),
            build_date: String::new(),
        }
    }
}
