//! A backup is the state at its version, whatever happens while it is written; what is restored is that state, at new versions,
//! and nobody goes on in it from where he was before.

use std::collections::BTreeMap;
use std::io::Cursor;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use api::Version;
use axum::body::Body;
use bytes::Bytes;
use http::{Method, Request};
use serde_json::{Value, json};
use shards::backup::{Cut, Header, Origin, Part, Record, Trailer, Writer};

use crate::list::{self, At, ListOptions, Scope};
use crate::testing::{Cluster, read, version_of};

type File = Cut<Cursor<Vec<u8>>>;
type Objects = BTreeMap<(String, String, String), Record>;

const CLUSTERS: &str = "/shardplane/v1/clusters";

impl Cluster {
    async fn backup(&self, query: &str) -> File {
        let request = Request::get(format!("/shardplane/v1/backup?{query}")).body(Body::empty()).unwrap();
        let response = self.send(request).await;
        assert_eq!(response.status(), 200);
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Cut::open(Cursor::new(body.to_vec())).unwrap()
    }

    /// Everything that is in a cluster at a version, as lists tell it.
    async fn listed(&self, id: &str, version: Version) -> BTreeMap<(String, String, String), Bytes> {
        let options = ListOptions { at: At::Exactly(version), limit: usize::MAX, after: None };
        let mut all = BTreeMap::new();
        for resource in
            self.registry.iter().filter(|resource| resource.id_name != "logicalclusters.internal.shardplane")
        {
            let (namespace, selector) = Default::default();
            let scope = Scope { cluster: id.into(), resource: resource.clone(), namespace, selector };
            let listed = list::list(&self.gateway.inner.topology, &scope, &options).await.unwrap();
            let kind = resource.id_name.to_string();
            all.extend(listed.objects.iter().map(|object| {
                ((kind.clone(), object.namespace.to_string(), object.name.to_string()), object.stored().clone())
            }));
        }
        all
    }

    async fn post(&self, path: &str, body: impl Into<Body>) -> (u16, Value) {
        let request = Request::post(path).header("content-type", "application/json").body(body.into()).unwrap();
        read(self.send(request).await).await
    }

    async fn begin(&self, name: &str, file: &File) -> (u16, Value) {
        let begin = json!({ "version": file.trailer().version.to_string(), "serviceCidr": file.header().service_cidr });
        self.post(&format!("{CLUSTERS}/{name}/restore"), begin.to_string()).await
    }

    async fn put(&self, name: &str, id: &str, file: &mut File, some: impl Fn(&Record) -> bool) -> (u16, Value) {
        self.post(&format!("{CLUSTERS}/{name}/restore/{id}/objects"), upload(file, some)).await
    }

    async fn finish(&self, name: &str, id: &str, file: &File) -> (u16, Value) {
        let kinds = &file.header().resources;
        let counts: BTreeMap<_, _> =
            file.counts(0).map(|(at, count)| (kinds[usize::from(at)].clone(), count)).collect();
        self.post(&format!("{CLUSTERS}/{name}/restore/{id}/finish"), json!({ "counts": counts }).to_string()).await
    }

    /// Restores everything; the answer's token, if there is one.
    async fn restore(&self, name: &str, file: &mut File) -> Option<String> {
        let (code, begun) = self.begin(name, file).await;
        assert_eq!(code, 201, "{begun}");
        let id = begun["id"].as_str().unwrap().to_owned();
        assert_eq!(self.put(name, &id, file, |_| true).await.0, 200);
        let (code, finished) = self.finish(name, &id, file).await;
        assert_eq!(code, 200, "{finished}");
        finished["token"].as_str().map(str::to_owned)
    }

    async fn with_token(&self, method: Method, path: &str, token: &str, body: &Value) -> (u16, Value) {
        let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
        let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
        let request = request.header("content-type", "application/json").body(body).unwrap();
        read(self.gateway.handle(request, None).await).await
    }
}

/// A backup of some objects alone.
fn upload(file: &mut File, some: impl Fn(&Record) -> bool) -> Vec<u8> {
    let header = file.header().clone();
    let clusters = vec![Origin { name: "x".into(), id: "x".into() }];
    let (mut writer, start) = Writer::begin(&Header { clusters, ..header });
    let mut bytes = start.to_vec();
    let mut objects = file.objects().unwrap();
    while let Some(record) = objects.next().unwrap() {
        if some(&record) {
            bytes.extend_from_slice(&writer.add(Part::Scan, &record).unwrap_or_default());
        }
    }
    bytes.extend_from_slice(&writer.finish(&Trailer::default()));
    bytes
}

fn held(file: &mut File) -> Objects {
    let kinds = file.header().resources.clone();
    let (mut objects, mut all) = (file.objects().unwrap(), Objects::new());
    while let Some(record) = objects.next().unwrap() {
        let kind = kinds[usize::from(record.resource)].clone();
        all.insert((kind, record.namespace.to_string(), record.name.to_string()), record);
    }
    all
}

fn map(name: &str, at: u64) -> Value {
    json!({ "metadata": { "name": name }, "data": { "at": at.to_string() } })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_is_the_state_at_its_version_whatever_happens_meanwhile() {
    let cluster = Arc::new(Cluster::start(3).await);
    let spaces = [cluster.namespace_on(0).await, cluster.namespace_on(1).await, cluster.namespace_on(2).await];
    let maps = |at: usize| format!("/api/v1/namespaces/{}/configmaps", spaces[at % 3]);
    // More than a page.
    for at in 0..700 {
        cluster.create(&maps(at), &map(&format!("old-{at}"), 0)).await;
    }
    for at in 0..3 {
        cluster.create(&maps(at), &map("counter", 0)).await;
    }
    let stop = Arc::new(AtomicBool::new(false));
    let mut writers = Vec::new();
    for writer in 0..4 {
        let (cluster, stop, maps) = (cluster.clone(), stop.clone(), [maps(0), maps(1), maps(2)]);
        writers.push(tokio::spawn(async move {
            let mut at = 0_usize;
            while !stop.load(Ordering::Relaxed) {
                at += 1;
                if writer == 0 {
                    // One after the other, each in a slot of another shard.
                    for path in &maps {
                        let path = format!("{path}/counter");
                        let patch = json!({ "data": { "at": at.to_string() } });
                        assert_eq!(cluster.ask(Method::PATCH, &path, &patch).await.0, 200);
                    }
                    continue;
                }
                let (path, name) = (&maps[at % 3], format!("new-{writer}-{at}"));
                cluster.create(path, &map(&name, 0)).await;
                let old = format!("{path}/old-{}", (at * 13 + writer) % 700);
                let patch = json!({ "data": { "at": at.to_string() } });
                let verb = if at.is_multiple_of(3) { Method::DELETE } else { Method::PATCH };
                let code = cluster.ask(verb, &old, &patch).await.0;
                assert!(matches!(code, 200 | 404), "{code}");
                if at.is_multiple_of(2) {
                    assert_eq!(cluster.ask(Method::DELETE, &format!("{path}/{name}"), &Value::Null).await.0, 200);
                }
            }
            at
        }));
    }
    for round in 0..4 {
        // Slots move while it is written.
        let slot = api::slot::of_namespace("default", &spaces[round % 3]);
        let owner = cluster.gates.iter().position(|gate| gate.shard.owned().contains(slot)).unwrap();
        let moving = async { cluster.move_slots(&[slot].into_iter().collect(), owner, (owner + 1) % 3).await };
        let (mut file, ()) = tokio::join!(cluster.backup("cluster=default"), moving);
        let version = file.trailer().version();
        let expected = cluster.listed("default", version).await;
        let held = held(&mut file);
        let tails: BTreeMap<_, _> =
            held.iter().map(|(at, record)| (at.clone(), record.tail.clone().unwrap())).collect();
        let names = |all: &BTreeMap<(String, String, String), Bytes>| all.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&tails), names(&expected), "round {round}");
        assert!(tails == expected, "round {round}: an object is of another moment");
        let counter = |space: &String| -> u64 {
            let record = &held[&("configmaps".to_owned(), space.clone(), "counter".to_owned())];
            let text = String::from_utf8(record.tail.clone().unwrap().to_vec()).unwrap();
            let object: Value = serde_json::from_str(&format!("{{{text}")).unwrap();
            object["data"]["at"].as_str().unwrap().parse().unwrap()
        };
        let counters: Vec<u64> = spaces.iter().map(counter).collect();
        assert!(counters.is_sorted_by(|a, b| a >= b) && counters[0] <= counters[2] + 1, "{counters:?}");
    }
    stop.store(true, Ordering::Relaxed);
    for writer in writers {
        assert!(writer.await.unwrap() > 3, "it wrote while backups were made");
    }
}

#[tokio::test]
async fn a_restored_cluster_is_the_same_at_new_versions_and_without_a_past() {
    let cluster = Cluster::start(2).await;
    let token = cluster.create(CLUSTERS, &json!({ "name": "blue" })).await["token"].as_str().unwrap().to_owned();
    let maps = "/clusters/blue/api/v1/namespaces/default/configmaps";
    for at in 0..20 {
        let (code, _) = cluster.with_token(Method::POST, maps, &token, &map(&format!("m-{at}"), at)).await;
        assert_eq!(code, 201);
    }
    let service = json!({
        "metadata": { "name": "web" }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] },
    });
    let services = "/clusters/blue/api/v1/namespaces/default/services";
    let (_, service) = cluster.with_token(Method::POST, services, &token, &service).await;
    let (_, before) = cluster.with_token(Method::GET, &format!("{maps}/m-3"), &token, &Value::Null).await;
    let (_, page) = cluster.with_token(Method::GET, &format!("{maps}?limit=2"), &token, &Value::Null).await;
    let old = page["metadata"]["resourceVersion"].as_str().unwrap();
    let mut file = cluster.backup("cluster=blue").await;

    // Under another name: the same objects, with their uids.
    let green = cluster.restore("green", &mut file).await.unwrap();
    let green_maps = maps.replace("blue", "green");
    let (code, after) = cluster.with_token(Method::GET, &format!("{green_maps}/m-3"), &green, &Value::Null).await;
    assert_eq!(code, 200, "{after}");
    for field in ["uid", "creationTimestamp", "name"] {
        assert_eq!(after["metadata"][field], before["metadata"][field]);
    }
    assert_eq!(after["data"], before["data"]);
    assert!(version_of(&after) > file.trailer().version, "a new version");
    // What was allocated stays so.
    let greens = services.replace("blue", "green");
    let (_, web) = cluster.with_token(Method::GET, &format!("{greens}/web"), &green, &Value::Null).await;
    assert_eq!(web["spec"], service["spec"]);
    let port = &service["spec"]["ports"][0]["nodePort"];
    let taken = json!({
        "metadata": { "name": "other" },
        "spec": { "type": "NodePort", "ports": [{ "port": 80, "nodePort": port }] },
    });
    let (code, refused) = cluster.with_token(Method::POST, &greens, &green, &taken).await;
    assert_eq!((code, refused["message"].as_str().unwrap().contains("already allocated")), (422, true), "{refused}");
    let slices = "/clusters/green/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes";
    assert_eq!(cluster.with_token(Method::GET, slices, &green, &Value::Null).await.0, 200, "made anew");

    // Under the same name: what clients knew of the former one is no past of this one.
    assert_eq!(cluster.ask(Method::DELETE, &format!("{CLUSTERS}/blue"), &Value::Null).await.0, 200);
    let blue = cluster.restore("blue", &mut file).await.unwrap();
    assert_eq!(cluster.with_token(Method::GET, maps, &token, &Value::Null).await.0, 401, "the former token");
    let gone = async |path: String| cluster.with_token(Method::GET, &path, &blue, &Value::Null).await;
    let (code, exact) = gone(format!("{maps}?resourceVersion={old}&resourceVersionMatch=Exact")).await;
    assert_eq!((code, &exact["reason"]), (410, &json!("Expired")), "{exact}");
    let token = page["metadata"]["continue"].as_str().unwrap();
    let (code, continued) = gone(format!("{maps}?limit=2&continue={token}")).await;
    assert_eq!(code, 410, "{continued}");
    let inconsistent = continued["metadata"]["continue"].as_str().unwrap();
    let (code, rest) = gone(format!("{maps}?limit=50&continue={inconsistent}")).await;
    assert_eq!((code, rest["items"].as_array().unwrap().len()), (200, 18), "{rest}");
    let (_, event) = gone(format!("{maps}?watch=1&resourceVersion={old}")).await;
    assert_eq!((&event["type"], &event["object"]["code"]), (&json!("ERROR"), &json!(410)), "{event}");
    let (_, event) = gone(format!("{maps}?watch=1&resourceVersion={}", file.trailer().version)).await;
    assert_eq!(event["object"]["code"], 410, "{event}");
    // And a watch from what is listed now goes on.
    let (_, all) = gone(maps.to_owned()).await;
    let from = all["metadata"]["resourceVersion"].as_str().unwrap();
    let (code, quiet) = gone(format!("{maps}?watch=1&timeoutSeconds=1&resourceVersion={from}")).await;
    assert_eq!((code, quiet), (200, Value::String(String::new())));
}

#[tokio::test]
async fn nothing_is_restored_over_anything_and_nobody_is_let_in_before_the_end() {
    let cluster = Cluster::start(2).await;
    let blue = cluster.create(CLUSTERS, &json!({ "name": "blue" })).await["token"].as_str().unwrap().to_owned();
    let maps = "/clusters/blue/api/v1/namespaces/default/configmaps";
    let made = cluster.with_token(Method::POST, maps, &blue, &map("mine", 1)).await;
    assert_eq!(made.0, 201);
    let mut file = cluster.backup("cluster=blue").await;

    let (code, refused) = cluster.begin("blue", &file).await;
    assert_eq!(
        (code, refused["message"].as_str().unwrap().contains("configmaps \"default/mine\"")),
        (409, true),
        "{refused}"
    );
    assert_eq!(cluster.begin("default", &file).await.0, 403);
    assert_eq!(cluster.begin("UPPER", &file).await.0, 422);
    let elsewhere = json!({ "version": "7", "serviceCidr": "192.0.2.0/24" }).to_string();
    assert_eq!(cluster.post(&format!("{CLUSTERS}/green/restore"), elsewhere).await.0, 409);
    let future = json!({ "version": (u64::MAX >> 1).to_string(), "serviceCidr": "10.96.0.0/12" }).to_string();
    assert_eq!(cluster.post(&format!("{CLUSTERS}/green/restore"), future).await.0, 400);
    let (code, still) = cluster.with_token(Method::GET, maps, &blue, &Value::Null).await;
    assert_eq!((code, still["items"].as_array().unwrap().len()), (200, 1), "nothing has happened to it");

    // One that is interrupted lets nobody in; the next one begins anew.
    let (_, first) = cluster.begin("green", &file).await;
    let first = first["id"].as_str().unwrap();
    assert_eq!(cluster.put("green", first, &mut file, |record| record.name == "mine").await.0, 200);
    let (code, shut) = cluster.get("/clusters/green/api/v1/pods").await;
    assert_eq!((code, shut["message"].as_str().unwrap().contains("being restored")), (503, true), "{shut}");
    assert_eq!(cluster.ask(Method::POST, CLUSTERS, &json!({ "name": "green" })).await.0, 409);
    let (code, missing) = cluster.finish("green", first, &file).await;
    assert_eq!(code, 500, "{missing}");
    let (_, second) = cluster.begin("green", &file).await;
    let second = second["id"].as_str().unwrap();
    assert_eq!(cluster.put("green", first, &mut file, |_| true).await.0, 409, "it is over");
    for _ in 0..2 {
        assert_eq!(cluster.put("green", second, &mut file, |_| true).await.0, 200, "once more is no harm");
    }
    let damaged = [upload(&mut file, |_| true), vec![0]].concat();
    assert_eq!(cluster.post(&format!("{CLUSTERS}/green/restore/{second}/objects"), damaged).await.0, 400);
    let (code, finished) = cluster.finish("green", second, &file).await;
    assert_eq!((code, &finished["phase"]), (200, &json!("Ready")), "{finished}");
    assert_eq!(cluster.finish("green", second, &file).await.0, 409, "once is enough");
    let green = finished["token"].as_str().unwrap();
    let (code, all) = cluster.with_token(Method::GET, &maps.replace("blue", "green"), green, &Value::Null).await;
    assert_eq!((code, all["items"].as_array().unwrap().len()), (200, 1));

    // What a cluster has without anybody's doing is nothing.
    let red = cluster.create(CLUSTERS, &json!({ "name": "red" })).await["token"].as_str().unwrap().to_owned();
    assert_eq!(cluster.restore("red", &mut file).await, None, "it has a token");
    let (code, all) = cluster.with_token(Method::GET, &maps.replace("blue", "red"), &red, &Value::Null).await;
    assert_eq!((code, all["items"].as_array().unwrap().len()), (200, 1), "{all}");
}

#[tokio::test]
async fn a_backup_of_all_clusters_is_of_one_version() {
    let cluster = Cluster::start(2).await;
    let blue = cluster.create(CLUSTERS, &json!({ "name": "blue" })).await["token"].as_str().unwrap().to_owned();
    cluster.config_map("default", "in-default").await;
    let maps = "/clusters/blue/api/v1/namespaces/default/configmaps";
    assert_eq!(cluster.with_token(Method::POST, maps, &blue, &map("in-blue", 1)).await.0, 201);
    let file = cluster.backup("all=true").await;
    let names: Vec<_> = file.header().clusters.iter().map(|origin| origin.name.to_string()).collect();
    assert_eq!(names, ["blue", "default"]);
    let kind = |file: &File, name: &str| file.header().resources.iter().position(|kind| kind == name).unwrap() as u16;
    let of = |cluster: u16, name: &str| {
        file.counts(cluster).find(|(at, _)| *at == kind(&file, name)).map_or(0, |(_, count)| count)
    };
    assert_eq!((of(0, "configmaps"), of(1, "configmaps")), (1, 1));
    assert_eq!(of(1, "logicalclusters.internal.shardplane"), 1);
    for (query, code) in [("", 400), ("cluster=green", 404), ("all=true&cluster=blue", 400)] {
        assert_eq!(cluster.get(&format!("/shardplane/v1/backup?{query}")).await.0, code, "{query}");
    }
    let inner = "/clusters/blue/shardplane/v1/backup?cluster=default";
    assert_eq!(cluster.with_token(Method::GET, inner, &blue, &Value::Null).await.0, 404, "tenants see no tenants");
}
