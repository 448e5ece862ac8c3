//! Shards over a FoundationDB cluster, which the tests start where `FDBSERVER` and `FDBCLI` say where its programs are, and
//! which is theirs to kill. Without these variables the tests say that they were skipped.

#![cfg(feature = "foundationdb")]
#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use harness::load::{Load, alone, fault, plan, run, shard_faults};
use harness::service::{Process, Service};
use harness::{Server, eventually};
use robustness::load::{Fault, Plan, Resource};
use store::testing::{Programs, Servers};

/// A newer format than any, as `fdbcli` writes it to the header's key.
const NEWER: &str = r"writemode on; set shardplane\x00 \x7f\xff\x00\x00\x00\x00\x00\x00\x00\x00";

fn prepared(test: &str, directory: &Path, count: usize) -> Option<Servers> {
    let programs = Programs::find();
    if programs.is_none() {
        eprintln!("{test}: skipped, FDBSERVER and FDBCLI are not set");
    }
    Some(Servers::prepare(programs?, directory, count).unwrap())
}

fn url(servers: &Servers) -> String {
    format!("fdb:{}", servers.file().display())
}

/// A shard that has been started and may be waiting for its store; and where its /readyz is.
fn shard(directory: &Path, servers: &Servers) -> (Process, String) {
    let (data, url) = (directory.join("shard").display().to_string(), url(servers));
    let arguments = ["shard", "--store", &url, "--data-dir", &data, "--listen", "127.0.0.1:0"];
    let health = ["--health-listen", "127.0.0.1:0"];
    let shard = Process::begin(None, arguments.iter().chain(&health).map(|argument| (*argument).to_owned()).collect());
    let line = shard.until("/readyz");
    let readyz = line.split_whitespace().find(|word| word.starts_with("http://")).unwrap().to_owned();
    (shard, readyz)
}

#[test]
fn a_shard_waits_for_its_cluster_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let Some(mut servers) = prepared("waiting", directory.path(), 1) else { return };
    let (mut waiting, readyz) = shard(directory.path(), &servers);
    waiting.until("is not reached yet");
    let (code, why) = Process::readyz(&readyz);
    let wanted =
        ["waits for its store", servers.file().to_str().unwrap(), "coordinators cannot be reached"].map(str::to_owned);
    assert!(code == 503 && wanted.iter().all(|part| why.contains(part)), "{code} {why}");

    servers.configure("single").unwrap();
    waiting.until("serves at");
    assert_eq!(Process::readyz(&readyz), (200, "ok".to_owned()));

    // It goes away while shards run, and comes back.
    servers.kill(0).unwrap();
    let why = eventually("an unready shard", || {
        let (code, why) = Process::readyz(&readyz);
        (code == 503).then_some(why)
    });
    assert!(why.contains("has run out") && why.contains(&url(&servers)), "{why}");
    servers.start(0).unwrap();
    eventually("a ready shard", || (Process::readyz(&readyz).0 == 200).then_some(()));

    // A newer version takes the keys over.
    servers.command(NEWER).unwrap();
    waiting.until("format 32767");
    assert!(!waiting.ended().success());
    let (mut refused, _) = shard(directory.path(), &servers);
    refused.until("format 32767");
    assert!(!refused.ended().success());
}

#[test]
fn one_that_waits_can_be_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let Some(servers) = prepared("stopping", directory.path(), 1) else { return };
    let (mut waiting, _) = shard(directory.path(), &servers);
    waiting.signal("-TERM");
    assert!(waiting.ended().success());
}

/// Kills each process of the cluster once, one after the other.
fn server_faults(servers: &Arc<Mutex<Servers>>) -> Vec<Fault> {
    let kill = |at: u64, which: fn(&mut Servers)| fault(at, "kill -9 of a server of FoundationDB", servers, which);
    fn one(servers: &mut Servers, which: usize) {
        servers.kill(which).unwrap();
        // Longer than it takes the others to go on without it.
        std::thread::sleep(Duration::from_secs(4));
        servers.start(which).unwrap();
    }
    vec![kill(27, |servers| one(servers, 0)), kill(34, |servers| one(servers, 1)), kill(41, |servers| one(servers, 2))]
}

#[test]
fn shards_and_servers_die_and_the_history_is_correct() {
    let _alone = alone();
    let directory = tempfile::tempdir().unwrap();
    let Some(mut servers) = prepared("robustness", directory.path(), 3) else { return };
    servers.configure("double").unwrap();
    let Service { mut gateways, shards, .. } = Service::over(None, directory.path(), url(&servers), 3, 2);
    let shards: Vec<_> = shards.into_iter().map(|shard| Arc::new(Mutex::new(shard))).collect();
    let servers = Arc::new(Mutex::new(servers));
    let mut faults = shard_faults(&shards);
    faults.extend(server_faults(&servers));
    // Pods need the controllers' service accounts, and nobody runs controllers here.
    let resources = vec![Resource::ConfigMaps];
    let plan = Plan { resources, duration: Duration::from_secs(50), settle: Duration::from_secs(60), ..plan() };
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
