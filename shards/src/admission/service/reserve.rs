//! Taking addresses and ports, and giving them back.

use std::net::{IpAddr, Ipv4Addr};

use api::document::Document;
use api::status::Reason;
use api::{Causes, Object, Status, Value};
use bytes::Bytes;
use ipnet::Ipv4Net;
use serde_json::json;

use super::plan::{Granted, Needs, Place};
use crate::admission::ask_peer;
use crate::service::{DeleteOptions, Format, Outcome, Request, Verb, WriteOptions};
use crate::verbs::Call;

pub(super) const ADDRESSES: &str = "ipaddresses.networking.k8s.io";
pub(super) const NODE_PORTS: &str = "nodeports.internal.shardplane";
/// Who makes IPAddresses, by the label that the reference sets.
const ALLOCATOR: &str = "ipallocator.k8s.io";
/// Addresses or ports that are tried before a pool counts as full.
const TRIES: u32 = 1 << 16;

/// Reserves everything, or nothing.
pub(super) async fn reserve(call: Call<'_>, needs: &Needs, uid: &str) -> Result<Granted, Status> {
    let mut granted = Granted::default();
    let result = reserve_into(call, needs, uid, &mut granted).await;
    match result {
        Ok(()) => Ok(granted),
        Err(status) => {
            release(call, granted.ips.clone(), granted.ports()).await;
            Err(status)
        }
    }
}

async fn reserve_into(call: Call<'_>, needs: &Needs, uid: &str, granted: &mut Granted) -> Result<(), Status> {
    match needs.ip {
        Some(Some(ip)) => {
            let refuse = |why: String| {
                refused(call, "spec.clusterIPs", json!([ip]), &format!("failed to allocate IP {ip}: {why}"))
            };
            let range = call.shard.options.service_cidr;
            if !is_in_range(range, ip) {
                let why =
                    format!("the provided IP ({ip}) is not in the valid range. The range of valid IPs is {range}");
                return Err(refuse(why));
            }
            if !take_ip(call, ip).await? {
                return Err(refuse("provided IP is already allocated".to_owned()));
            }
            granted.ips.push(ip.to_string());
        }
        Some(None) => granted.ips.push(take_any_ip(call).await?),
        None => {}
    }
    for (place, wish) in &needs.ports {
        let port = match wish {
            Some(port) => take_wished_port(call, place, *port, uid).await?,
            None => take_any_port(call, uid).await?,
        };
        granted.places.push((place.clone(), port));
    }
    Ok(())
}

fn refused(call: Call<'_>, field: &str, value: Value, why: &str) -> Status {
    let mut causes = Causes::default();
    causes.invalid(field, &value, why);
    Status::invalid("", "Service", &call.request.name, causes)
}

/// The first and the last address that a Service may have.
fn ends(range: Ipv4Net) -> (u32, u32) {
    let (network, broadcast) = (u32::from(range.network()), u32::from(range.broadcast()));
    (network.saturating_add(1), broadcast.saturating_sub(1))
}

fn is_in_range(range: Ipv4Net, ip: IpAddr) -> bool {
    let (first, last) = ends(range);
    matches!(ip, IpAddr::V4(ip) if (first..=last).contains(&u32::from(ip)))
}

/// Addresses at the beginning of the range that are only given to who asks for them, as long as others are free.
fn reserved_for_wishes(range: Ipv4Net) -> u32 {
    let (first, last) = ends(range);
    let size = (last - first).saturating_add(1);
    if size < 16 { 0 } else { (size / 16).clamp(16, 256) }
}

async fn take_any_ip(call: Call<'_>) -> Result<String, Status> {
    let range = call.shard.options.service_cidr;
    let (first, last) = ends(range);
    let upper = first + reserved_for_wishes(range);
    let mut tries = 0;
    for (from, to) in [(upper, last), (first, upper.saturating_sub(1))] {
        if from > to {
            continue;
        }
        let size = to - from + 1;
        let start = (call.shard.ambient.entropy.next_u64() % u64::from(size)) as u32;
        for step in 0..size {
            let ip = Ipv4Addr::from(from + (start + step) % size);
            if take_ip(call, ip.into()).await? {
                return Ok(ip.to_string());
            }
            tries += 1;
            if tries == TRIES {
                break;
            }
        }
    }
    let why = format!("failed to allocate a serviceIP for Service {:?}: range is full", &*call.request.name);
    Err(Status::internal(why))
}

/// Creates the IPAddress; false where somebody has it.
async fn take_ip(call: Call<'_>, ip: IpAddr) -> Result<bool, Status> {
    let family = if ip.is_ipv4() { "IPv4" } else { "IPv6" };
    let body = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "IPAddress",
        "metadata": {
            "name": ip.to_string(),
            "labels": {
                "ipaddress.kubernetes.io/ip-family": family,
                "ipaddress.kubernetes.io/managed-by": ALLOCATOR,
            },
        },
        "spec": {"parentRef": {
            "group": "", "resource": "services",
            "namespace": &*call.request.namespace, "name": &*call.request.name,
        }},
    });
    take(call, ADDRESSES, &ip.to_string(), body).await
}

async fn take_wished_port(call: Call<'_>, place: &Place, port: u16, uid: &str) -> Result<u16, Status> {
    let range = &call.shard.options.node_ports;
    let field = match place {
        Place::Ports(indices) => format!("spec.ports[{}].nodePort", indices.first().copied().unwrap_or(0)),
        Place::HealthCheck => "spec.healthCheckNodePort".to_owned(),
    };
    if !range.contains(&port) {
        let range = format!("{}-{}", range.start(), range.end());
        let why = format!("provided port is not in the valid range. The range of valid ports is {range}");
        return Err(refused(call, &field, port.into(), &why));
    }
    if !take_port(call, port, uid).await? {
        return Err(refused(call, &field, port.into(), "provided port is already allocated"));
    }
    Ok(port)
}

async fn take_any_port(call: Call<'_>, uid: &str) -> Result<u16, Status> {
    let (first, last) = (*call.shard.options.node_ports.start(), *call.shard.options.node_ports.end());
    let size = u64::from(last.saturating_sub(first)) + 1;
    let start = call.shard.ambient.entropy.next_u64() % size;
    for step in 0..size {
        let port = first + ((start + step) % size) as u16;
        if take_port(call, port, uid).await? {
            return Ok(port);
        }
    }
    Err(Status::internal("failed to allocate a nodePort: range is full"))
}

async fn take_port(call: Call<'_>, port: u16, uid: &str) -> Result<bool, Status> {
    let body = json!({
        "metadata": {"name": port.to_string()},
        "spec": {"namespace": &*call.request.namespace, "name": &*call.request.name, "uid": uid},
    });
    take(call, NODE_PORTS, &port.to_string(), body).await
}

/// Creates the object that stands for a reservation; false where it exists.
async fn take(call: Call<'_>, id_name: &str, name: &str, body: Value) -> Result<bool, Status> {
    let Some(resource) = call.shard.registry.named(id_name) else {
        return Err(Status::internal(format!("{id_name} is not served, so nothing can be reserved there")));
    };
    let verb = Verb::Create {
        body: Bytes::from(body.to_string()),
        format: Format::Json,
        options: WriteOptions { field_manager: "kube-apiserver".to_owned(), ..WriteOptions::default() },
        uid: new_uid(call),
    };
    match ask_peer(call, resource, request(call, id_name, name, verb)?).await {
        Ok(_) => Ok(true),
        Err(status) if status.reason() == Reason::AlreadyExists => Ok(false),
        Err(status) => Err(status),
    }
}

/// Gives back what is still this Service's. What fails here is left to the repair pass.
pub(super) async fn release(call: Call<'_>, ips: Vec<String>, ports: Vec<u16>) {
    for ip in ips {
        give_back(call, ADDRESSES, &ip).await;
    }
    for port in ports {
        give_back(call, NODE_PORTS, &port.to_string()).await;
    }
}

async fn give_back(call: Call<'_>, id_name: &str, name: &str) {
    let result = async {
        let Some(object) = crate::admission::ask(call, id_name, name).await? else { return Ok(()) };
        let (namespace, service) = holder(id_name, &object);
        if (&*namespace, &*service) != (&*call.request.namespace, &*call.request.name) {
            return Ok(());
        }
        free(call, id_name, &object).await
    };
    if let Err::<(), Status>(status) = result.await {
        tracing::info!(id_name, name, %status, "a reservation could not be given back yet");
    }
}

/// Namespace and name of the Service that a reservation is for.
pub(super) fn holder(id_name: &str, reservation: &Object) -> (String, String) {
    let document = reservation.document();
    let at = if id_name == ADDRESSES { document.at(&["spec", "parentRef"]) } else { document.at(&["spec"]) };
    (at.text(&["namespace"]).to_owned(), at.text(&["name"]).to_owned())
}

/// Deletes a reservation, if it is still the same.
pub(super) async fn free(call: Call<'_>, id_name: &str, reservation: &Object) -> Result<(), Status> {
    let Some(resource) = call.shard.registry.named(id_name) else { return Ok(()) };
    let uid = Some(reservation.document().uid().to_owned());
    let verb = Verb::Delete { options: DeleteOptions { uid, ..DeleteOptions::default() } };
    match ask_peer(call, resource, request(call, id_name, &reservation.name, verb)?).await {
        Ok(Outcome::Object(_) | Outcome::Document(_)) => Ok(()),
        // Somebody else was faster, or has it by now.
        Err(status) if matches!(status.reason(), Reason::NotFound | Reason::Conflict) => Ok(()),
        Err(status) => Err(status),
    }
}

fn request(call: Call<'_>, id_name: &str, name: &str, verb: Verb) -> Result<Request, Status> {
    let resource = call.shard.registry.named(id_name).ok_or_else(Status::unknown_path)?;
    Ok(Request {
        id: call.shard.ambient.entropy.next_u128(),
        resource: resource.id,
        served: 0,
        subresource: Default::default(),
        namespace: Default::default(),
        name: name.into(),
        verb,
        ..call.request.clone()
    })
}

fn new_uid(call: Call<'_>) -> String {
    uuid::Builder::from_random_bytes(call.shard.ambient.entropy.next_u128().to_be_bytes()).into_uuid().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ends_of_the_range_are_nobodys() {
        let range: Ipv4Net = "10.96.0.0/12".parse().unwrap();
        assert!(is_in_range(range, "10.96.0.1".parse().unwrap()));
        assert!(!is_in_range(range, "10.96.0.0".parse().unwrap()));
        assert!(!is_in_range(range, "10.111.255.255".parse().unwrap()));
        assert!(!is_in_range(range, "10.112.0.1".parse().unwrap()));
        assert_eq!(reserved_for_wishes(range), 256);
        assert_eq!(reserved_for_wishes("10.0.0.0/24".parse().unwrap()), 16);
        assert_eq!(reserved_for_wishes("10.0.0.0/29".parse().unwrap()), 0);
    }
}
