//! Where a server is, and whether it may be called there (DESIGN D12).
//!
//! Names are resolved here, all addresses are checked, and the connection is made to one of those: no second answer of a name
//! server counts. A Service is resolved as kube-proxy would carry its ClusterIP: to the ready endpoints of its EndpointSlices,
//! because ClusterIPs lead nowhere from here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::selector::{LabelSelector, Selector};
use api::{Object, Value};
use smol_str::SmolStr;
use tokio::net::lookup_host;

use super::Caller;
use crate::service::{ListRequest, ListSlots, Outcome, Request, UserInfo, Verb};
use crate::topology::Topology;

/// How long a shard is waited for.
const PEER_WAIT: Duration = Duration::from_secs(10);

/// A server's place, as a clientConfig names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Of `url`.
    Url {
        /// A name or an address, without brackets.
        host: String,
        /// 443 where the URL says none.
        port: u16,
    },
    /// Of `service`.
    Service {
        /// Its namespace.
        namespace: SmolStr,
        /// Its name.
        name: SmolStr,
        /// The Service's port, not its endpoints'.
        port: u16,
    },
}

impl Place {
    /// What the server's certificate has to be for.
    pub fn host(&self) -> String {
        match self {
            Self::Url { host, .. } => host.clone(),
            Self::Service { namespace, name, .. } => format!("{name}.{namespace}.svc"),
        }
    }

    /// Where errors say that it is.
    pub fn port(&self) -> u16 {
        match self {
            Self::Url { port, .. } | Self::Service { port, .. } => *port,
        }
    }

    /// Addresses to try in order. Each of them may be called.
    pub async fn find(&self, caller: Caller<'_>) -> Result<Vec<SocketAddr>, String> {
        let mut found = match self {
            Self::Url { host, port } => look_up(host, *port).await?,
            Self::Service { namespace, name, port } => endpoints(caller, namespace, name, *port).await?,
        };
        let host = self.host();
        if !found.iter().all(|address| may_reach(address.ip(), &host, caller.allowed)) {
            return Err(format!(
                "the address of {host} is internal to the control plane, and not among those that may be called"
            ));
        }
        if found.len() > 1 {
            let first = caller.ambient.entropy.next_u64() % found.len() as u64;
            found.rotate_left(first as usize);
        }
        Ok(found)
    }
}

async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, String> {
    let found = lookup_host((host, port)).await.map_err(|error| format!("lookup {host}: {error}"))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(format!("lookup {host}: no such host")) } else { Ok(found) }
}

/// Whether a tenant may have this server call an address.
fn may_reach(ip: IpAddr, host: &str, allowed: &[String]) -> bool {
    !is_internal(ip) || allowed.iter().any(|rule| names(rule, ip, host))
}

fn is_internal(ip: IpAddr) -> bool {
    match plain(ip) {
        IpAddr::V4(ip) => {
            ip.octets()[0] == 0 || ip.is_loopback() || ip.is_link_local() || ip.is_multicast() || ip.is_broadcast()
        }
        IpAddr::V6(ip) => ip.is_loopback() || ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast(),
    }
}

/// The IPv4 address that an IPv6 one stands for: mapped, compatible, or behind NAT64 (RFC 6052).
fn plain(ip: IpAddr) -> IpAddr {
    let IpAddr::V6(six) = ip else { return ip };
    let embeds = matches!(six.segments(), [0, 0, 0, 0, 0, 0 | 0xffff, _, _] | [0x64, 0xff9b, 0, 0, 0, 0, _, _]);
    let [.., a, b, c, d] = six.octets();
    if embeds && !six.is_loopback() && !six.is_unspecified() { Ipv4Addr::new(a, b, c, d).into() } else { ip }
}

/// Whether a rule (an address, a network or a host's name) names this one.
fn names(rule: &str, ip: IpAddr, host: &str) -> bool {
    let ip = plain(ip);
    let network = rule.parse::<ipnet::IpNet>();
    rule == host || rule.parse() == Ok(ip) || network.is_ok_and(|network| network.contains(&ip))
}

async fn endpoints(
    caller: Caller<'_>,
    namespace: &SmolStr,
    name: &SmolStr,
    port: u16,
) -> Result<Vec<SocketAddr>, String> {
    let service = service(caller, namespace, name).await?;
    let service = service.ok_or_else(|| format!("service {name:?} not found"))?.document();
    if service.text(&["spec", "type"]) == "ExternalName" {
        return look_up(service.text(&["spec", "externalName"]), port).await;
    }
    let mut ports = service.list(&["spec", "ports"]).iter();
    let wanted = ports.find(|entry| entry.int(&["port"]) == Some(i64::from(port)));
    let wanted = wanted.ok_or_else(|| format!("no service port {port} found for service {name:?}"))?;
    let slices = slices(caller, namespace, name).await?;
    let found: Vec<SocketAddr> =
        slices.iter().flat_map(|slice| of_slice(&slice.document(), wanted.text(&["name"]))).collect();
    if found.is_empty() { Err(format!("no endpoints available for service {name:?}")) } else { Ok(found) }
}

/// The ready endpoints of a slice that offer a port of that name.
fn of_slice(slice: &Value, name: &str) -> Vec<SocketAddr> {
    let mut ports = slice.list(&["ports"]).iter().filter(|port| port.text(&["name"]) == name);
    let port = ports.find_map(|port| port.int(&["port"])).and_then(|port| u16::try_from(port).ok());
    let Some(port) = port else { return Vec::new() };
    let ready = |endpoint: &&Value| endpoint.at(&["conditions", "ready"]).as_bool().unwrap_or(true);
    let addresses = slice.list(&["endpoints"]).iter().filter(ready).flat_map(|it| it.list(&["addresses"]).iter());
    let ips = addresses.filter_map(|address| address.as_str()?.parse::<IpAddr>().ok());
    ips.map(|ip| SocketAddr::new(ip, port)).collect()
}

async fn service(caller: Caller<'_>, namespace: &SmolStr, name: &SmolStr) -> Result<Option<Arc<Object>>, String> {
    let Some(resource) = caller.registry.named("services") else { return Ok(None) };
    let request = Request {
        id: 0,
        cluster: caller.cluster.clone(),
        resource: resource.id,
        served: 0,
        subresource: SmolStr::default(),
        namespace: namespace.clone(),
        name: name.clone(),
        user: Arc::new(UserInfo::apiserver()),
        verb: Verb::Get { version: None },
    };
    let slot = resource.slot(caller.cluster, namespace, name);
    let answered = tokio::time::timeout(PEER_WAIT, topology(caller)?.execute(slot, request)).await;
    match answered.map_err(|_| "a shard did not answer in time".to_owned())?.map(|answer| answer.outcome) {
        Ok(Outcome::Object(object)) => Ok(Some(object)),
        Ok(Outcome::Document(_)) => Ok(None),
        Err(status) if status.code() == 404 => Ok(None),
        Err(status) => Err(status.to_string()),
    }
}

fn topology(caller: Caller<'_>) -> Result<&Topology, String> {
    caller.topology.ok_or_else(|| "this shard does not know its peers".to_owned())
}

async fn slices(caller: Caller<'_>, namespace: &SmolStr, service: &str) -> Result<Vec<Arc<Object>>, String> {
    let Some(resource) = caller.registry.named("endpointslices.discovery.k8s.io") else { return Ok(Vec::new()) };
    let Some(slot) = resource.list_slot(caller.cluster, namespace) else { return Ok(Vec::new()) };
    let labels = LabelSelector::parse(&format!("kubernetes.io/service-name={service}"))?;
    let request = ListRequest {
        slots: ListSlots::One(slot),
        cluster: caller.cluster.clone(),
        resource: resource.id,
        namespace: namespace.clone(),
        selector: Arc::new(Selector { labels, ..Selector::default() }),
        at: None,
        after: None,
        limit: usize::MAX,
    };
    let map = topology(caller)?.current();
    let owner = map.owner(slot).ok_or_else(|| format!("endpoints of service {service:?} cannot be read now"))?;
    Ok(owner.service.list(request).await.map_err(|error| error.to_string())?.objects)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_inside_is_not_reached_unless_it_is_named() {
        let reaches = |ip: &str, allowed: &[&str]| {
            let allowed: Vec<String> = allowed.iter().map(|rule| (*rule).to_owned()).collect();
            may_reach(ip.parse().unwrap(), "hook.example.com", &allowed)
        };
        for ip in [
            "127.0.0.1",
            "127.9.9.9",
            "169.254.169.254",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "64:ff9b::a9fe:a9fe",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(!reaches(ip, &[]), "{ip}");
            assert!(!reaches(ip, &["10.0.0.0/8", "other.example.com"]), "{ip}");
            assert!(reaches(ip, &["hook.example.com"]), "{ip}");
        }
        assert!(reaches("10.1.2.3", &[]) && reaches("2001:db8::1", &[]) && reaches("64:ff9b::808:808", &[]));
        assert!(reaches("127.0.0.1", &["127.0.0.0/8"]) && reaches("::ffff:127.0.0.1", &["127.0.0.1"]));
    }

    #[test]
    fn endpoints_that_are_ready_offer_the_ports_name() {
        let slice = json!({
            "ports": [{"name": "a", "port": 1}, {"name": "b", "port": 2}],
            "endpoints": [
                {"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}},
                {"addresses": ["10.0.0.3"]},
            ],
        });
        let found = |name| of_slice(&slice, name).iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(found("b"), ["10.0.0.1:2", "10.0.0.3:2"]);
        assert!(found("c").is_empty());
    }
}
