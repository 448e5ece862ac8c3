//! Several members share the work, and take over from each other.

use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{World, members};

#[tokio::test(start_paused = true)]
async fn work_goes_on_when_a_member_dies() {
    let world = World::new();
    for node in ["n1", "n2"] {
        world.add_node(node);
    }
    let all = ["a", "b", "c"];
    let (seats, ends): (Vec<_>, Vec<_>) = all
        .iter()
        .map(|own| {
            let (seat, receiver) = watch::channel(members(own, &all));
            let end = CancellationToken::new();
            world.control(receiver, &end);
            (seat, end)
        })
        .unzip();
    let account = |number: usize| format!("/api/v1/namespaces/ns-{number}/serviceaccounts/default");
    let add = |number: usize| {
        world.put(
            &format!("/api/v1/namespaces/ns-{number}"),
            json!({
                "kind": "Namespace", "spec": { "finalizers": ["kubernetes"] }, "status": { "phase": "Active" },
            }),
        );
    };
    (0..60).for_each(add);
    world
        .until("every namespace has its account", || (0..60).all(|number| world.api.object(&account(number)).is_some()))
        .await;
    assert_eq!(world.api.count("POST", "/serviceaccounts"), 61, "each by its owner alone, that of default included");
    let range = |node: &str| {
        let node = world.api.object(&format!("/api/v1/nodes/{node}")).unwrap();
        node["spec"]["podCIDR"].as_str().map(str::to_owned)
    };
    world.until("both Nodes have a range", || range("n1").is_some() && range("n2").is_some()).await;

    // b dies. What comes before the others know stays undone until they do.
    ends[1].cancel();
    (60..120).for_each(add);
    world.add_node("n3");
    world.pass(5.0).await;
    for (at, own) in all.iter().enumerate().filter(|(at, _)| *at != 1) {
        seats[at].send(members(own, &["a", "c"])).unwrap();
    }
    world
        .until("every namespace has its account", || {
            (60..120).all(|number| world.api.object(&account(number)).is_some())
        })
        .await;
    world.until("the third Node has a range", || range("n3").is_some()).await;
    let ranges: std::collections::BTreeSet<_> = ["n1", "n2", "n3"].iter().map(|node| range(node)).collect();
    assert_eq!(ranges.len(), 3);

    // Then all but c: whoever held an office before, c holds it now.
    ends[0].cancel();
    seats[2].send(members("c", &["c"])).unwrap();
    world.add_node("n4");
    world.until("the fourth Node has a range", || range("n4").is_some()).await;
    ends[2].cancel();
}
