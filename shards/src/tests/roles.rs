//! A copy that follows roles over several shards.

use std::time::Duration;

use api::rbac::{Action, Who};
use serde_json::json;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use super::cluster::*;
use super::faulty::FaultyStore;
use crate::ShardOptions;
use crate::authorization::{Grants, Mode};
use crate::service::DeleteOptions;

const ROLES: &str = "roles.rbac.authorization.k8s.io";
const BINDINGS: &str = "rolebindings.rbac.authorization.k8s.io";

#[tokio::test(start_paused = true)]
async fn a_binding_counts_as_soon_as_it_is_heard_of_and_no_longer_than_it_is_there() {
    // Whoever calls in these tests may give every role.
    let options = ShardOptions { authorization: vec![Mode::AlwaysAllow], ..ShardOptions::default() };
    let mut cluster = Cluster::bare(3, FaultyStore::default(), options).await;
    cluster.bootstrap().await;
    let (name, clock) = (SmolStr::new_static("default"), cluster.ambient.clock.clone());
    let grants = Grants::new(&cluster.topology, &cluster.registry, &name, &clock).unwrap();
    let stop = CancellationToken::new();
    let following = tokio::spawn(grants.clone().run(stop.clone()));
    cluster.create("namespaces", &json!({"metadata": {"name": "a"}})).await.unwrap();
    let rules = json!([{"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}]);
    cluster.create(ROLES, &json!({"metadata": {"name": "r", "namespace": "a"}, "rules": rules})).await.unwrap();
    let binding = json!({
        "metadata": {"name": "b", "namespace": "a"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "u"}],
    });
    let may = |namespace: &'static str| {
        let action = Action { verb: "get", resource: "pods", namespace, name: "x", ..Action::default() };
        grants.ask(|index| index.allows(Who { name: "u", groups: &[] }, &action))
    };
    grants.ready(true).await.unwrap();
    assert!(!may("a"));
    cluster.create(BINDINGS, &binding).await.unwrap();
    while !may("a") {
        tokio::time::sleep(Duration::from_millis(1)).await;
        grants.ready(true).await.unwrap();
    }
    assert!(!may("b") && !may(""));
    cluster.delete(BINDINGS, ("a", "b"), DeleteOptions::default()).await.unwrap();
    while may("a") {
        tokio::time::sleep(Duration::from_millis(1)).await;
        grants.ready(true).await.unwrap();
    }
    stop.cancel();
    following.await.unwrap();
}
