//! Services: addresses and ports are unique over all shards, and given back.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use serde_json::json;

use super::cluster::*;
use super::faulty::FaultyStore;
use crate::ShardOptions;
use crate::service::*;

fn service(namespace: &str, name: &str, kind: &str) -> api::Value {
    json!({
        "metadata": {"name": name, "namespace": namespace},
        "spec": {"type": kind, "selector": {"app": "web"}, "ports": [{"port": 80, "protocol": "TCP"}]},
    })
}

fn ip_of(object: &api::Object) -> String {
    object.document().text(&["spec", "clusterIP"]).to_owned()
}

#[tokio::test(start_paused = true)]
async fn addresses_are_unique_and_given_back() {
    let cluster = Cluster::start(3).await;
    let api = cluster.get("services", "default", "kubernetes").await.unwrap();
    assert_eq!(ip_of(&api), "10.96.0.1");
    let slice = cluster.get("endpointslices.discovery.k8s.io", "default", "kubernetes").await.unwrap().document();
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.1"]));

    let made = cluster.create("services", &service("default", "web", "ClusterIP")).await.unwrap();
    let ip = ip_of(&made);
    let document = made.document();
    assert_eq!(document["spec"]["clusterIPs"], json!([ip]));
    assert_eq!(document["spec"]["ipFamilies"], json!(["IPv4"]));
    let address = cluster.get("ipaddresses.networking.k8s.io", "", &ip).await.unwrap().document();
    assert_eq!(address["spec"]["parentRef"]["name"], "web");
    assert_eq!(address["metadata"]["labels"]["ipaddress.kubernetes.io/managed-by"], "ipallocator.k8s.io");

    let mut rival = service("kube-system", "rival", "ClusterIP");
    rival["spec"]["clusterIP"] = json!(ip);
    let status = cluster.create("services", &rival).await.unwrap_err();
    assert_eq!(status.code(), 422);
    assert!(status.message().contains("provided IP is already allocated"), "{status}");
    rival["spec"]["clusterIP"] = json!("192.168.0.1");
    let status = cluster.create("services", &rival).await.unwrap_err();
    assert!(status.message().contains("The range of valid IPs is 10.96.0.0/12"), "{status}");

    cluster.delete("services", ("default", "web"), DeleteOptions::default()).await.unwrap();
    let gone = cluster.get("ipaddresses.networking.k8s.io", "", &ip).await.unwrap_err();
    assert_eq!(gone.code(), 404);
    rival["spec"]["clusterIP"] = json!(ip);
    assert_eq!(ip_of(&cluster.create("services", &rival).await.unwrap()), ip);
}

#[tokio::test(start_paused = true)]
async fn many_at_once_share_nothing() {
    let options = ShardOptions { service_cidr: "10.0.0.0/26".parse().unwrap(), ..ShardOptions::default() };
    let mut cluster = Cluster::bare(3, FaultyStore::default(), options).await;
    cluster.bootstrap().await;
    let cluster = Arc::new(cluster);
    // 62 addresses, one of them the API's.
    let tasks: Vec<_> = (0..70)
        .map(|at| {
            let cluster = cluster.clone();
            let namespace = if at % 2 == 0 { "default" } else { "kube-system" };
            tokio::spawn(
                async move { cluster.create("services", &service(namespace, &format!("s{at}"), "NodePort")).await },
            )
        })
        .collect();
    let (mut ips, mut ports, mut refused) = (BTreeSet::new(), BTreeSet::new(), 0);
    for task in tasks {
        match task.await.unwrap() {
            Ok(service) => {
                assert!(ips.insert(ip_of(&service)), "an address was given twice");
                let port = service.document()["spec"]["ports"][0]["nodePort"].as_i64().unwrap();
                assert!((30_000..=32_767).contains(&port) && ports.insert(port), "port {port}");
            }
            Err(status) => {
                assert!(status.message().ends_with("range is full"), "{status}");
                refused += 1;
            }
        }
    }
    assert_eq!((ips.len(), refused), (61, 9));
    assert_eq!(cluster.list("nodeports.internal.shardplane", "").await.len(), 61, "who got no address holds no port");
}

#[tokio::test(start_paused = true)]
async fn a_type_change_moves_ports_and_addresses() {
    let cluster = Cluster::start(2).await;
    let mut wished = service("default", "web", "NodePort");
    wished["spec"]["ports"][0]["nodePort"] = json!(30080);
    let made = cluster.create("services", &wished).await.unwrap();
    let mut other = wished.clone();
    other["metadata"]["name"] = json!("other");
    let status = cluster.create("services", &other).await.unwrap_err();
    assert!(
        status.message().contains("nodePort: Invalid value: 30080: provided port is already allocated"),
        "{status}"
    );
    assert_eq!(cluster.list("ipaddresses.networking.k8s.io", "").await.len(), 2, "a refused Service holds no address");

    let at = ("default", "web");
    let inner = cluster.merge("services", at, &json!({"spec": {"type": "ClusterIP"}})).await.unwrap();
    assert_eq!(ip_of(&inner), ip_of(&made));
    assert!(inner.document()["spec"]["ports"][0].get("nodePort").is_none());
    assert!(cluster.list("nodeports.internal.shardplane", "").await.is_empty());
    let outer = json!({"spec": {"type": "ExternalName", "externalName": "example.com"}});
    let outer = cluster.merge("services", at, &outer).await.unwrap();
    assert_eq!(ip_of(&outer), "");
    assert_eq!(cluster.list("ipaddresses.networking.k8s.io", "").await.len(), 1);
    let back =
        cluster.merge("services", at, &json!({"spec": {"type": "NodePort", "externalName": null}})).await.unwrap();
    assert!(ip_of(&back).starts_with("10."));
    assert_eq!(cluster.list("nodeports.internal.shardplane", "").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_update_may_make_a_service_too() {
    let cluster = Cluster::start(2).await;
    let made = cluster.update("services", &service("default", "web", "NodePort")).await.unwrap();
    assert!(ip_of(&made).starts_with("10."));
    assert_eq!(cluster.list("nodeports.internal.shardplane", "").await.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn forgotten_reservations_are_freed() {
    let cluster = Cluster::start(2).await;
    let lost = json!({
        "metadata": {"name": "10.96.7.7", "labels": {"ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io"}},
        "spec": {"parentRef": {"group": "", "resource": "services", "namespace": "default", "name": "never-made"}},
    });
    cluster.create("ipaddresses.networking.k8s.io", &lost).await.unwrap();
    let kept = cluster.create("services", &service("default", "web", "NodePort")).await.unwrap();
    tokio::time::sleep(Duration::from_secs(1200)).await;
    assert_eq!(cluster.get("ipaddresses.networking.k8s.io", "", "10.96.7.7").await.unwrap_err().code(), 404);
    cluster.get("ipaddresses.networking.k8s.io", "", &ip_of(&kept)).await.unwrap();
    assert_eq!(cluster.list("nodeports.internal.shardplane", "").await.len(), 1);
}
