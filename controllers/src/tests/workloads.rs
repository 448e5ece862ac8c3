//! Deployments, ReplicaSets, EndpointSlices, Namespaces.

use api::document::Document;
use serde_json::{Value, json};

use super::{DEPLOYMENTS, PODS, SETS, World};

fn condition(deployment: &Value, kind: &str) -> (String, String) {
    let conditions = deployment.list(&["status", "conditions"]);
    let found = conditions.iter().find(|condition| condition.text(&["type"]) == kind).unwrap();
    (found.text(&["status"]).to_owned(), found.text(&["reason"]).to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_deployment_rolls_out_and_rolls_over_within_its_limits() {
    let world = World::running().await;
    world.deploy("web", 8);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    let deployment = world.deployment("web");
    assert_eq!(condition(&deployment, "Available"), ("True".to_owned(), "MinimumReplicasAvailable".to_owned()));
    assert_eq!(condition(&deployment, "Progressing"), ("True".to_owned(), "NewReplicaSetAvailable".to_owned()));
    assert_eq!(deployment.text(&["metadata", "annotations", "deployment.kubernetes.io/revision"]), "1");
    assert_eq!(world.api.collection(PODS).len(), 8);
    assert_eq!(world.events("ScalingReplicaSet").len(), 1);

    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.22");
    });
    while !world.is_rolled_out("web") {
        let pods = world.api.collection(PODS);
        let alive = pods.iter().filter(|pod| !pod.is_deleting());
        let ready = alive.clone().filter(|pod| !pod.at(&["status", "conditions"]).is_null()).count();
        assert!(alive.count() <= 10, "eight and a surge of two");
        assert!(ready >= 6, "{ready} of eight are ready, two may be missing");
        world.pass(0.005).await;
    }
    let deployment = world.deployment("web");
    assert_eq!(deployment.text(&["metadata", "annotations", "deployment.kubernetes.io/revision"]), "2");
    let sizes: Vec<i64> =
        world.api.collection(SETS).iter().map(|set| set.int(&["spec", "replicas"]).unwrap()).collect();
    assert_eq!((sizes.len(), sizes.iter().sum::<i64>(), *sizes.iter().min().unwrap()), (2, 8, 0));
    world.until("the old Pods are gone", || world.api.collection(PODS).len() == 8).await;
    let images: Vec<_> =
        world.api.collection(PODS).iter().map(|pod| pod["spec"]["containers"][0]["image"].clone()).collect();
    assert_eq!(images, vec![json!("nginx:1.22"); 8]);

    // Back again: the first ReplicaSet is found by its template and becomes revision 3.
    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.21");
    });
    world.until("web is rolled back", || world.is_rolled_out("web")).await;
    let deployment = world.deployment("web");
    assert_eq!(deployment.text(&["metadata", "annotations", "deployment.kubernetes.io/revision"]), "3");
    assert_eq!(world.api.collection(SETS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_paused_deployment_scales_but_does_not_roll() {
    let world = World::running().await;
    world.deploy("web", 3);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| {
        deployment["spec"]["paused"] = json!(true);
        deployment["spec"]["replicas"] = json!(5);
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.22");
    });
    world.until("five Pods", || world.api.collection(PODS).len() == 5).await;
    world.pass(5.0).await;
    assert_eq!(world.api.collection(SETS).len(), 1);
    assert_eq!(condition(&world.deployment("web"), "Progressing").1, "DeploymentPaused");
    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| deployment["spec"]["paused"] = json!(false));
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    assert_eq!(world.api.collection(SETS).len(), 2);
}

#[tokio::test(start_paused = true)]
async fn recreate_waits_for_the_last_old_pod() {
    let world = World::running().await;
    world.deploy("web", 3);
    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| {
        deployment["spec"]["strategy"] = json!({ "type": "Recreate" });
    });
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| {
        deployment["spec"]["template"]["spec"]["containers"][0]["image"] = json!("nginx:1.22");
    });
    while !world.is_rolled_out("web") {
        let pods = world.api.collection(PODS);
        let images: std::collections::BTreeSet<&str> =
            pods.iter().map(|pod| pod.list(&["spec", "containers"])[0].text(&["image"])).collect();
        assert!(images.len() <= 1, "old and new Pods at once: {images:?}");
        world.pass(0.01).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_lagging_cache_never_makes_too_many_pods() {
    let world = World::running().await;
    for number in 0..8 {
        world.deploy(&format!("d{number}"), 50);
    }
    for _ in 0..20 {
        world.pass(0.003).await;
        world.api.cut_watches();
    }
    let all = || (0..8).all(|number| world.is_rolled_out(&format!("d{number}")));
    world.until("all are rolled out", all).await;
    assert_eq!(world.api.count("POST", "/pods"), 400, "exactly as many creations as Pods");
    assert_eq!(world.api.count("DELETE", "/pods"), 0);
}

#[tokio::test(start_paused = true)]
async fn pods_are_replaced_adopted_and_released() {
    let world = World::running().await;
    world.deploy("web", 3);
    world.until("web is rolled out", || world.is_rolled_out("web")).await;
    let pods = world.api.collection(PODS);
    world.api.remove(&format!("{PODS}/{}", pods[0].name()));
    world.until("it is replaced", || world.api.collection(PODS).len() == 3).await;

    // A Pod that the selector no longer selects is let go and replaced.
    let stray = format!("{PODS}/{}", world.api.collection(PODS)[0].name());
    world.edit(&stray, |pod| pod["metadata"]["labels"]["app"] = json!("debug"));
    world
        .until("it is let go", || world.api.object(&stray).unwrap().list(&["metadata", "ownerReferences"]).is_empty())
        .await;
    world.until("four Pods", || world.api.collection(PODS).len() == 4).await;
    // And back: it is adopted, and one too many goes.
    world.edit(&stray, |pod| pod["metadata"]["labels"]["app"] = json!("web"));
    world.until("three Pods", || world.api.collection(PODS).len() == 3).await;
    let owned = |pod: &Value| pod.list(&["metadata", "ownerReferences"]).len() == 1;
    world.until("all are owned", || world.api.collection(PODS).iter().all(owned)).await;
}

#[tokio::test(start_paused = true)]
async fn a_service_follows_its_pods() {
    let world = World::running().await;
    world.put(
        "/api/v1/namespaces/default/services/web",
        json!({
            "kind": "Service",
            "spec": { "selector": { "app": "web" }, "clusterIP": "10.96.0.9", "ipFamilies": ["IPv4"],
                "ports": [{ "name": "http", "port": 80, "targetPort": 80, "protocol": "TCP" }] },
        }),
    );
    let slices = || world.api.collection("/apis/discovery.k8s.io/v1/namespaces/default/endpointslices");
    world.until("an empty slice says that somebody looked", || slices().len() == 1).await;
    world.deploy("web", 3);
    let ready = || {
        let slices = slices();
        let endpoints: Vec<Value> = slices.iter().flat_map(|slice| slice.list(&["endpoints"]).to_vec()).collect();
        endpoints.iter().filter(|endpoint| endpoint["conditions"]["ready"] == true).count()
    };
    world.until("three endpoints", || ready() == 3).await;
    let slice = &slices()[0];
    assert_eq!(slice.text(&["metadata", "labels", "kubernetes.io/service-name"]), "web");
    assert_eq!(slice.list(&["ports"])[0]["port"], 80);
    let endpoint = &slice.list(&["endpoints"])[0];
    assert_eq!((endpoint.text(&["zone"]), endpoint.text(&["targetRef", "kind"])), ("z", "Pod"));
    world.pass(5.0).await;
    let writes = |method: &str| world.api.count(method, "/endpointslices");
    assert!(writes("POST") + writes("PATCH") + writes("PUT") <= 4, "three Pods at once are few writes");
    world.edit(&format!("{DEPLOYMENTS}/web"), |deployment| deployment["spec"]["replicas"] = json!(1));
    world.until("one endpoint", || ready() == 1).await;
    world.api.remove("/api/v1/namespaces/default/services/web");
    world.until("its slices go with it", || slices().is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn a_namespace_gets_its_account_and_goes_with_all_that_is_in_it() {
    let world = World::running().await;
    world.put(
        "/api/v1/namespaces/team",
        json!({
            "kind": "Namespace", "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
        }),
    );
    let account = "/api/v1/namespaces/team/serviceaccounts/default";
    world.until("the account is there", || world.api.object(account).is_some()).await;
    let held = "/api/v1/namespaces/team/configmaps/held";
    world.put(held, json!({ "kind": "ConfigMap", "metadata": { "finalizers": ["example.com/hold"] } }));
    world.put("/api/v1/namespaces/team/configmaps/free", json!({ "kind": "ConfigMap" }));
    world.edit("/api/v1/namespaces/team", |namespace| {
        namespace.set(&["metadata", "deletionTimestamp"], "2026-01-01T00:00:00Z");
        // The fake server removes what has no finalizers in its metadata; real Namespaces have theirs in their spec.
        namespace.set(&["metadata", "finalizers"], json!(["test/keep"]));
    });
    world.until("the account went", || world.api.object(account).is_none()).await;
    let says = |kind: &str| {
        let namespace = world.api.object("/api/v1/namespaces/team").unwrap();
        let conditions = namespace.list(&["status", "conditions"]).to_vec();
        conditions.into_iter().find(|condition| condition.text(&["type"]) == kind)
    };
    world.until("it says what remains", || says("NamespaceContentRemaining").is_some()).await;
    let message = says("NamespaceContentRemaining").unwrap().text(&["message"]).to_owned();
    assert_eq!(message, "Some resources are remaining: configmaps. has 1 resource instances");
    let finalizers = || world.api.object("/api/v1/namespaces/team").unwrap().list(&["spec", "finalizers"]).len();
    assert_eq!(finalizers(), 1, "not finalized while something is left");
    world.api.remove(held);
    world.until("it is finalized", || finalizers() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn five_thousand_pods_cost_few_writes_beside_their_own() {
    let world = World::running().await;
    for number in 0..100 {
        world.deploy(&format!("d{number}"), 50);
    }
    let all = || (0..100).all(|number| world.is_rolled_out(&format!("d{number}")));
    world.until("all are rolled out", all).await;
    assert_eq!(world.api.count("POST", "/pods"), 5000);
    assert_eq!(world.api.count("POST", "/replicasets"), 100);
    let (sets, deployments) = (world.api.count("PATCH", "/replicasets/"), world.api.count("PATCH", "/deployments/"));
    assert!(sets < 1000 && deployments < 1000, "{sets} writes to ReplicaSets, {deployments} to Deployments");
}
