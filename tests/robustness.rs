//! Load on real processes while they are killed: what its clients saw is a history that a correct server could have shown.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::Server;
use harness::disk::Disk;
use harness::load::{Load, alone, fault, plan, run, shard_faults};
use harness::network::{Machine, Network};
use harness::service::{Process, Service};
use robustness::load::{Fault, Plan, Report, Resource};

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
    let resources = vec![Resource::ConfigMaps, Resource::Pods, Resource::NodeLeases, Resource::Events];
    let plan = Plan { resources, ..plan() };
    let ran = run(vec![Load { plan, kubeconfigs: vec![kubeconfig], faults: vec![fault.crashing()] }]);
    drop(restarted.recv().unwrap());

    let report = &ran[0].report;
    // It was a test: there was load before and behind the crash, and the crash was felt.
    assert!(report.acknowledged > 100 && report.events > 500 && report.lists > 20, "{report}");
    assert!(report.unanswered > 0 && report.resumptions > 20, "{report}");
    assert_eq!((report.acknowledged_lost, report.events_lost, report.events_repeated, report.relists), (0, 0, 0, 0));
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
    let resources = vec![Resource::ConfigMaps, Resource::NodeLeases, Resource::Events];
    let report = through(&mut gateways, 32, resources, faults);
    assert_eq!(report.relists, 0, "no watch had to begin again: {report}");
    drop((shards, store));
}

/// The load through gateways for so many seconds, with faults. (Pods need the controllers' service accounts, and nobody runs
/// controllers here.) Nothing is lost, repeated, or left without an answer.
fn through(gateways: &mut [Server], seconds: u64, resources: Vec<Resource>, faults: Vec<Fault>) -> Report {
    let (duration, settle) = (Duration::from_secs(seconds), Duration::from_secs(60));
    let plan = Plan { resources, duration, settle, ..plan() };
    let kubeconfigs: Vec<PathBuf> = gateways.iter().map(Server::kubeconfig).collect();
    let ran = run(vec![Load { plan, kubeconfigs, faults }]);
    for gateway in gateways {
        gateway.expected_warnings = vec![" WARN "];
    }
    let report = ran.into_iter().next().unwrap().report;
    assert!(report.acknowledged > 500 && report.events > 1000 && report.lists > 20, "{report}");
    assert_eq!((report.acknowledged_lost, report.events_lost, report.events_repeated), (0, 0, 0));
    assert_eq!((report.silent, report.unavailable_without_retry_after), (0, 0), "{report}");
    report
}

/// Somebody else fills a disk at that second, and gives the room back five seconds later.
fn filled(at: u64, disk: &Arc<Disk>) -> Fault {
    let disk = disk.clone();
    Fault::new(Duration::from_secs(at), "the disk is full", async move {
        disk.fill();
        tokio::time::sleep(Duration::from_secs(5)).await;
        disk.empty();
    })
}

#[test]
fn a_full_disk_refuses_writes_and_goes_on_by_itself() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::mount(&directory.path().join("store"), 48) else { return };
    let disk = Arc::new(disk);
    let Service { mut gateways, shards, store, .. } = Service::start(directory.path(), 3, 2);
    let report = through(&mut gateways, 14, vec![Resource::ConfigMaps], vec![filled(3, &disk)]);
    // Reads went on: it took five seconds.
    assert!(report.unavailable > 5 && report.faults[0].list_pause < Duration::from_secs(3), "{report}");
    assert_eq!((report.relists, report.errors), (0, 0), "{report}");
    drop((shards, store, disk));
}

#[test]
fn a_full_disk_under_one_process_is_no_end_either() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let Some(disk) = Disk::mount(&data, 48) else { return };
    let disk = Arc::new(disk);
    let mut server = [Server::start(&data, &["--nodes", "0", "--shards", "3"])];
    let report = through(&mut server, 12, vec![Resource::ConfigMaps], vec![filled(3, &disk)]);
    assert!(report.unavailable > 5 && report.faults[0].list_pause < Duration::from_secs(3), "{report}");
    assert_eq!((report.relists, report.errors), (0, 0), "{report}");
    drop((server, disk));
}

/// Cuts machines from each other at that second, for so long.
fn cut(at: u64, name: &str, seconds: u64, from: Machine, others: Vec<Machine>) -> Fault {
    Fault::new(Duration::from_secs(at), name, async move {
        others.iter().for_each(|other| from.cut(other));
        tokio::time::sleep(Duration::from_secs(seconds)).await;
        others.iter().for_each(|other| from.heal(other));
    })
}

#[test]
fn cut_networks_heal_and_the_history_is_correct() {
    let _alone = alone();
    let Some(network) = Network::new() else { return };
    let directory = tempfile::tempdir().unwrap();
    let Service { mut gateways, shards, store, machines, .. } =
        Service::start_on(Some(&network), directory.path(), 3, 2);
    let machine = |process: &Process| process.machine.clone().unwrap();
    let places: Vec<Machine> = shards.iter().map(machine).collect();
    let store = store.unwrap();
    let everybody = places.iter().cloned().chain([machine(&store)]).collect();
    let shards: Vec<_> = shards.into_iter().map(|shard| Arc::new(Mutex::new(shard))).collect();
    let faults = vec![
        cut(3, "a shard is cut from the store", 4, places[0].clone(), vec![machine(&store)]),
        fault(8, "it comes back", &shards[0], |shard| drop(shard.until("serves again"))),
        cut(12, "a shard is cut from the gateways", 7, places[1].clone(), machines.clone()),
        cut(23, "a gateway is cut from everything", 7, machines[0].clone(), everybody),
    ];
    let report = through(&mut gateways, 34, vec![Resource::ConfigMaps], faults);
    assert!(report.unavailable > 5, "{report}");
    assert_eq!(report.relists, 0, "no watch had to begin again: {report}");
    drop((shards, store));
}
