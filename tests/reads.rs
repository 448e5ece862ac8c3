//! Lists, watches and tables over plain HTTP.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::collections::BTreeMap;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::Receiver;

use harness::{PATIENCE, Server};
use serde_json::{Value, json};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";

fn start(directory: &tempfile::TempDir) -> Server {
    Server::start(&directory.path().join("data"), &["--nodes", "0", "--shards", "3"])
}

fn make(server: &Server, namespace: &str, name: &str, labels: Value) -> Value {
    let body = json!({"metadata": {"name": name, "labels": labels}, "data": {"n": "0"}});
    let (code, made) = server.json("POST", &format!("/api/v1/namespaces/{namespace}/configmaps"), &body);
    assert_eq!(code, 201, "{made}");
    made
}

fn version(object: &Value) -> String {
    object["metadata"]["resourceVersion"].as_str().unwrap().to_owned()
}

/// A watch by curl: lines as they come.
struct Watch {
    child: Child,
    lines: Receiver<String>,
}

impl Watch {
    fn open(server: &Server, path: &str, headers: &[&str]) -> Self {
        let file = |name: &str| server.data().join(name).to_str().unwrap().to_owned();
        let mut command = Command::new("curl");
        command.args(["--silent", "--no-buffer", "--noproxy", "*", "--cacert", &file("ca.crt")]);
        command.args(["--cert", &file("admin.crt"), "--key", &file("admin.key")]);
        for header in headers {
            command.args(["-H", header]);
        }
        let mut child = command.arg(format!("{}{path}", server.url)).stdout(Stdio::piped()).spawn().unwrap();
        let lines = harness::lines_of(child.stdout.take().unwrap());
        Self { child, lines }
    }

    fn next(&self) -> (String, Value) {
        let line = self.lines.recv_timeout(PATIENCE).expect("an event");
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
        (event["type"].as_str().unwrap_or_else(|| panic!("{event}")).to_owned(), event["object"].clone())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn pages_of_a_list_are_of_one_moment() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    for namespace in ["one", "two", "three", "four"] {
        assert_eq!(server.json("POST", "/api/v1/namespaces", &json!({"metadata": {"name": namespace}})).0, 201);
        for number in 0..6 {
            make(&server, namespace, &format!("map-{number}"), json!({"test": "pages"}));
        }
    }
    let all = "/api/v1/configmaps?labelSelector=test%3Dpages";
    let mut names = Vec::new();
    let mut versions = Vec::new();
    let mut token = String::new();
    for page in 0.. {
        let (code, list) = server.json("GET", &format!("{all}&limit=5&continue={token}"), &Value::Null);
        assert_eq!(code, 200, "{list}");
        versions.push(version(&list));
        for item in list["items"].as_array().unwrap() {
            names.push(format!(
                "{}/{}",
                item["metadata"]["namespace"].as_str().unwrap(),
                item["metadata"]["name"].as_str().unwrap()
            ));
            assert_eq!(item["data"]["n"], "0", "a change after the first page does not show");
        }
        // Between two pages one object comes, one changes and one goes.
        make(&server, "two", &format!("map-{page}-new"), json!({"test": "pages"}));
        server.json(
            "PUT",
            "/api/v1/namespaces/three/configmaps/map-5",
            &json!({"metadata": {"name": "map-5", "labels": {"test": "pages"}}, "data": {"n": "1"}}),
        );
        server.json("DELETE", &format!("/api/v1/namespaces/two/configmaps/map-{page}"), &Value::Null);
        token = list["metadata"]["continue"].as_str().unwrap_or_default().to_owned();
        if token.is_empty() {
            break;
        }
    }
    let mut sorted = names.clone();
    sorted.sort();
    assert_eq!(names, sorted, "in key order over all shards");
    assert_eq!(names.len(), 24, "{names:?}");
    assert!(versions.iter().all(|version| *version == versions[0]), "{versions:?}");

    let (code, refused) = server.json("GET", &format!("{all}&limit=5&continue=nonsense"), &Value::Null);
    assert_eq!(code, 400, "{refused}");
    let (_, rest) = server.json("GET", "/api/v1/namespaces/one/configmaps?limit=2", &Value::Null);
    assert!(rest["metadata"]["remainingItemCount"].as_i64().unwrap() >= 4, "{}", rest["metadata"]);
}

#[test]
fn a_list_and_its_watch_leave_no_gap() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    make(&server, "default", "before", json!({"test": "watch"}));
    let (_, list) = server.json("GET", "/api/v1/configmaps?labelSelector=test%3Dwatch", &Value::Null);
    assert_eq!(list["items"].as_array().unwrap().len(), 1);
    // What happens between list and watch must come, in order, once.
    make(&server, "default", "a", json!({"test": "watch"}));
    make(&server, "kube-system", "b", json!({"test": "watch"}));
    let path = format!("/api/v1/configmaps?watch=1&labelSelector=test%3Dwatch&resourceVersion={}", version(&list));
    let watch = Watch::open(&server, &path, &[]);
    let (kind, a) = watch.next();
    assert_eq!((kind.as_str(), a["metadata"]["name"].as_str()), ("ADDED", Some("a")));
    let (kind, b) = watch.next();
    assert_eq!((kind.as_str(), b["metadata"]["name"].as_str()), ("ADDED", Some("b")));

    // Leaving the selector is a DELETED with the previous state at the new version; coming back is an ADDED.
    let relabel = |label: &str| json!({"metadata": {"name": "a", "labels": {"test": label}}, "data": {"n": "1"}});
    let (_, left) = server.json("PUT", &format!("{MAPS}/a"), &relabel("other"));
    let (kind, gone) = watch.next();
    assert_eq!((kind.as_str(), gone["data"]["n"].as_str(), version(&gone)), ("DELETED", Some("0"), version(&left)));
    server.json("PUT", &format!("{MAPS}/a"), &relabel("watch"));
    assert_eq!(watch.next().0, "ADDED");
    server.json("DELETE", &format!("{MAPS}/a"), &Value::Null);
    let (kind, gone) = watch.next();
    assert_eq!((kind.as_str(), gone["metadata"]["name"].as_str()), ("DELETED", Some("a")));
    assert!(version(&gone).parse::<u64>().unwrap() > version(&left).parse().unwrap());
}

#[test]
fn initial_events_end_with_a_bookmark() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let mut expected = BTreeMap::new();
    for number in 0..5 {
        let made = make(&server, "default", &format!("map-{number}"), json!({"test": "initial"}));
        expected.insert(made["metadata"]["name"].to_string(), version(&made));
    }
    let path = "/api/v1/configmaps?watch=1&sendInitialEvents=true&resourceVersionMatch=NotOlderThan\
                &allowWatchBookmarks=true&labelSelector=test%3Dinitial";
    let watch = Watch::open(&server, path, &[]);
    let mut seen = BTreeMap::new();
    loop {
        let (kind, object) = watch.next();
        if kind == "BOOKMARK" {
            assert_eq!(object["metadata"]["annotations"]["k8s.io/initial-events-end"], "true", "{object}");
            break;
        }
        assert_eq!(kind, "ADDED");
        seen.insert(object["metadata"]["name"].to_string(), version(&object));
    }
    assert_eq!(seen, expected);
    make(&server, "default", "later", json!({"test": "initial"}));
    assert_eq!(watch.next().1["metadata"]["name"], "later");
}

#[test]
fn controllers_split_lists_and_watches_by_shard_selectors() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    for number in 0..20 {
        make(&server, "default", &format!("map-{number}"), json!({}));
    }
    let bounds = [("0x0000000000000000", "0x8000000000000000"), ("0x8000000000000000", "0x10000000000000000")];
    let mut found = Vec::new();
    for (start, end) in bounds {
        let selector = format!("shardRange(object.metadata.uid, '{start}', '{end}')");
        let query = format!("shardSelector={}", selector.replace(' ', "%20").replace('\'', "%27"));
        let list = server.http("GET", &format!("{MAPS}?{query}"), &[], b"").json();
        assert_eq!(list["metadata"]["shardInfo"], json!({ "selector": selector }));
        let items = list["items"].as_array().unwrap();
        let watch = Watch::open(&server, &format!("{MAPS}?watch=1&{query}"), &[]);
        for item in items {
            let (kind, object) = watch.next();
            assert_eq!((kind.as_str(), &object["metadata"]), ("ADDED", &item["metadata"]));
            found.push(object["metadata"]["name"].as_str().unwrap().to_owned());
        }
    }
    let whole = server.http("GET", MAPS, &[], b"").json();
    let mut names: Vec<&str> =
        whole["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    found.sort_unstable();
    assert_eq!(found, names);
    assert!(whole["metadata"].get("shardInfo").is_none());
}

#[test]
fn versions_that_cannot_be_served() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let old = server.http("GET", "/api/v1/configmaps?watch=1&resourceVersion=1", &[], b"");
    let text = String::from_utf8(old.body.clone()).unwrap();
    assert!(old.code == 410 || text.contains(r#""code":410"#), "{} {text}", old.code);
    assert!(text.contains("Expired"), "{text}");
    let future = server.http("GET", &format!("{MAPS}?resourceVersion=9000000000000000000"), &[], b"");
    assert_eq!(future.code, 504, "{:?}", future.json());
    assert_eq!(future.json()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(server.http("GET", &format!("{MAPS}?resourceVersion=abc"), &[], b"").code, 400);
    assert_eq!(server.http("GET", "/api/v1/configmaps?fieldSelector=spec.foo%3Dbar", &[], b"").code, 400);
    assert_eq!(server.http("GET", "/api/v1/configmaps?labelSelector=a%3D%3D%3Db", &[], b"").code, 400);
}

#[test]
fn tables_are_rows_of_the_same_list() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    make(&server, "default", "one", json!({"test": "table"}));
    let accept = "Accept: application/json;as=Table;v=v1;g=meta.k8s.io,application/json";
    let table = server.http("GET", &format!("{MAPS}?labelSelector=test%3Dtable"), &[accept], b"").json();
    assert_eq!((table["kind"].as_str(), table["apiVersion"].as_str()), (Some("Table"), Some("meta.k8s.io/v1")));
    let columns: Vec<&str> =
        table["columnDefinitions"].as_array().unwrap().iter().map(|column| column["name"].as_str().unwrap()).collect();
    assert_eq!(columns, ["Name", "Data", "Age"]);
    assert_eq!(table["rows"][0]["cells"][0], "one");
    assert_eq!(table["rows"][0]["cells"][1], 1);
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");

    let watch = Watch::open(&server, &format!("{MAPS}?watch=1&labelSelector=test%3Dtable"), &[accept]);
    let (kind, event) = watch.next();
    assert_eq!((kind.as_str(), event["rows"][0]["cells"][0].as_str()), ("ADDED", Some("one")));
}

#[test]
fn services_never_share_an_address_or_a_port() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let service = |name: &str, spec: Value| {
        let mut body = json!({"metadata": {"name": name}, "spec": {"ports": [{"port": 80}], "selector": {"app": "x"}}});
        body["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        server.json("POST", "/api/v1/namespaces/default/services", &body)
    };
    let (code, first) = service("first", json!({"type": "NodePort"}));
    assert_eq!(code, 201, "{first}");
    let (address, port) = (first["spec"]["clusterIP"].clone(), first["spec"]["ports"][0]["nodePort"].clone());
    assert_eq!(first["spec"]["clusterIPs"][0], address);
    assert_eq!(
        server
            .json("GET", &format!("/apis/networking.k8s.io/v1/ipaddresses/{}", address.as_str().unwrap()), &Value::Null)
            .0,
        200
    );

    let (code, refused) = service("second", json!({"clusterIP": address}));
    assert_eq!((code, refused["reason"].as_str()), (422, Some("Invalid")), "{refused}");
    let (code, refused) = service("third", json!({"type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}));
    assert_eq!((code, refused["reason"].as_str()), (422, Some("Invalid")), "{refused}");
    let (code, outside) = service("fourth", json!({"clusterIP": "192.0.2.1"}));
    assert_eq!(code, 422, "{outside}");

    // What a deleted Service had is free again.
    assert_eq!(server.json("DELETE", "/api/v1/namespaces/default/services/first", &Value::Null).0, 200);
    let (code, second) =
        service("second", json!({"clusterIP": address, "type": "NodePort", "ports": [{"port": 80, "nodePort": port}]}));
    assert_eq!(code, 201, "{second}");
    let (code, headless) = service("headless", json!({"clusterIP": "None"}));
    assert_eq!((code, headless["spec"]["clusterIP"].as_str()), (201, Some("None")), "{headless}");
}

#[test]
fn discovery_tells_the_truth() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let aggregated = "Accept: application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json";
    for root in ["/api", "/apis"] {
        let groups = server.http("GET", root, &[aggregated], b"").json();
        assert_eq!(groups["kind"], "APIGroupDiscoveryList", "{groups}");
        for group in groups["items"].as_array().unwrap() {
            for version in group["versions"].as_array().unwrap() {
                let name = group["metadata"]["name"].as_str().unwrap_or_default();
                let version_name = version["version"].as_str().unwrap();
                let path = if name.is_empty() {
                    format!("/api/{version_name}")
                } else {
                    format!("/apis/{name}/{version_name}")
                };
                let legacy = server.http("GET", &path, &[], b"").json();
                let legacy: Vec<&str> =
                    legacy["resources"].as_array().unwrap().iter().map(|one| one["name"].as_str().unwrap()).collect();
                for resource in version["resources"].as_array().unwrap() {
                    let plural = resource["resource"].as_str().unwrap();
                    assert!(legacy.contains(&plural), "{path} lists {plural}");
                    if resource["verbs"].as_array().unwrap().contains(&json!("list")) {
                        assert_eq!(
                            server.http("GET", &format!("{path}/{plural}?limit=1"), &[], b"").code,
                            200,
                            "{path}/{plural}"
                        );
                    }
                }
            }
        }
    }
}
