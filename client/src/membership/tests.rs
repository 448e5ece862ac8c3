use super::*;
use crate::fake::{FakeApi, seeded_ambient};

const TTL: Duration = Duration::from_secs(8);
const DEADLINE: Duration = Duration::from_secs(4);

struct Worker {
    server: FakeApi,
    members: watch::Receiver<Members>,
    shutdown: CancellationToken,
}

impl Worker {
    /// Each worker has a connection of its own, so that a test can cut off one of them.
    async fn join(server: &FakeApi, identity: &str) -> Self {
        Self::start(server, identity, 1).await
    }

    async fn start(server: &FakeApi, identity: &str, seed: u64) -> Self {
        let server = server.clone();
        let shutdown = CancellationToken::new();
        let options =
            MembershipOptions { group: "test".into(), identity: identity.into(), ttl: TTL, deadline: DEADLINE };
        let members = Membership::join(server.client(seeded_ambient(seed)), options, shutdown.clone()).await.unwrap();
        Self { server, members, shutdown }
    }

    fn now(&self) -> (String, String) {
        let members = self.members.borrow();
        (members.identities.join(","), members.own.clone())
    }
}

fn pair(members: &str, own: &str) -> (String, String) {
    (members.to_owned(), own.to_owned())
}

async fn pass(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn workers_find_one_another_and_hand_over_at_once_when_they_stop() {
    let server = FakeApi::new();
    let a = Worker::join(&server, "a").await;
    pass(0.1).await;
    assert_eq!(a.now(), pair("a", "a"), "alone, nobody has to be waited for");
    let b = Worker::join(&server, "b").await;
    pass(0.1).await;
    assert_eq!((a.now(), b.now()), (pair("a,b", "a"), pair("a,b", "b")));
    pass(100.0).await;
    assert_eq!((a.now(), b.now()), (pair("a,b", "a"), pair("a,b", "b")));
    b.shutdown.cancel();
    pass(0.1).await;
    assert_eq!((a.now(), b.now().1), (pair("a", "a"), String::new()));
    assert!(server.object("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/test-b").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_dead_worker_is_replaced_after_ttl_and_deadline() {
    let server = FakeApi::new();
    let a = Worker::join(&server, "a").await;
    // A worker that never comes back: its Lease is only ever written once.
    server.put(
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/test-dead",
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": "test-dead", "namespace": "kube-system", "labels": {GROUP: "test"},
                "annotations": {MEMBERS: "a,dead"}},
            "spec": {"holderIdentity": "dead_1"}}),
    );
    pass(0.1).await;
    assert_eq!(a.now(), pair("a,dead", "a"));
    pass((TTL + DEADLINE).as_secs_f64() - 0.3).await;
    assert_eq!(a.now(), pair("a,dead", "a"), "what it began may still take effect");
    pass(0.6).await;
    assert_eq!(a.now(), pair("a", "a"));
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_waits_until_everyone_counts_it() {
    let server = FakeApi::new();
    server.put(
        "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/test-deaf",
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": "test-deaf", "namespace": "kube-system", "labels": {GROUP: "test"},
                "annotations": {MEMBERS: "deaf"}},
            "spec": {"holderIdentity": "deaf_1"}}),
    );
    let a = Worker::join(&server, "a").await;
    pass((TTL + DEADLINE).as_secs_f64() - 0.3).await;
    assert_eq!(a.now(), pair("a,deaf", ""));
    pass(0.6).await;
    assert_eq!(a.now(), pair("a", "a"));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_renew_stops_before_others_take_over() {
    let server = FakeApi::new();
    let a = Worker::join(&server, "a").await;
    pass(0.1).await;
    a.server.fail_next(usize::MAX, "PUT", "test-a", 500, 0);
    pass(TTL.as_secs_f64()).await;
    assert_eq!(a.now(), pair("a", ""));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_lease_stops_its_worker_until_it_is_made_again() {
    let server = FakeApi::new();
    let a = Worker::join(&server, "a").await;
    let b = Worker::join(&server, "b").await;
    pass(1.0).await;
    server.fail_next(3, "POST", "leases", 500, 0);
    server.remove("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/test-a");
    pass(0.1).await;
    assert_eq!(b.now(), pair("b", "b"), "the other one has everything at once");
    let mut members = a.members.clone();
    let stopped = members.wait_for(|members| members.own.is_empty());
    assert!(timeout(TTL, stopped).await.is_ok());
    pass(TTL.as_secs_f64()).await;
    assert_eq!((a.now(), b.now()), (pair("a,b", "a"), pair("a,b", "b")));
}

#[tokio::test(start_paused = true)]
async fn a_restarted_worker_goes_on_at_once() {
    let server = FakeApi::new();
    let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/test-a";
    server.put(
        lease,
        json!({"kind": "Lease", "apiVersion": "coordination.k8s.io/v1",
            "metadata": {"name": "test-a", "namespace": "kube-system", "labels": {GROUP: "test"}},
            "spec": {"holderIdentity": "a_killed", "leaseTransitions": 2}}),
    );
    let a = Worker::join(&server, "a").await;
    pass(0.1).await;
    assert_eq!(a.now(), pair("a", "a"));
    assert_eq!(server.object(lease).unwrap()["spec"]["leaseTransitions"], 3);
    // A second process of the same identity: one of them acts, whoever that is.
    let twin = Worker::start(&server, "a", 2).await;
    pass(TTL.as_secs_f64() * 3.0).await;
    assert_eq!((a.now().1.as_str(), twin.now().1.as_str()), ("", "a"));
}
