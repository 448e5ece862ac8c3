//! The verbs, in the reference's words.

use serde_json::json;

use super::cluster::*;
use crate::service::*;

fn config_map(name: &str, value: &str) -> api::Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "default"},
        "data": {"key": value}})
}

#[tokio::test(start_paused = true)]
async fn an_object_is_made_read_changed_and_removed() {
    let cluster = Cluster::start(2).await;
    let made = cluster.create("configmaps", &config_map("a", "1")).await.unwrap();
    let document = made.document();
    assert_eq!(document["metadata"]["resourceVersion"], made.version.to_string());
    assert!(document["metadata"]["uid"].as_str().unwrap().len() == 36);
    assert_eq!(document["metadata"]["creationTimestamp"].as_str().unwrap().len(), "2026-11-22T10:00:00Z".len());
    let again = cluster.create("configmaps", &config_map("a", "1")).await.unwrap_err();
    assert_eq!((again.code(), again.message()), (409, "configmaps \"a\" already exists"));

    let same = cluster.update("configmaps", &document).await.unwrap();
    assert_eq!(same.version, made.version, "an update that changes nothing writes nothing");
    let mut changed = document.clone();
    changed["data"]["key"] = json!("2");
    let changed = cluster.update("configmaps", &changed).await.unwrap();
    assert!(changed.version > made.version);
    let stale = cluster.update("configmaps", &document).await.unwrap_err();
    assert_eq!(stale.code(), 409);
    assert!(stale.message().contains("the object has been modified; please apply your changes"), "{stale}");

    let read = cluster.get("configmaps", "default", "a").await.unwrap();
    assert_eq!(read.version, changed.version);
    let gone = document_of_delete(&cluster, "configmaps", "a").await;
    assert_eq!((gone["kind"].as_str(), gone["status"].as_str()), (Some("Status"), Some("Success")));
    assert_eq!(gone["details"]["uid"], document["metadata"]["uid"]);
    let missing = cluster.get("configmaps", "default", "a").await.unwrap_err();
    assert_eq!((missing.code(), missing.message()), (404, "configmaps \"a\" not found"));
}

async fn document_of_delete(cluster: &Cluster, id_name: &str, name: &str) -> api::Value {
    document(cluster.delete(id_name, ("default", name), DeleteOptions::default()).await)
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_is_said_in_the_references_words() {
    let cluster = Cluster::start(1).await;
    let missing = json!({"metadata": {"name": "a", "namespace": "nowhere"}});
    let status = cluster.create("configmaps", &missing).await.unwrap_err();
    assert_eq!((status.code(), status.message()), (404, "namespaces \"nowhere\" not found"));

    let mut versioned = config_map("a", "1");
    versioned["metadata"]["resourceVersion"] = json!("5");
    let status = cluster.create("configmaps", &versioned).await.unwrap_err();
    assert_eq!(status.message(), "resourceVersion should not be set on objects to be created");

    let body = bytes(&config_map("b", "1"));
    let options = WriteOptions::default();
    let verb = Verb::Update { body, format: Format::Json, options, uid: "u".into() };
    let status = cluster.send(cluster.request("configmaps", "default", "a", verb)).await.unwrap_err();
    assert_eq!(status.message(), "the name of the object (b) does not match the name on the URL (a)");

    let unknown = br#"{"metadata":{"name":"c","namespace":"default"},"dada":{}}"#;
    let create = |field_validation| Verb::Create {
        body: bytes::Bytes::from_static(unknown),
        format: Format::Json,
        options: WriteOptions { field_validation, ..WriteOptions::default() },
        uid: "u".into(),
    };
    let strict = create(FieldValidation::Strict);
    let status = cluster.send(cluster.request("configmaps", "default", "c", strict)).await.unwrap_err();
    assert_eq!(status.code(), 400);
    assert!(status.message().ends_with("strict decoding error: unknown field \"dada\""), "{status}");
    let warn = create(FieldValidation::Warn);
    let answer = cluster.send(cluster.request("configmaps", "default", "c", warn)).await.unwrap();
    assert_eq!((answer.code, answer.warnings), (201, vec!["unknown field \"dada\"".to_owned()]));

    let bad = json!({"metadata": {"name": "Not_A_Name", "namespace": "default"}});
    let status = cluster.create("configmaps", &bad).await.unwrap_err();
    assert_eq!((status.code(), status.causes()[0].field.as_str()), (422, "metadata.name"));
}

#[tokio::test(start_paused = true)]
async fn generation_counts_changes_of_the_spec_only() {
    let cluster = Cluster::start(1).await;
    let made = cluster.create("deployments.apps", &deployment(3)).await.unwrap().document();
    assert_eq!(made["metadata"]["generation"], 1);
    let at = ("default", "web");
    let labelled = cluster.merge("deployments.apps", at, &json!({"metadata": {"labels": {"x": "y"}}})).await.unwrap();
    assert_eq!(labelled.document()["metadata"]["generation"], 1);
    let scaled = cluster.merge("deployments.apps", at, &json!({"spec": {"replicas": 5}})).await.unwrap();
    assert_eq!(scaled.document()["metadata"]["generation"], 2);

    let mut status = scaled.document();
    status["status"] = json!({"replicas": 4, "observedGeneration": 2});
    status["spec"]["replicas"] = json!(9);
    let reported = cluster.update_part("deployments.apps", "status", &status).await.unwrap().document();
    assert_eq!((&reported["status"]["replicas"], &reported["spec"]["replicas"]), (&json!(4), &json!(5)));
    assert_eq!(reported["metadata"]["generation"], 2);
    let mut main = reported.clone();
    main["status"] = json!({"replicas": 77});
    let main = cluster.update("deployments.apps", &main).await.unwrap().document();
    assert_eq!(main["status"]["replicas"], 4, "status is not the main resource's to write");
}

pub(super) fn deployment(replicas: i64) -> api::Value {
    json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {
                "metadata": {"labels": {"app": "web"}},
                "spec": {"containers": [{"name": "nginx", "image": "nginx:1.21"}]},
            },
        },
    })
}

#[tokio::test(start_paused = true)]
async fn scale_is_a_document_of_its_own() {
    let cluster = Cluster::start(1).await;
    cluster.create("deployments.apps", &deployment(3)).await.unwrap();
    let mut request = cluster.request("deployments.apps", "default", "web", Verb::Get { version: None });
    request.subresource = "scale".into();
    let mut scale = document(cluster.send(request.clone()).await);
    assert_eq!((&scale["kind"], &scale["spec"]["replicas"]), (&json!("Scale"), &json!(3)));
    assert_eq!(scale["status"]["selector"], "app=web");
    scale["spec"]["replicas"] = json!(7);
    request.verb = update_verb(&cluster.ambient, &scale);
    request.id += 1;
    assert_eq!(document(cluster.send(request.clone()).await)["spec"]["replicas"], 7);
    let patch = bytes(&json!({"spec": {"replicas": 2}}));
    request.verb =
        Verb::Patch { body: patch, patch: PatchType::Merge, options: WriteOptions::default(), uid: String::new() };
    request.id += 1;
    assert_eq!(document(cluster.send(request).await)["spec"]["replicas"], 2);
    let web = cluster.get("deployments.apps", "default", "web").await.unwrap().document();
    assert_eq!((&web["spec"]["replicas"], &web["metadata"]["generation"]), (&json!(2), &json!(3)));
}

#[tokio::test(start_paused = true)]
async fn finalizers_keep_what_is_deleted() {
    let cluster = Cluster::start(1).await;
    let mut body = config_map("a", "1");
    body["metadata"]["finalizers"] = json!(["example.com/wait"]);
    cluster.create("configmaps", &body).await.unwrap();
    let foreground = DeleteOptions { propagation: Some(Propagation::Foreground), ..DeleteOptions::default() };
    let deleting = object(cluster.delete("configmaps", ("default", "a"), foreground).await).unwrap().document();
    assert_eq!(deleting["metadata"]["finalizers"], json!(["example.com/wait", "foregroundDeletion"]));
    assert_eq!(deleting["metadata"]["deletionGracePeriodSeconds"], 0);
    assert!(deleting["metadata"]["deletionTimestamp"].is_string());
    let again = cluster.create("configmaps", &config_map("a", "1")).await.unwrap_err();
    assert_eq!(again.message(), "object is being deleted: configmaps \"a\" already exists");
    let at = ("default", "a");
    let added = cluster.merge("configmaps", at, &json!({"metadata": {"finalizers": ["example.com/more"]}})).await;
    assert_eq!(added.unwrap_err().code(), 422, "no finalizer joins late");
    cluster.merge("configmaps", at, &json!({"metadata": {"finalizers": null}})).await.unwrap();
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap_err().code(), 404);
}

#[tokio::test(start_paused = true)]
async fn kinds_older_than_the_garbage_collector_orphan_unless_told() {
    let cluster = Cluster::start(1).await;
    let template = json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "a", "image": "a"}], "restartPolicy": "Never"}});
    let job = json!({"metadata": {"name": "a", "namespace": "default"}, "spec": {"template": template}});
    let at = ("default", "a");
    cluster.create("jobs.batch", &job).await.unwrap();
    let answer = cluster.delete("jobs.batch", at, DeleteOptions::default()).await;
    assert!(answer.as_ref().unwrap().warnings[0].starts_with("child pods are preserved by default"));
    let left = object(answer).unwrap().document();
    assert_eq!(left["metadata"]["finalizers"], json!(["orphan"]));
    cluster.merge("jobs.batch", at, &json!({"metadata": {"finalizers": null}})).await.unwrap();

    for propagation in [Propagation::Background, Propagation::Foreground] {
        cluster.create("jobs.batch", &job).await.unwrap();
        let told = DeleteOptions { propagation: Some(propagation), ..DeleteOptions::default() };
        let answer = cluster.delete("jobs.batch", at, told).await.unwrap();
        assert_eq!(answer.warnings, Vec::<String>::new());
        let clear = json!({"metadata": {"finalizers": null}});
        assert_eq!(cluster.merge("jobs.batch", at, &clear).await.is_ok(), propagation == Propagation::Foreground);
    }
    let mut foreground = job.clone();
    foreground["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
    cluster.create("jobs.batch", &foreground).await.unwrap();
    let deleting = object(cluster.delete("jobs.batch", at, DeleteOptions::default()).await).unwrap().document();
    assert_eq!(deleting["metadata"]["finalizers"], json!(["foregroundDeletion"]), "it was told before");
    cluster.create("deployments.apps", &deployment(1)).await.unwrap();
    let gone = cluster.delete("deployments.apps", ("default", "web"), DeleteOptions::default()).await;
    assert_eq!(document(gone)["status"], "Success");
}

#[tokio::test(start_paused = true)]
async fn nobody_asks_for_a_certificate_in_anothers_name() {
    let cluster = Cluster::start(1).await;
    let body = json!({"metadata": {"name": "a"}, "spec": {"request": "eA==", "username": "root", "groups": ["g"],
        "signerName": "example.com/a", "usages": ["client auth"]}, "status": {"conditions": [{"type": "Approved"}]}});
    let made = cluster.create("certificatesigningrequests.certificates.k8s.io", &body).await.unwrap().document();
    let asker = cluster.request("pods", "", "a", Verb::Get { version: None }).user;
    assert_ne!(asker.name, "root");
    let said = |field: &str| made["spec"].get(field).cloned().unwrap_or_default();
    assert_eq!(said("username").as_str().unwrap_or_default(), asker.name);
    assert_eq!(said("groups"), if asker.groups.is_empty() { json!(null) } else { json!(asker.groups) });
    assert!(made["status"].get("conditions").is_none(), "nor is it approved already");
}

#[tokio::test(start_paused = true)]
async fn what_a_patch_makes_has_to_fit() {
    let cluster = Cluster::start(1).await;
    cluster.create("configmaps", &config_map("a", "1")).await.unwrap();
    let send = |patch, kind, field_validation| {
        let options = WriteOptions { field_validation, ..WriteOptions::default() };
        let verb = Verb::Patch { body: bytes(&patch), patch: kind, options, uid: String::new() };
        cluster.send(cluster.request("configmaps", "default", "a", verb))
    };
    let labels = json!({"metadata": {"labels": "invalid"}});
    let status = send(labels, PatchType::Strategic, FieldValidation::Warn).await.unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (
            422,
            " \"\" is invalid: patch: Invalid value: \"map[metadata:map[labels:invalid]]\": cannot restore map from string"
        )
    );
    let status = send(json!({"data": {"key": 1}}), PatchType::Merge, FieldValidation::Warn).await.unwrap_err();
    assert_eq!((status.code(), status.causes()[0].field.as_str()), (422, "patch"));
    assert!(status.message().ends_with("cannot unmarshal number into Go struct field ConfigMap.data of type string"));
    let status = send(json!({"dada": 1}), PatchType::Merge, FieldValidation::Strict).await.unwrap_err();
    assert_eq!(status.code(), 422);
    assert!(status.message().ends_with("strict decoding error: unknown field \"dada\""), "{status}");
    let secret = json!({"metadata": {"name": "a", "namespace": "default"}, "data": {"key": "aHVzaA=="}});
    cluster.create("secrets", &secret).await.unwrap();
    for kind in [PatchType::Merge, PatchType::Strategic] {
        let patch = bytes(&json!({"data": {"other": 1}, "stringData": {"key": "hush"}}));
        let verb = Verb::Patch { body: patch, patch: kind, options: WriteOptions::default(), uid: String::new() };
        let status = cluster.send(cluster.request("secrets", "default", "a", verb)).await.unwrap_err();
        assert_eq!(status.code(), 422);
        assert!(!["hush", "aHVzaA=="].iter().any(|told| status.message().contains(told)), "{status}");
    }
    let nameless = json!({"metadata": {"name": null}});
    let status = send(nameless, PatchType::Merge, FieldValidation::Warn).await.unwrap_err();
    let expected = "the name of the object (a based on URL) was undeterminable: name must be provided";
    assert_eq!((status.code(), status.message()), (400, expected));
}

#[tokio::test(start_paused = true)]
async fn some_rules_hold_for_new_objects_only() {
    let cluster = Cluster::start(1).await;
    let backend = json!({"service": {"name": "web", "port": {"number": 80}}});
    let mut ingress = json!({
        "metadata": {"name": "a", "namespace": "default", "annotations": {"kubernetes.io/ingress.class": "old"}},
        "spec": {"ingressClassName": "new", "defaultBackend": backend},
    });
    let status = cluster.create("ingresses.networking.k8s.io", &ingress).await.unwrap_err();
    assert_eq!((status.code(), status.causes()[0].field.as_str()), (422, "annotations.kubernetes.io/ingress.class"));
    ingress["spec"]["ingressClassName"] = json!("old");
    cluster.create("ingresses.networking.k8s.io", &ingress).await.unwrap();
    let change = json!({"spec": {"ingressClassName": "new"}});
    cluster.merge("ingresses.networking.k8s.io", ("default", "a"), &change).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn preconditions_of_a_deletion_hold_or_it_conflicts() {
    let cluster = Cluster::start(1).await;
    let made = cluster.create("configmaps", &config_map("a", "1")).await.unwrap();
    let wrong = DeleteOptions { uid: Some("other".into()), ..DeleteOptions::default() };
    let status = cluster.delete("configmaps", ("default", "a"), wrong).await.unwrap_err();
    assert_eq!(status.code(), 409);
    assert!(status.message().contains("the UID in the precondition (other) does not match the UID in record"));
    let right = DeleteOptions { version: Some(made.version), ..DeleteOptions::default() };
    cluster.delete("configmaps", ("default", "a"), right).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn dry_runs_answer_and_change_nothing() {
    let cluster = Cluster::start(1).await;
    let options = WriteOptions { dry_run: true, ..WriteOptions::default() };
    let body = bytes(&config_map("a", "1"));
    let verb = Verb::Create { body, format: Format::Json, options: options.clone(), uid: "u".into() };
    let made = document(cluster.send(cluster.request("configmaps", "default", "a", verb)).await);
    assert_eq!((&made["kind"], &made["data"]["key"]), (&json!("ConfigMap"), &json!("1")));
    assert!(made["metadata"].get("resourceVersion").is_none());
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap_err().code(), 404);

    let made = cluster.create("configmaps", &config_map("a", "1")).await.unwrap();
    let patch = bytes(&json!({"data": {"key": "2"}}));
    let verb = Verb::Patch { body: patch, patch: PatchType::Merge, options, uid: String::new() };
    let patched = object(cluster.send(cluster.request("configmaps", "default", "a", verb)).await).unwrap();
    assert_eq!(patched.document()["data"]["key"], "2");
    let options = DeleteOptions { dry_run: true, ..DeleteOptions::default() };
    cluster.delete("configmaps", ("default", "a"), options).await.unwrap();
    assert_eq!(cluster.get("configmaps", "default", "a").await.unwrap().version, made.version);
}

#[tokio::test(start_paused = true)]
async fn patches_apply_to_whatever_is_there() {
    let cluster = std::sync::Arc::new(Cluster::start(1).await);
    cluster.create("configmaps", &config_map("a", "1")).await.unwrap();
    let tasks = (0..40).map(|at| {
        let cluster = cluster.clone();
        tokio::spawn(async move {
            let patch = json!({"data": {format!("k{at}"): "x"}});
            cluster.merge("configmaps", ("default", "a"), &patch).await.unwrap();
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap();
    }
    let merged = cluster.get("configmaps", "default", "a").await.unwrap().document();
    assert_eq!(merged["data"].as_object().unwrap().len(), 41);
    let stale = json!({"metadata": {"resourceVersion": "1"}, "data": {"late": "x"}});
    let status = cluster.merge("configmaps", ("default", "a"), &stale).await.unwrap_err();
    assert_eq!(status.code(), 409, "a patch that names a version means it");
}

#[tokio::test(start_paused = true)]
async fn namespaces_terminate_before_they_go() {
    let cluster = Cluster::start(2).await;
    let body = json!({"metadata": {"name": "team"}});
    let made = cluster.create("namespaces", &body).await.unwrap().document();
    assert_eq!((&made["status"]["phase"], &made["spec"]["finalizers"]), (&json!("Active"), &json!(["kubernetes"])));
    let immortal = cluster.delete("namespaces", ("", "default"), DeleteOptions::default()).await.unwrap_err();
    assert_eq!(immortal.message(), "namespaces \"default\" is forbidden: this namespace may not be deleted");

    let going = cluster.delete("namespaces", ("", "team"), DeleteOptions::default()).await;
    let mut going = object(going).unwrap().document();
    assert_eq!(going["status"]["phase"], "Terminating");
    let late = json!({"metadata": {"name": "late", "namespace": "team"}});
    let status = cluster.create("configmaps", &late).await.unwrap_err();
    assert_eq!((status.code(), status.causes()[0].reason), (403, "NamespaceTerminating"));
    let event = json!({"metadata": {"name": "e", "namespace": "team"}, "involvedObject": {"namespace": "team"}});
    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    assert_eq!(cluster.create("events", &event).await.unwrap_err().code(), 403, "Events live elsewhere and know");

    going["spec"] = json!({});
    cluster.update_part("namespaces", "finalize", &going).await.unwrap();
    assert_eq!(cluster.get("namespaces", "", "team").await.unwrap_err().code(), 404);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_comes_twice_happens_once() {
    let cluster = Cluster::start(1).await;
    let body = bytes(&config_map("a", "1"));
    let verb = Verb::Create { body, format: Format::Json, options: WriteOptions::default(), uid: "u".into() };
    let request = cluster.request("configmaps", "default", "a", verb);
    let (first, second) = tokio::join!(cluster.send(request.clone()), cluster.send(request.clone()));
    let (first, second) = (object(first).unwrap(), object(second).unwrap());
    assert_eq!(first.version, second.version);
    let third = object(cluster.send(request.clone()).await).unwrap();
    assert_eq!(third.version, first.version);
    tokio::time::sleep(std::time::Duration::from_secs(61)).await;
    assert_eq!(cluster.send(request).await.unwrap_err().code(), 409, "an id is known for a minute");
}

#[tokio::test(start_paused = true)]
async fn a_lease_needs_a_version_and_may_be_made_by_update() {
    let cluster = Cluster::start(2).await;
    let lease =
        json!({"metadata": {"name": "node-1", "namespace": "kube-node-lease"}, "spec": {"holderIdentity": "n"}});
    let made = cluster.update("leases.coordination.k8s.io", &lease).await.unwrap();
    let status = cluster.update("leases.coordination.k8s.io", &lease).await.unwrap_err();
    assert_eq!(status.code(), 422);
    assert!(status.message().ends_with("metadata.resourceVersion: Invalid value: 0: must be specified for an update"));
    let mut foreign = made.document();
    foreign["metadata"]["name"] = json!("node-2");
    assert_eq!(cluster.update("leases.coordination.k8s.io", &foreign).await.unwrap_err().code(), 409, "it had a uid");
    foreign["metadata"]["uid"] = json!("");
    cluster.update("leases.coordination.k8s.io", &foreign).await.unwrap();
    cluster
        .delete("leases.coordination.k8s.io", ("kube-node-lease", "node-2"), DeleteOptions::default())
        .await
        .unwrap();
    let mut renewed = made.document();
    renewed["spec"]["holderIdentity"] = json!("m");
    let renewed = cluster.update("leases.coordination.k8s.io", &renewed).await.unwrap();
    let read = cluster.get("leases.coordination.k8s.io", "kube-node-lease", "node-1").await.unwrap();
    assert_eq!(read.version, renewed.version, "a relaxed write is read back at once");
    let listed = cluster.list("leases.coordination.k8s.io", "kube-node-lease").await;
    assert_eq!(versions(&listed), [renewed.version], "a list waits until it is durable");
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_an_answer_does_not_give_up_the_write() {
    let cluster = Cluster::start(1).await;
    cluster.store.set_latency(std::time::Duration::from_millis(10));
    let body = bytes(&config_map("a", "1"));
    let verb = Verb::Create { body, format: Format::Json, options: WriteOptions::default(), uid: "u".into() };
    let request = cluster.request("configmaps", "default", "a", verb);
    let given_up = tokio::time::timeout(std::time::Duration::from_millis(1), cluster.send(request.clone())).await;
    assert!(given_up.is_err());
    let again = cluster.send(request).await.unwrap();
    assert_eq!(again.code, 201, "the same request gets the answer of the first");
}

#[tokio::test(start_paused = true)]
async fn writers_wait_while_the_store_is_behind() {
    let cluster = std::sync::Arc::new(Cluster::start(1).await);
    cluster.store.set_latency(std::time::Duration::from_millis(50));
    let before = cluster.store.commits();
    let value = "x".repeat(100_000);
    let tasks = (0..100).map(|at| {
        let (cluster, body) = (cluster.clone(), config_map(&format!("m{at}"), &value));
        tokio::spawn(async move { cluster.create("configmaps", &body).await })
    });
    for task in tasks.collect::<Vec<_>>() {
        task.await.unwrap().unwrap();
    }
    assert!(cluster.store.commits() >= before + 3, "10 MB do not go into one batch");
    assert_eq!(cluster.list("configmaps", "default").await.len(), 100);
}

#[tokio::test(start_paused = true)]
async fn events_go_after_an_hour_without_news() {
    let cluster = Cluster::start(2).await;
    for at in 0..10 {
        let about = json!({"kind": "Pod", "name": "a", "namespace": "default"});
        let event = json!({"metadata": {"name": format!("e{at}"), "namespace": "default"}, "involvedObject": about});
        cluster.create("events", &event).await.unwrap();
    }
    tokio::time::sleep(std::time::Duration::from_secs(1800)).await;
    cluster.merge("events", ("default", "e3"), &json!({"count": 2})).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(1810)).await;
    let left = cluster.list("events", "default").await;
    assert_eq!(left.iter().map(|event| event.name.as_str()).collect::<Vec<_>>(), ["e3"]);
}
