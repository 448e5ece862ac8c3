//! Whole schedulers over a fake API: informers, bindings, annotations, conditions and events as they go over the wire.

use std::time::Duration;

use api::document::Document;
use client::fake::{FakeApi, manual_ambient};
use client::{Client, Members};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

use crate::{Feeds, Scheduler, SchedulerConfig};

const PODS: &str = "/api/v1/namespaces/default/pods";

struct Site {
    api: FakeApi,
    client: Client,
    feeds: Feeds,
    shutdown: CancellationToken,
    running: Vec<(String, Scheduler, watch::Sender<Members>)>,
}

impl Site {
    fn new(schedulers: &[&str]) -> Self {
        let api = FakeApi::new();
        let ambient = manual_ambient();
        let client = api.client(ambient.clone());
        let shutdown = CancellationToken::new();
        let feeds = Feeds::start(&client, &shutdown);
        let mut site = Self { api, client, feeds, shutdown, running: Vec::new() };
        for name in schedulers {
            let (sender, members) = watch::channel(Members::default());
            let config = SchedulerConfig::default();
            let (client, feeds) = (site.client.clone(), site.feeds.clone());
            let scheduler = Scheduler::start(client, config, feeds, members, ambient.clone(), &site.shutdown);
            site.running.push(((*name).to_owned(), scheduler, sender));
        }
        site.share();
        site
    }

    fn share(&self) {
        let identities: Vec<String> = self.running.iter().map(|(name, _, _)| name.clone()).collect();
        for (name, _, sender) in &self.running {
            sender.send_replace(Members { identities: identities.as_slice().into(), own: name.clone() });
        }
    }

    fn node(&self, name: &str, cpu: &str) {
        self.api.put(
            &format!("/api/v1/nodes/{name}"),
            json!({
                "apiVersion": "v1", "kind": "Node", "metadata": {"name": name},
                "status": {"allocatable": {"cpu": cpu, "memory": "8Gi", "pods": "110"}},
            }),
        );
    }

    fn pod(&self, name: &str, cpu: &str) {
        self.api.put(
            &format!("{PODS}/{name}"),
            json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "namespace": "default"},
                "spec": {"schedulerName": "default-scheduler",
                    "containers": [{"name": "c", "resources": {"requests": {"cpu": cpu}}}]},
            }),
        );
    }

    fn get(&self, name: &str) -> Value {
        self.api.object(&format!("{PODS}/{name}")).unwrap()
    }

    fn bound(&self) -> usize {
        self.api.collection(PODS).iter().filter(|pod| !pod.text(&["spec", "nodeName"]).is_empty()).count()
    }

    async fn until(&self, what: &str, holds: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !holds(self) {
            assert!(start.elapsed() < Duration::from_secs(400), "{what} did not happen");
            sleep(Duration::from_millis(20)).await;
        }
    }

    fn check_room(&self, cpu: usize) {
        let pods = self.api.collection(PODS);
        for node in self.api.collection("/api/v1/nodes") {
            let here = pods.iter().filter(|pod| pod.text(&["spec", "nodeName"]) == node.name()).count();
            assert!(here <= cpu, "{here} pods of one cpu on {} with {cpu}", node.name());
        }
    }

    /// Once all changes have arrived, nobody counts anything that is not there.
    async fn finish(self) {
        for (name, scheduler, _) in &self.running {
            let start = Instant::now();
            while let Err(difference) = scheduler.consistency_check().await {
                assert!(start.elapsed() < Duration::from_secs(10), "{name}: {difference}");
                sleep(Duration::from_millis(20)).await;
            }
        }
        for (_, scheduler, _) in self.running {
            scheduler.stop().await;
        }
        self.shutdown.cancel();
    }
}

fn events(api: &FakeApi, reason: &str) -> Vec<String> {
    let all = api.collection("/api/v1/namespaces/default/events");
    let wanted = all.iter().filter(|event| event.text(&["reason"]) == reason);
    wanted.map(|event| event.text(&["message"]).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn two_schedulers_fill_the_cluster_and_say_what_is_left() {
    let site = Site::new(&["a", "b"]);
    for number in 0..10 {
        site.node(&format!("n{number}"), "4");
    }
    for number in 0..42 {
        site.pod(&format!("p{number}"), "1");
    }
    site.until("filling the cluster", |site| site.bound() == 40).await;
    site.check_room(4);
    let is_left = |pod: &Value| pod.text(&["spec", "nodeName"]).is_empty();
    let left: Vec<String> =
        site.api.collection(PODS).iter().filter(|pod| is_left(pod)).map(|pod| pod.name().into()).collect();
    let words = "0/10 nodes are available: 10 Insufficient cpu. preemption: 0/10 nodes are available: 10 No preemption \
                 victims found for incoming pod.";
    for name in &left {
        let says = |site: &Site| {
            let pod = site.get(name);
            let condition = pod.list(&["status", "conditions"]).first().cloned().unwrap_or_default();
            condition.text(&["type"]) == "PodScheduled"
                && condition.text(&["status"]) == "False"
                && condition.text(&["reason"]) == "Unschedulable"
                && condition.text(&["message"]) == words
        };
        site.until("saying why", says).await;
    }
    site.until("events", |site| events(&site.api, "FailedScheduling").iter().any(|message| message == words)).await;
    site.until("events", |site| events(&site.api, "Scheduled").len() == 40).await;
    let scheduled = events(&site.api, "Scheduled");
    assert!(scheduled.iter().all(|message| message.starts_with("Successfully assigned default/p")), "{scheduled:?}");

    // Room for one more, on a node of either of them.
    let full = site.api.collection(PODS).into_iter().find(|pod| !is_left(pod)).unwrap();
    site.api.remove(&format!("{PODS}/{}", full.name()));
    site.until("using the room", |site| site.bound() == 40).await;
    site.check_room(4);
    let lucky = left.iter().map(|name| site.get(name)).find(|pod| !is_left(pod)).unwrap();
    let is_clean = |site: &Site| {
        site.get(lucky.name()).at(&["metadata", "annotations"]).as_object().is_none_or(|map| map.is_empty())
    };
    site.until("taking refusals off", is_clean).await;
    site.finish().await;
}

#[tokio::test(start_paused = true)]
async fn the_survivor_takes_over_all_nodes() {
    let mut site = Site::new(&["a", "b"]);
    for number in 0..6 {
        site.node(&format!("n{number}"), "4");
    }
    for number in 0..12 {
        site.pod(&format!("first{number}"), "1");
    }
    site.until("the first pods", |site| site.bound() == 12).await;
    let (_, dead, _) = site.running.remove(0);
    dead.stop().await;
    for number in 0..13 {
        site.pod(&format!("second{number}"), "1");
    }
    sleep(Duration::from_secs(5)).await;
    site.share();
    site.until("the second pods", |site| site.bound() == 24).await;
    site.check_room(4);
    let left = site.api.collection(PODS).into_iter().find(|pod| pod.text(&["spec", "nodeName"]).is_empty()).unwrap();
    let says = |site: &Site| {
        let pod = site.get(left.name());
        pod.list(&["status", "conditions"])
            .iter()
            .any(|one| one.text(&["message"]).starts_with("0/6 nodes are available: 6 Insufficient cpu."))
    };
    site.until("saying why", says).await;
    site.finish().await;
}

#[tokio::test(start_paused = true)]
async fn failures_on_the_way_lose_no_pod() {
    let site = Site::new(&["a"]);
    site.node("n", "20");
    site.api.fail_next(5, "POST", "/binding", 500, 0);
    site.api.fail_next(2, "POST", "/binding", 409, 0);
    for number in 0..10 {
        site.pod(&format!("p{number}"), "1");
    }
    site.until("binding in the end", |site| site.bound() == 10).await;
    site.api.cut_watches();
    site.api.disconnect(true);
    site.pod("late", "1");
    sleep(Duration::from_secs(3)).await;
    site.api.disconnect(false);
    site.until("binding after the break", |site| site.bound() == 11).await;
    site.finish().await;
}

#[tokio::test(start_paused = true)]
async fn who_has_lost_its_lease_does_nothing() {
    let site = Site::new(&["a"]);
    site.node("n", "20");
    site.pod("before", "1");
    site.until("binding", |site| site.bound() == 1).await;
    let (_, _, members) = &site.running[0];
    members.send_replace(Members { identities: ["a".to_owned()].as_slice().into(), own: String::new() });
    sleep(Duration::from_secs(1)).await;
    site.pod("during", "1");
    sleep(Duration::from_secs(60)).await;
    assert_eq!(site.bound(), 1);
    site.share();
    site.until("binding again", |site| site.bound() == 2).await;
    site.finish().await;
}
