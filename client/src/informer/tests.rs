use std::sync::Arc;

use serde::Deserialize;
use serde_json::json;

use super::*;
use crate::fake::{FakeApi, manual_ambient};
use crate::known;

#[derive(Debug, Deserialize)]
struct PodView {
    metadata: Meta,
}

impl Kept for PodView {
    fn meta(&self) -> &Meta {
        &self.metadata
    }
}

const PODS: &str = "/api/v1/namespaces/default/pods";

fn put(server: &FakeApi, name: &str, value: &str) {
    let path = format!("{PODS}/{name}");
    let mut pod = server.object(&path).unwrap_or_else(
        || json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": name, "namespace": "default"}}),
    );
    pod["metadata"]["labels"] = json!({"v": value});
    server.put(&path, pod);
}

struct Followed {
    server: FakeApi,
    informer: Arc<Informer<PodView>>,
    told: Arc<Mutex<Vec<String>>>,
    shutdown: CancellationToken,
}

async fn follow(server: FakeApi) -> Followed {
    let shutdown = CancellationToken::new();
    let client = server.client(manual_ambient());
    let informer = Informer::<PodView>::start(client, known::PODS, InformerOptions::default(), shutdown.clone());
    informer.synced().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let log = told.clone();
    informer.on_change(move |change| {
        let name = &change.object().metadata.name;
        let value = |pod: &PodView| pod.metadata.labels.get("v").map(ToString::to_string).unwrap_or_default();
        log.lock().push(match change {
            Change::Added(new) => format!("+{name}={}", value(new)),
            Change::Updated(old, new) => format!("{name}:{}>{}", value(old), value(new)),
            Change::Deleted(old) => format!("-{name}={}", value(old)),
        });
    });
    Followed { server, informer, told, shutdown }
}

impl Followed {
    async fn told(&self) -> String {
        sleep(Duration::from_secs(60)).await;
        std::mem::take(&mut *self.told.lock()).join(" ")
    }
}

#[tokio::test(start_paused = true)]
async fn it_follows_and_resumes_without_gap_or_repeat() {
    let server = FakeApi::new();
    put(&server, "a", "1");
    let followed = follow(server.clone()).await;
    assert_eq!(followed.told().await, "+a=1");
    put(&server, "a", "2");
    put(&server, "b", "1");
    assert_eq!(followed.told().await, "a:1>2 +b=1");
    server.cut_watches();
    put(&server, "a", "3");
    server.remove(&format!("{PODS}/b"));
    put(&server, "c", "1");
    assert_eq!(followed.told().await, "a:2>3 -b=1 +c=1");
    server.disconnect(true);
    put(&server, "c", "2");
    assert_eq!(followed.told().await, "");
    server.disconnect(false);
    put(&server, "c", "3");
    assert_eq!(followed.told().await, "c:1>2 c:2>3");
    assert_eq!(server.count("GET", "/api/v1/pods?limit"), 1, "one list was enough");
    assert_eq!(followed.informer.len(), 2);
    let names: Vec<_> = followed.informer.namespace("default").iter().map(|pod| pod.metadata.name.clone()).collect();
    assert_eq!(names, ["a", "c"]);
    assert!(followed.informer.namespace("defaul").is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_forgotten_position_costs_a_list_and_tells_the_differences() {
    let server = FakeApi::new();
    for name in ["a", "b", "same"] {
        put(&server, name, "1");
    }
    let followed = follow(server.clone()).await;
    assert_eq!(followed.told().await, "+a=1 +b=1 +same=1");
    server.disconnect(true);
    server.remove(&format!("{PODS}/a"));
    put(&server, "b", "2");
    put(&server, "c", "1");
    server.forget_history();
    server.disconnect(false);
    assert_eq!(followed.told().await, "-a=1 b:1>2 +c=1");
    assert_eq!(server.count("GET", "/api/v1/pods?limit"), 2);
    put(&server, "c", "2");
    assert_eq!(followed.told().await, "c:1>2");
}

#[tokio::test(start_paused = true)]
async fn an_object_made_anew_is_told_as_such() {
    let server = FakeApi::new();
    put(&server, "a", "1");
    let followed = follow(server.clone()).await;
    followed.told().await;
    server.disconnect(true);
    server.remove(&format!("{PODS}/a"));
    put(&server, "a", "2");
    server.forget_history();
    server.disconnect(false);
    assert_eq!(followed.told().await, "-a=1 +a=2");
}

#[tokio::test(start_paused = true)]
async fn a_list_comes_in_pages_and_survives_an_expired_one() {
    let server = FakeApi::new();
    for at in 0..PAGE + 10 {
        put(&server, &format!("pod-{at:06}"), "1");
    }
    server.fail_next(1, "GET", "continue=", 410, 0);
    let followed = follow(server.clone()).await;
    assert_eq!(followed.informer.len(), PAGE + 10);
    assert_eq!(server.count("GET", "continue="), 1);
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_gets_everything_even_if_it_is_slow() {
    let server = FakeApi::new();
    for at in 0..20 {
        put(&server, &format!("p{at:02}"), "1");
    }
    let followed = follow(server.clone()).await;
    let mut changes = followed.informer.subscribe(2);
    let dropped = followed.informer.subscribe(2);
    drop(dropped);
    for round in 2..5 {
        put(&server, "p00", &round.to_string());
    }
    let mut got = Vec::new();
    while let Ok(Some(change)) = tokio::time::timeout(Duration::from_secs(5), changes.recv()).await {
        got.push(change);
        sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(got.len(), 23);
    assert!(got[..20].iter().all(|change| matches!(change, Change::Added(_))));
    assert!(got[20..].iter().all(|change| matches!(change, Change::Updated(..))));
}

#[tokio::test(start_paused = true)]
async fn a_server_that_fails_is_not_hammered() {
    let server = FakeApi::new();
    server.disconnect(true);
    let shutdown = CancellationToken::new();
    let client = server.client(manual_ambient());
    let informer = Informer::<PodView>::start(client, known::PODS, InformerOptions::default(), shutdown.clone());
    sleep(Duration::from_secs(300)).await;
    let asked = server.requests().len();
    assert!((20..200).contains(&asked), "{asked} requests in five minutes");
    assert!(!informer.is_synced());
    server.disconnect(false);
    tokio::time::timeout(Duration::from_secs(31), informer.synced()).await.unwrap();
    shutdown.cancel();
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_its_shutdown() {
    let followed = follow(FakeApi::new()).await;
    followed.shutdown.cancel();
    sleep(Duration::from_millis(1)).await;
    put(&followed.server, "a", "1");
    assert_eq!(followed.told().await, "");
}
