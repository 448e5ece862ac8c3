//! A copy over all shards: whole, in order, and never taken for younger than it is.

use std::time::Duration;

use api::Version;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::cluster::*;
use crate::merge::Informer;
use crate::service::*;

#[tokio::test(start_paused = true)]
async fn an_informer_follows_all_shards() {
    let cluster = Cluster::start(3).await;
    let namespace = |name: String| json!({"metadata": {"name": name}});
    for at in 0..10 {
        cluster.create("namespaces", &namespace(format!("before-{at}"))).await.unwrap();
    }
    let (stop, clock) = (CancellationToken::new(), cluster.ambient.clock.clone());
    let id = cluster.resource("namespaces").id;
    let informer = Informer::new(cluster.topology.clone(), "default".into(), id, clock);
    tokio::spawn(informer.clone().run(stop.clone()));
    assert_eq!(informer.age(), None, "nothing is known yet");
    for at in 0..10 {
        cluster.create("namespaces", &namespace(format!("while-{at}"))).await.unwrap();
        cluster.delete("namespaces", ("", &format!("before-{at}")), DeleteOptions::default()).await.unwrap();
    }
    // Slots of some of them move while it follows, and what they hold changes.
    for at in 0..10 {
        let slot = cluster.resource("namespaces").slot("default", "", &format!("while-{at}"));
        let owner = cluster.shards.iter().position(|shard| shard.owned().contains(slot)).unwrap();
        cluster.move_slots(&[slot].into_iter().collect(), owner, (owner + 1) % 3).await.unwrap();
        let label = json!({"metadata": {"labels": {"moved": "yes"}}});
        cluster.merge("namespaces", ("", &format!("while-{at}")), &label).await.unwrap();
    }
    let expected: Vec<(String, Version)> = {
        let mut objects = Vec::new();
        for shard in &cluster.shards {
            let mut request = cluster.list_request("namespaces", "");
            request.slots = ListSlots::Exactly(shard.owned());
            request.at = Some(shard.clock().await.unwrap());
            objects.extend(shard.list(request).await.unwrap().objects);
        }
        let mut named: Vec<_> = objects.iter().map(|object| (object.name.to_string(), object.version)).collect();
        named.sort();
        named
    };
    let named = || informer.all().iter().map(|object| (object.name.to_string(), object.version)).collect::<Vec<_>>();
    while named() != expected {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert!(expected.iter().any(|(name, _)| name == "while-9") && informer.get("", "while-9").is_some());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(informer.age().unwrap() < Duration::from_secs(5), "quiet shards still say that they are there");
    stop.cancel();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(informer.age().unwrap() > Duration::from_secs(50), "nobody has said anything since");
}
