//! Load on real processes while they are killed: what its clients saw is a history that a correct server could have shown.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::Server;
use harness::load::{Load, alone, fault, plan, run, shard_faults};
use harness::service::Service;
use robustness::load::{Fault, Plan, Resource};

#[test]
fn kill_9_under_load_leaves_a_correct_history() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let arguments = ["--nodes", "0", "--shards", "3"];
    let mut server = Server::start(&data, &arguments);
    let kubeconfig = server.kubeconfig();
    let (sender, restarted) = std::sync::mpsc::channel();
    let fault = Fault::new(Duration::from_secs(2), "kill -9 and restart", async move {
        // Waiting for processes blocks.
        let again = tokio::task::spawn_blocking(move || {
            let address = server.url.strip_prefix("https://").unwrap().to_owned();
            server.kill();
            drop(server);
            Server::start_at(&address, "up", &data, &arguments)
        });
        sender.send(again.await.unwrap()).unwrap();
    });
    let ran = run(vec![Load { plan: plan(), kubeconfigs: vec![kubeconfig], faults: vec![fault] }]);
    drop(restarted.recv().unwrap());

    let report = &ran[0].report;
    // It was a test: there was load before and behind the crash, and the crash was felt.
    assert!(report.acknowledged > 100 && report.events > 500 && report.lists > 20, "{report}");
    assert!(report.unanswered > 0 && report.resumptions > 20, "{report}");
    assert_eq!((report.acknowledged_lost, report.events_lost, report.events_repeated), (0, 0, 0));
    assert!(report.faults[0].outage < Duration::from_secs(5), "{report}");
}

#[test]
fn a_pause_under_load_is_only_a_pause() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let server = Arc::new(Server::start(&directory.path().join("data"), &["--nodes", "0", "--shards", "3"]));
    let kubeconfig = server.kubeconfig();
    let paused = server.clone();
    let fault = Fault::new(Duration::from_secs(1), "SIGSTOP and SIGCONT", async move {
        paused.signal("-STOP");
        tokio::time::sleep(Duration::from_millis(1500)).await;
        paused.signal("-CONT");
    });
    let plan = Plan { duration: Duration::from_secs(4), ..plan() };
    let ran = run(vec![Load { plan, kubeconfigs: vec![kubeconfig], faults: vec![fault] }]);
    let report = &ran[0].report;
    // Connections lasted and nothing was forgotten.
    assert_eq!((report.unanswered, report.relists), (0, 0), "{report}");
    assert!(report.acknowledged > 50 && report.faults[0].outage > Duration::from_secs(1), "{report}");
}

#[test]
fn shards_die_pause_and_leave_and_the_history_is_correct() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let Service { mut gateways, shards, store, .. } = Service::start(directory.path(), 3, 2);
    let shards: Vec<_> = shards.into_iter().map(|shard| Arc::new(Mutex::new(shard))).collect();
    let store = Arc::new(Mutex::new(store.unwrap()));
    let mut faults = shard_faults(&shards);
    faults.push(fault(26, "the store is killed and comes back", &store, |store| {
        store.signal("-KILL");
        store.ended();
        store.again();
    }));
    // Pods need the controllers' service accounts, and nobody runs controllers here.
    let resources = vec![Resource::ConfigMaps];
    let plan = Plan { resources, duration: Duration::from_secs(32), settle: Duration::from_secs(60), ..plan() };
    let kubeconfigs: Vec<PathBuf> = gateways.iter().map(Server::kubeconfig).collect();
    let ran = run(vec![Load { plan, kubeconfigs, faults }]);
    for gateway in &mut gateways {
        gateway.expected_warnings = vec![" WARN "];
    }
    let report = &ran[0].report;
    assert!(report.acknowledged > 500 && report.events > 1000 && report.lists > 20, "{report}");
    assert_eq!((report.acknowledged_lost, report.events_lost, report.events_repeated), (0, 0, 0));
    assert_eq!(report.relists, 0, "no watch had to begin again: {report}");
}
