//! Pods: admission, binding, eviction, graceful deletion.

use api::document::Document;
use serde_json::json;

use super::cluster::*;
use crate::service::*;

fn pod(name: &str) -> api::Value {
    json!({
        "metadata": {"name": name, "namespace": "default", "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "nginx", "image": "nginx:1.21"}]},
    })
}

async fn post(cluster: &Cluster, name: &str, subresource: &str, body: &api::Value) -> Result<Answer, api::Status> {
    let verb =
        Verb::Create { body: bytes(body), format: Format::Json, options: WriteOptions::default(), uid: "u".into() };
    let mut request = cluster.request("pods", "default", name, verb);
    request.subresource = subresource.into();
    cluster.send(request).await
}

async fn bind(cluster: &Cluster, name: &str, node: &str) -> Result<Answer, api::Status> {
    let body =
        json!({"metadata": {"name": name, "annotations": {"by": "test"}}, "target": {"kind": "Node", "name": node}});
    post(cluster, name, "binding", &body).await
}

#[tokio::test(start_paused = true)]
async fn a_new_pod_gets_what_admission_gives() {
    let cluster = Cluster::start(2).await;
    let made = cluster.create("pods", &pod("a")).await.unwrap().document();
    assert_eq!(made["status"]["phase"], "Pending");
    assert_eq!(made["spec"]["serviceAccountName"], "default");
    assert_eq!(made["spec"]["priority"], 0);
    assert_eq!(made["spec"]["preemptionPolicy"], "PreemptLowerPriority");
    let tolerations = made.list(&["spec", "tolerations"]);
    assert_eq!(tolerations.len(), 2);
    assert!(tolerations.iter().all(|toleration| toleration["tolerationSeconds"] == 300));

    let mut critical = pod("b");
    critical["spec"]["priorityClassName"] = json!("system-node-critical");
    let critical = cluster.create("pods", &critical).await.unwrap().document();
    assert_eq!(critical["spec"]["priority"], 2_000_001_000);
    let mut unknown = pod("c");
    unknown["spec"]["priorityClassName"] = json!("nope");
    let status = cluster.create("pods", &unknown).await.unwrap_err();
    assert_eq!(status.message(), "pods \"c\" is forbidden: no PriorityClass with name nope was found");
    let mut stranger = pod("d");
    stranger["spec"]["serviceAccountName"] = json!("nobody");
    let status = cluster.create("pods", &stranger).await.unwrap_err();
    assert_eq!(
        status.message(),
        "pods \"d\" is forbidden: error looking up service account default/nobody: serviceaccount \"nobody\" not found"
    );
    let node = cluster.create("nodes", &json!({"metadata": {"name": "n"}, "status": {"phase": "Running"}})).await;
    let node = node.unwrap().document();
    assert_eq!(node["spec"]["taints"], json!([{"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"}]));
    assert_eq!(node["status"]["phase"], "Running", "a kubelet says its status when it registers");
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_once() {
    let cluster = Cluster::start(1).await;
    cluster.create("pods", &pod("a")).await.unwrap();
    let answer = bind(&cluster, "a", "n1").await.unwrap();
    assert_eq!(answer.code, 201);
    let bound = cluster.get("pods", "default", "a").await.unwrap().document();
    assert_eq!((&bound["spec"]["nodeName"], &bound["metadata"]["annotations"]["by"]), (&json!("n1"), &json!("test")));
    let scheduled = &bound["status"]["conditions"][0];
    assert_eq!((&scheduled["type"], &scheduled["status"]), (&json!("PodScheduled"), &json!("True")));
    let twice = bind(&cluster, "a", "n2").await.unwrap_err();
    assert_eq!(
        (twice.code(), twice.message()),
        (409, "Operation cannot be fulfilled on pods/binding \"a\": pod a is already assigned to node \"n1\"")
    );
    assert_eq!(bind(&cluster, "missing", "n1").await.unwrap_err().code(), 404);
    let selector = api::selector::FieldSelector::parse("spec.nodeName=n1", &cluster.resource("pods")).unwrap();
    let mut request = cluster.list_request("pods", "");
    request.selector = std::sync::Arc::new(api::selector::Selector { fields: selector, ..Default::default() });
    let page = cluster.shard_of("pods", "default").list(request).await.unwrap();
    assert_eq!(page.objects.len(), 1, "the index knows where it runs");
}

#[tokio::test(start_paused = true)]
async fn a_running_pod_is_given_its_grace() {
    let cluster = Cluster::start(1).await;
    cluster.create("pods", &pod("a")).await.unwrap();
    bind(&cluster, "a", "n1").await.unwrap();
    let delete = |seconds| DeleteOptions { grace_period_seconds: seconds, ..DeleteOptions::default() };
    let at = ("default", "a");
    let first = object(cluster.delete("pods", at, delete(None)).await).unwrap();
    assert_eq!(first.document()["metadata"]["deletionGracePeriodSeconds"], 30);
    let longer = object(cluster.delete("pods", at, delete(Some(60))).await).unwrap();
    assert_eq!(longer.version, first.version, "grace only gets shorter");
    let shorter = object(cluster.delete("pods", at, delete(Some(5))).await).unwrap().document();
    assert_eq!(shorter["metadata"]["deletionGracePeriodSeconds"], 5);
    assert!(bind(&cluster, "a", "n2").await.unwrap_err().message().contains("is being deleted"));
    let last = object(cluster.delete("pods", at, delete(Some(0))).await).unwrap().document();
    assert_eq!(last["metadata"]["deletionGracePeriodSeconds"], 0, "the answer says what the deletion came to");
    assert_eq!(cluster.get("pods", "default", "a").await.unwrap_err().code(), 404);

    cluster.create("pods", &pod("b")).await.unwrap();
    let last = object(cluster.delete("pods", ("default", "b"), delete(None)).await).unwrap().document();
    assert!(last["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(cluster.get("pods", "default", "b").await.unwrap_err().code(), 404, "nothing runs: nothing to wait for");
}

#[tokio::test(start_paused = true)]
async fn evictions_respect_the_budget() {
    let cluster = Cluster::start(1).await;
    let budget = json!({
        "metadata": {"name": "web", "namespace": "default"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    });
    let mut budget = cluster.create("poddisruptionbudgets.policy", &budget).await.unwrap().document();
    budget["status"] = json!({
        "observedGeneration": 1, "disruptionsAllowed": 1, "currentHealthy": 2, "desiredHealthy": 1, "expectedPods": 2,
    });
    cluster.update_part("poddisruptionbudgets.policy", "status", &budget).await.unwrap();
    for name in ["a", "b"] {
        cluster.create("pods", &pod(name)).await.unwrap();
        bind(&cluster, name, "n1").await.unwrap();
        let mut running = cluster.get("pods", "default", name).await.unwrap().document();
        running["status"]["phase"] = json!("Running");
        let conditions = running["status"]["conditions"].as_array_mut().unwrap();
        conditions.push(json!({"type": "Ready", "status": "True", "lastTransitionTime": "2026-01-01T00:00:00Z"}));
        cluster.update_part("pods", "status", &running).await.unwrap();
    }
    let evict = |name: &'static str| {
        let body = json!({"metadata": {"name": name, "namespace": "default"}});
        let cluster = &cluster;
        async move { post(cluster, name, "eviction", &body).await }
    };
    assert_eq!(evict("a").await.unwrap().code, 201);
    let going = cluster.get("pods", "default", "a").await.unwrap().document();
    assert!(going.is_deleting());
    let conditions = going.list(&["status", "conditions"]);
    assert!(conditions.iter().any(|condition| condition["reason"] == "EvictionByEvictionAPI"));
    let refused = evict("b").await.unwrap_err();
    assert_eq!((refused.code(), refused.causes()[0].reason), (429, "DisruptionBudget"));
    assert_eq!(refused.message(), "Cannot evict pod as it would violate the pod's disruption budget.");
    let budget = cluster.get("poddisruptionbudgets.policy", "default", "web").await.unwrap().document();
    assert_eq!(budget["status"]["disruptionsAllowed"], 0);
    assert!(budget["status"]["disruptedPods"]["a"].is_string());
    assert!(!cluster.get("pods", "default", "b").await.unwrap().document().is_deleting());
}
