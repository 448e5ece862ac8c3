//! Load on real processes while they are killed: what its clients saw is a history that a correct server could have shown.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, reason = "a test may panic and look at the clock")]

mod harness;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use api::ambient::{Ambient, Clock, Entropy};
use client::Transport;
use client::https::{HttpsFactory, HttpsOptions};
use harness::Server;
use harness::service::{Process, Service};
use robustness::load::{Fault, Plan, Ran, run};

/// The machine's time and some randomness, for clients.
struct Machine {
    start: Instant,
    state: AtomicU64,
}

impl Clock for Machine {
    fn wall_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
        since.as_micros().try_into().unwrap()
    }

    fn boot(&self) -> Duration {
        self.start.elapsed()
    }
}

impl Entropy for Machine {
    fn next_u64(&self) -> u64 {
        let mut mixed = self.state.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed ^ (mixed >> 27)
    }
}

fn ambient(seed: u64) -> Ambient {
    let machine = Arc::new(Machine { start: Instant::now(), state: AtomicU64::new(seed) });
    Ambient { clock: machine.clone(), entropy: machine }
}

/// Runs the load on the servers of these kubeconfigs, in turns. A history that is wrong is kept.
fn load(plan: Plan, kubeconfigs: &[PathBuf], faults: Vec<Fault>) -> Ran {
    let seed = plan.seed;
    let ambient = ambient(seed);
    let factories: Vec<HttpsFactory> = kubeconfigs
        .iter()
        .map(|kubeconfig| {
            let target = client::kubeconfig::load(Some(kubeconfig), None).unwrap();
            HttpsFactory::new(&target, HttpsOptions::new(ambient.clone())).unwrap()
        })
        .collect();
    let connect = |number: usize| -> Arc<dyn Transport> { factories[number % factories.len()].transport() };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().unwrap();
    let ran = runtime.block_on(run(plan, &ambient, &connect, faults)).unwrap();
    runtime.shutdown_timeout(Duration::from_secs(1));
    eprintln!("SHARDPLANE_SEED={seed}\n{}", ran.report);
    if !ran.report.is_fine() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("history-{seed}.jsonl"));
        ran.history.save(std::io::BufWriter::new(std::fs::File::create(&kept).unwrap())).unwrap();
        panic!("kept in {}\n{}\n{}", kept.display(), ran.report, ran.verdict);
    }
    ran
}

/// A small load, or with SHARDPLANE_LOAD=large one that takes the machine for itself.
fn plan() -> Plan {
    match std::env::var("SHARDPLANE_LOAD").as_deref() {
        Ok("large") => Plan::large(seed()),
        _ => Plan::small(seed()),
    }
}

fn seed() -> u64 {
    std::env::var("SHARDPLANE_SEED").map_or(1, |seed| seed.parse().expect("SHARDPLANE_SEED is a number"))
}

#[test]
fn kill_9_under_load_leaves_a_correct_history() {
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
    let ran = load(plan(), &[kubeconfig], vec![fault]);
    drop(restarted.recv().unwrap());

    let report = &ran.report;
    // It was a test: there was load before and behind the crash, and the crash was felt.
    assert!(report.acknowledged > 100 && report.events > 500 && report.lists > 20, "{report}");
    assert!(report.unanswered > 0 && report.resumptions > 20, "{report}");
    assert_eq!((report.acknowledged_lost, report.events_lost, report.events_repeated), (0, 0, 0));
    assert!(report.faults[0].outage < Duration::from_secs(5), "{report}");
}

/// Does something to a process that takes a while, beside the load.
fn fault(at: u64, name: &str, of: &Arc<Mutex<Process>>, act: fn(&mut Process)) -> Fault {
    let process = of.clone();
    Fault::new(Duration::from_secs(at), name, async move {
        tokio::task::spawn_blocking(move || act(&mut process.lock().unwrap())).await.unwrap();
    })
}

#[test]
fn shards_die_pause_and_leave_and_the_history_is_correct() {
    let directory = tempfile::tempdir().unwrap();
    let Service { mut gateways, shards, store, .. } = Service::start(directory.path(), 3, 2);
    let shards: Vec<_> = shards.into_iter().map(|shard| Arc::new(Mutex::new(shard))).collect();
    let store = Arc::new(Mutex::new(store));
    let faults = vec![
        fault(3, "kill -9 of a shard, and its return", &shards[0], |shard| {
            shard.signal("-KILL");
            shard.ended();
            // Longer than its lease: others have its slots by then.
            std::thread::sleep(Duration::from_secs(4));
            shard.again();
        }),
        fault(11, "a shard paused for longer than its lease", &shards[1], |shard| {
            shard.signal("-STOP");
            std::thread::sleep(Duration::from_secs(5));
            shard.signal("-CONT");
            // The zombie finds that others have its slots.
            assert!(!shard.ended().success());
            shard.again();
        }),
        fault(20, "a shard leaves in good order", &shards[2], |shard| {
            shard.signal("-TERM");
            assert!(shard.ended().success());
            shard.again();
        }),
        fault(26, "the store is killed and comes back", &store, |store| {
            store.signal("-KILL");
            store.ended();
            store.again();
        }),
    ];
    let plan = Plan { duration: Duration::from_secs(32), settle: Duration::from_secs(60), ..plan() };
    let kubeconfigs: Vec<PathBuf> = gateways.iter().map(Server::kubeconfig).collect();
    let ran = load(plan, &kubeconfigs, faults);
    for gateway in &mut gateways {
        gateway.expected_warnings = vec![" WARN "];
    }
    let report = &ran.report;
    assert!(report.acknowledged > 500 && report.events > 1000 && report.lists > 20, "{report}");
    assert_eq!((report.acknowledged_lost, report.events_lost, report.events_repeated), (0, 0, 0));
    assert_eq!(report.relists, 0, "no watch had to begin again: {report}");
}
