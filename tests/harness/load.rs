//! Load on a server of the harness, with the machine's clock; a history that is wrong is kept.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use api::ambient::{Ambient, Clock, Entropy};
use client::Transport;
use client::https::{HttpsFactory, HttpsOptions};
use robustness::Recorder;
use robustness::load::{Fault, Plan, Ran, recorder, run_with};

use super::service::Process;

/// The machine's time and some randomness, for clients.
struct Machine {
    start: Instant,
    state: AtomicU64,
}

impl Clock for Machine {
    fn wall_micros(&self) -> i64 {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is after 1970");
        since.as_micros().try_into().expect("64 bits of microseconds last")
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

/// One load: its plan, the kubeconfigs of the gateways that its clients are spread over, and what happens meanwhile.
pub struct Load {
    pub plan: Plan,
    pub kubeconfigs: Vec<PathBuf>,
    pub faults: Vec<Fault>,
}

/// Runs loads side by side into one history. Whatever is wrong fails the test; the history is kept.
pub fn run(loads: Vec<Load>) -> Vec<Ran> {
    let machine = Arc::new(Machine { start: Instant::now(), state: AtomicU64::new(loads[0].plan.seed) });
    let ambient = Ambient { clock: machine.clone(), entropy: machine };
    let recorder = recorder(&ambient);
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).enable_all().build().expect("threads");
    let running: Vec<_> =
        loads.into_iter().map(|load| runtime.spawn(one(recorder.clone(), ambient.clone(), load))).collect();
    let ran = running.into_iter().map(|load| runtime.block_on(load).expect("a load does not panic")).collect();
    runtime.shutdown_timeout(Duration::from_secs(1));
    ran
}

async fn one(recorder: Recorder, ambient: Ambient, Load { plan, kubeconfigs, faults }: Load) -> Ran {
    let factory = |path: &PathBuf| {
        let target = client::kubeconfig::load(Some(path), None).expect("a kubeconfig");
        HttpsFactory::new(&target, HttpsOptions::new(ambient.clone())).expect("its credentials are read")
    };
    let factories: Vec<HttpsFactory> = kubeconfigs.iter().map(factory).collect();
    let connect = |number: usize| -> Arc<dyn Transport> { factories[number % factories.len()].transport() };
    let name = format!("history-{}-{}", plan.cluster, plan.seed);
    eprintln!("SHARDPLANE_SEED={}", plan.seed);
    let ran = run_with(&recorder, plan, &ambient, &connect, faults).await;
    let ran = ran.unwrap_or_else(|error| panic!("{error}"));
    eprintln!("{}", ran.report);
    if !ran.report.is_fine() {
        let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}.jsonl"));
        let file = std::fs::File::create(&kept).expect("the target directory is writable");
        ran.history.save(std::io::BufWriter::new(file)).expect("there is room for it");
        panic!("kept in {}\n{}\n{}", kept.display(), ran.report, ran.verdict);
    }
    ran
}

/// A small load, or with SHARDPLANE_LOAD=large one that takes the machine for itself.
pub fn plan() -> Plan {
    match std::env::var("SHARDPLANE_LOAD").as_deref() {
        Ok("large") => Plan::large(seed()),
        _ => Plan::small(seed()),
    }
}

fn seed() -> u64 {
    std::env::var("SHARDPLANE_SEED").map_or(1, |seed| seed.parse().expect("SHARDPLANE_SEED is a number"))
}

/// One load at a time: leases and outages are measured in real time.
pub fn alone() -> MutexGuard<'static, ()> {
    static MACHINE: Mutex<()> = Mutex::new(());
    MACHINE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Does something to a process, or to several, that takes a while, beside the load.
pub fn fault<T: Send + 'static>(at: u64, name: &str, of: &Arc<Mutex<T>>, act: fn(&mut T)) -> Fault {
    let of = of.clone();
    Fault::new(Duration::from_secs(at), name, async move {
        tokio::task::spawn_blocking(move || act(&mut of.lock().unwrap())).await.unwrap();
    })
}

/// What befalls three shards within the first 24 seconds.
pub fn shard_faults(shards: &[Arc<Mutex<Process>>]) -> Vec<Fault> {
    vec![
        fault(3, "kill -9 of a shard, and its return", &shards[0], |shard| {
            shard.signal("-KILL");
            shard.ended();
            // Longer than its lease: others have its slots by then.
            std::thread::sleep(Duration::from_secs(4));
            shard.again();
        })
        .crashing(),
        fault(11, "a shard paused for longer than its lease", &shards[1], |shard| {
            shard.signal("-STOP");
            std::thread::sleep(Duration::from_secs(5));
            shard.signal("-CONT");
            // The zombie finds that others have its slots, and begins anew.
            shard.until("serves again");
        })
        .crashing(),
        fault(20, "a shard leaves in good order", &shards[2], |shard| {
            shard.signal("-TERM");
            assert!(shard.ended().success());
            shard.again();
        }),
    ]
}
