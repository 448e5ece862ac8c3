//! Aggregated APIs from outside: a server of the test's own behind a Service, kubectl, and plain HTTP.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use harness::Server;
use harness::extension::{Asked, Extension, Says};
use serde_json::{Value, json};

const SERVICES: &str = "/apis/apiregistration.k8s.io/v1/apiservices";
const THINGS: &str = "/apis/ext.example.org/v1/namespaces/default/things";

/// Where lines of watches come from.
static WATCHES: Mutex<Vec<Sender<String>>> = Mutex::new(Vec::new());

fn start(directory: &tempfile::TempDir) -> Server {
    let arguments = ["--nodes", "0", "--shards", "2", "--webhook-allow", "127.0.0.1,::1"];
    Server::start(&directory.path().join("data"), &arguments)
}

/// The CA by which servers know the gateway.
fn front_proxy_ca(server: &Server) -> String {
    let path = "/api/v1/namespaces/kube-system/configmaps/extension-apiserver-authentication";
    let (code, map) = server.json("GET", path, &Value::Null);
    assert_eq!((code, &map["data"]["requestheader-allowed-names"]), (200, &json!("[\"front-proxy-client\"]")));
    map["data"]["requestheader-client-ca-file"].as_str().unwrap().to_owned()
}

/// A server of one kind, whose objects all look alike.
fn things(asked: &Asked) -> Says {
    let thing = |name: &str| {
        json!({
            "kind": "Thing", "apiVersion": "ext.example.org/v1",
            "metadata": {"name": name, "namespace": "default", "resourceVersion": "7", "creationTimestamp": null},
        })
    };
    let path = asked.target.split('?').next().unwrap();
    match (asked.method.as_str(), path) {
        ("GET", "/apis/ext.example.org/v1") => Says::Json(
            200,
            json!({
                "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": "ext.example.org/v1",
                "resources": [{
                    "name": "things", "singularName": "thing", "namespaced": true, "kind": "Thing", "shortNames": ["th"],
                    "verbs": ["create", "delete", "get", "list", "watch"],
                }],
            }),
        ),
        ("GET", THINGS) if asked.target.contains("watch=") => {
            let (send, lines) = channel();
            send.send(json!({"type": "ADDED", "object": thing("first")}).to_string()).unwrap();
            WATCHES.lock().unwrap().push(send);
            Says::Lines(lines)
        }
        ("GET", THINGS) => Says::Json(
            200,
            json!({
                "kind": "ThingList", "apiVersion": "ext.example.org/v1", "metadata": {"resourceVersion": "7"},
                "items": [thing("a"), thing("b")],
            }),
        ),
        ("POST", THINGS) => Says::Json(201, serde_json::from_slice(&asked.body).unwrap()),
        ("GET", path) if path.starts_with(THINGS) => Says::Json(200, thing(path.rsplit('/').next().unwrap())),
        ("DELETE", _) => {
            Says::Json(409, json!({"kind": "Status", "status": "Failure", "code": 409, "message": "held"}))
        }
        _ => Says::Json(404, json!({"kind": "Status", "status": "Failure", "code": 404})),
    }
}

fn register(server: &Server, extension: &Extension, service: &str) {
    let (code, made) = server.json(
        "POST",
        SERVICES,
        &json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v1.ext.example.org"},
            "spec": {
                "group": "ext.example.org", "version": "v1", "groupPriorityMinimum": 100, "versionPriority": 10,
                "caBundle": extension.bundle,
                "service": {"namespace": "default", "name": service, "port": extension.address.port()},
            },
        }),
    );
    assert_eq!(code, 201, "{made}");
}

/// A Service that leads to this machine by its name.
fn name_it(server: &Server, service: &str) {
    let spec = json!({"type": "ExternalName", "externalName": "localhost"});
    let object = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": service}, "spec": spec});
    let (code, made) = server.json("POST", "/api/v1/namespaces/default/services", &object);
    assert_eq!(code, 201, "{made}");
}

#[test]
fn another_server_is_served_like_this_one() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let extension = Extension::start(Ipv4Addr::LOCALHOST.into(), "ext", &front_proxy_ca(&server), things);
    register(&server, &extension, "ext");
    // Whoever registered it is answered by it at once, and be it that it is not there.
    let missing = server.http("GET", THINGS, &[], b"");
    assert_eq!((missing.code, missing.text().as_str()), (503, "service unavailable\n"));
    let unavailable = server.kubectl(&["get", "apiservices", "v1.ext.example.org", "--no-headers"]);
    assert!(unavailable.contains("default/ext") && !unavailable.contains("True"), "{unavailable}");
    server.wait(&["--for=jsonpath={.status.conditions[0].reason}=ServiceNotFound", "apiservice/v1.ext.example.org"]);
    name_it(&server, "ext");
    server.wait(&["--for=condition=Available", "apiservice/v1.ext.example.org"]);

    // kubectl finds the kind by discovery, of either form.
    harness::eventually("its resources are known", || {
        let names = server.try_kubectl(&["get", "th", "-o", "name"]).stdout;
        (names == "thing.ext.example.org/a\nthing.ext.example.org/b\n").then_some(())
    });
    let (_, groups) = server.json("GET", "/apis", &Value::Null);
    let last = groups["groups"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["name"], &last["preferredVersion"]["version"]), (&json!("ext.example.org"), &json!("v1")));
    let (_, group) = server.json("GET", "/apis/ext.example.org", &Value::Null);
    assert_eq!((&group["kind"], &group["versions"][0]["version"]), (&json!("APIGroup"), &json!("v1")));

    // It is told who asks, by somebody whom it can believe.
    let headers = ["X-Remote-User: root", "Impersonate-User: ann", "Impersonate-Group: system:masters", "X-Kept: yes"];
    let read = server.http("GET", &format!("{THINGS}/x?pretty=false"), &headers, b"");
    assert_eq!((read.code, &read.json()["metadata"]["name"]), (200, &json!("x")));
    assert!(read.headers.to_lowercase().contains("x-from: extension"), "{}", read.headers);
    let asked = extension.seen(&format!("{THINGS}/x")).pop().unwrap();
    assert_eq!((asked.header("x-remote-user"), asked.is_known), (vec!["ann"], true), "{asked:?}");
    assert!(asked.header("x-remote-group").contains(&"system:masters"), "{asked:?}");
    assert_eq!((asked.target.as_str(), asked.header("x-kept")), (&*format!("{THINGS}/x?pretty=false"), vec!["yes"]));
    assert!(asked.header("authorization").is_empty() && asked.header("impersonate-user").is_empty(), "{asked:?}");

    // Bodies and refusals pass both ways.
    let body = json!({"kind": "Thing", "apiVersion": "ext.example.org/v1", "metadata": {"name": "new"}});
    assert_eq!(server.json("POST", THINGS, &body), (201, body));
    assert_eq!(server.json("DELETE", &format!("{THINGS}/a"), &Value::Null).0, 409);

    // A watch goes on as it comes.
    let follow = server.kubectl_follow(&["get", "--raw", &format!("{THINGS}?watch=1")]);
    let first: Value = serde_json::from_str(&follow.until("first")).unwrap();
    assert_eq!(first["object"]["metadata"]["name"], "first");
    let send = WATCHES.lock().unwrap().pop().unwrap();
    send.send(json!({"type": "DELETED"}).to_string()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(&follow.until("DELETED")).unwrap()["type"], "DELETED");
    drop(send);

    server.kubectl(&["delete", "apiservice", "v1.ext.example.org"]);
    harness::eventually("it is gone", || (server.http("GET", THINGS, &[], b"").code == 404).then_some(()));
}

/// An address of this machine by which endpoints may be.
fn own_address() -> Option<IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent: the system only chooses a way.
    socket.connect("198.51.100.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback() && !ip.is_unspecified())
}

#[test]
fn a_service_leads_to_endpoints_that_are_ready() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    // Without a network there is no address that an endpoint may have.
    let Some(ip) = own_address() else { return };
    let extension = Extension::start(ip, "behind", &front_proxy_ca(&server), things);
    let port = extension.address.port();
    let spec = json!({"ports": [{"name": "https", "port": port}]});
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "behind"}, "spec": spec});
    assert_eq!(server.json("POST", "/api/v1/namespaces/default/services", &service).0, 201);
    register(&server, &extension, "behind");
    server.kubectl(&["get", "apiservices"]);
    server.wait(&["--for=jsonpath={.status.conditions[0].reason}=EndpointsNotFound", "apiservice/v1.ext.example.org"]);
    let slice = |ready: bool| {
        json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice", "addressType": "IPv4",
            "metadata": {"name": "behind-1", "labels": {"kubernetes.io/service-name": "behind"}},
            "endpoints": [{"addresses": [ip.to_string()], "conditions": {"ready": ready}}],
            "ports": [{"name": "https", "port": port}],
        })
    };
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    assert_eq!(server.json("POST", slices, &slice(false)).0, 201);
    server.wait(&["--for=jsonpath={.status.conditions[0].reason}=MissingEndpoints", "apiservice/v1.ext.example.org"]);
    assert_eq!(server.json("PUT", &format!("{slices}/behind-1"), &slice(true)).0, 200);
    server.wait(&["--for=condition=Available", "apiservice/v1.ext.example.org"]);
    assert_eq!(server.json("GET", &format!("{THINGS}/x"), &Value::Null).0, 200);
}

#[test]
fn what_is_served_here_has_apiservices_too() {
    let directory = tempfile::tempdir().unwrap();
    let server = start(&directory);
    let all = server.kubectl(&["get", "apiservices", "--no-headers"]);
    let rows: Vec<Vec<&str>> = all.lines().map(|line| line.split_whitespace().collect()).collect();
    for name in ["v1.", "v1.apps", "v2.autoscaling", "v1.discovery.k8s.io"] {
        let row = rows.iter().find(|row| row[0] == name).unwrap_or_else(|| panic!("{name}: {all}"));
        assert_eq!(row[1..3], ["Local", "True"]);
    }
    assert!(!all.contains("apiregistration"), "{all}");
    // Those of custom kinds come and go with them.
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced",
            "names": {"plural": "widgets", "singular": "widget", "kind": "Widget"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": {"type": "object"}}}],
        },
    });
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    assert_eq!(server.json("POST", path, &definition).0, 201);
    let read = || server.json("GET", &format!("{SERVICES}/v1.example.com"), &Value::Null);
    let made = harness::eventually("it is registered", || Some(read()).filter(|(code, _)| *code == 200)).1;
    assert_eq!(
        made["spec"],
        json!({
            "group": "example.com", "version": "v1", "groupPriorityMinimum": 1000, "versionPriority": 100,
        })
    );
    assert_eq!(made["metadata"]["labels"], json!({"kube-aggregator.kubernetes.io/automanaged": "true"}));
    assert_eq!(made["status"]["conditions"][0]["reason"], "Local");
    server.kubectl(&["delete", "crd", "widgets.example.com"]);
    harness::eventually("it is gone", || (read().0 == 404).then_some(()));
    // Somebody's own is nobody else's.
    let (code, refused) = server.json(
        "POST",
        SERVICES,
        &json!({
            "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService", "metadata": {"name": "v2.a"},
            "spec": {"group": "a", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1},
        }),
    );
    assert_eq!((code, &refused["details"]["causes"][0]["field"]), (422, &json!("metadata.name")), "{refused}");
}
