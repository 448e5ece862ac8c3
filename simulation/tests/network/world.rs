//! One seed's world: the hosts, what is between them, and the hand that breaks both.

use std::collections::BTreeMap;
use std::mem;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use ::shards::ShardOptions;
use ::shards::membership::Pin;
use ::store::testing::{Dice, VolatileStore};
use api::slot::Slot;
use simulation::{LOAD, Outcome, SLOTS, count_panics};
use tokio::sync::mpsc;
use turmoil::{Builder, Sim};
use xxhash_rust::xxh3::xxh3_64;

use crate::clients::{self, Heard, Pinning};
use crate::clock::HostClock;
use crate::faults::{Links, Step, plan};
use crate::planted::Bug;
use crate::setup::{CLIENTS, GATEWAYS, Host, SHARDS, STORE, Setup, Start, gateway, shard};

/// The longest that a message takes on a link to which nothing happens.
const LATENCY: Duration = Duration::from_millis(5);
/// How long a sync of the store's disk takes.
const SYNC: Duration = Duration::from_millis(2);
/// A world that has not come to its end by then never will.
const END: Duration = Duration::from_secs(60);

/// A host and when it is to start again.
struct Machine {
    host: Arc<Host>,
    start_at: Option<Duration>,
    /// It was killed, and its sockets are being closed.
    dying: bool,
    /// After how long it starts again when it has left.
    away: Duration,
}

struct World {
    seed: u64,
    sim: Sim<'static>,
    dice: Dice,
    disk: VolatileStore,
    machines: BTreeMap<String, Machine>,
    heard: Arc<Heard>,
    pins: mpsc::UnboundedSender<Pinning>,
    /// What is to happen, by time and number.
    agenda: BTreeMap<(Duration, usize), Step>,
    planned: bool,
    quiet: bool,
    story: Vec<String>,
    /// What no client sees, and is wrong all the same.
    wrong: Vec<String>,
}

/// Simulates one seed. It must be the only thing that this thread does.
pub(crate) fn run(seed: u64, bug: Bug) -> Outcome {
    count_panics();
    api::slot::use_few(SLOTS);
    let mut world = World::new(seed, bug);
    let ended = loop {
        world.keep_up();
        world.act();
        match world.sim.step() {
            Ok(false) => {}
            ended => break ended,
        }
    };
    world.outcome(ended.err().map(|error| error.to_string()))
}

/// Runs a host's software. When it ends or is killed, nothing is heard of it any more but that its sockets are closed.
async fn until_killed(start: Start, run: impl Future<Output = turmoil::Result>) -> turmoil::Result {
    let mut run = pin!(run);
    let ended = tokio::select! {
        biased;
        () = start.killed.cancelled() => None,
        ended = &mut run => Some(ended),
    };
    start.network.close();
    match ended {
        Some(ended) => ended,
        None => std::future::pending().await,
    }
}

impl World {
    fn new(seed: u64, bug: Bug) -> Self {
        let mut dice = Dice::new(seed);
        let mut options = ShardOptions::default();
        // Logs are trimmed and watchers come too late in some worlds.
        if dice.below(2) == 0 {
            options.retention = Duration::from_millis(200 + dice.below(2000));
        }
        if dice.below(3) == 0 {
            options.log_bytes = 4000 + dice.below(40_000) as usize;
        }
        let sim = Builder::new()
            .rng_seed(dice.below(u64::MAX))
            .simulation_duration(END)
            .min_message_latency(Duration::from_millis(1))
            .max_message_latency(LATENCY)
            .tcp_capacity(4096)
            .enable_random_order()
            .build();
        let setup = Arc::new(Setup::new(seed, bug, options));
        let disk = VolatileStore::new(dice.below(u64::MAX), Some(SYNC));
        let (heard, (pins, pinning)) = (Arc::<Heard>::default(), mpsc::unbounded_channel());
        let mut world = Self {
            seed,
            sim,
            dice,
            disk: disk.clone(),
            machines: BTreeMap::new(),
            heard: heard.clone(),
            pins,
            agenda: BTreeMap::new(),
            planned: false,
            quiet: false,
            story: Vec::new(),
            wrong: Vec::new(),
        };
        let all = setup.clone();
        world.host(STORE.to_owned(), move |host| crate::store::run(all.clone(), host.start(), disk.clone()));
        for ordinal in 0..SHARDS {
            let all = setup.clone();
            world.host(shard(ordinal), move |host| {
                let start = host.start();
                crate::shard::run(all.clone(), host, start, ordinal)
            });
        }
        for number in 0..GATEWAYS {
            let all = setup.clone();
            world.host(gateway(number), move |host| crate::gateway::run(all.clone(), host.start(), number));
        }
        let host = Host::new(CLIENTS.to_owned(), HostClock::new(Duration::ZERO, 0), seed);
        world.sim.client(CLIENTS, clients::run(setup, host.begin(), heard, pinning));
        world
    }

    fn host<F>(&mut self, name: String, run: impl Fn(Arc<Host>) -> F + 'static)
    where
        F: Future<Output = turmoil::Result> + 'static,
    {
        let boot = Duration::from_secs(1000 + self.dice.below(100_000));
        // Some wall clocks are wrong.
        let skew = if self.dice.below(4) == 0 { self.dice.below(4_000_000) as i64 - 2_000_000 } else { 0 };
        let host = Host::new(name.clone(), HostClock::new(boot, skew), self.seed);
        let machine = Machine { host: host.clone(), start_at: None, dying: false, away: Duration::ZERO };
        self.sim.host(name.as_str(), move || {
            let start = host.begin();
            until_killed(start, run(host.clone()))
        });
        self.machines.insert(name, machine);
    }

    fn tell(&mut self, text: &str) {
        self.story.push(format!("{:?} {text}", self.sim.elapsed()));
    }

    /// Does what is due.
    fn act(&mut self) {
        let began = Duration::from_micros(self.heard.began.load(Ordering::Relaxed));
        if began.is_zero() || self.quiet {
            return;
        }
        if !mem::replace(&mut self.planned, true) {
            let steps = plan(&mut self.dice, LOAD);
            self.agenda =
                steps.into_iter().enumerate().map(|(number, (at, step))| ((began + at, number), step)).collect();
        }
        let now = self.sim.elapsed();
        let later = self.agenda.split_off(&(now, usize::MAX));
        for (_, step) in mem::replace(&mut self.agenda, later) {
            self.tell(&format!("{step:?}"));
            self.step(step);
        }
        if now >= began + LOAD {
            self.quiet = true;
            self.calm();
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Kill(name, time) => {
                if let Some(machine) = self.fall(&name, time) {
                    machine.dying = true;
                    machine.host.start().killed.cancel();
                }
            }
            Step::PowerCut(name, time) => {
                if let Some(machine) = self.fall(&name, time) {
                    machine.host.start().network.close();
                    self.crash(&name);
                }
            }
            Step::Leave(ordinal, time) => {
                let machine = self.machines.get_mut(&shard(ordinal)).expect("a shard");
                machine.away = time;
                machine.host.start().leaving.cancel();
            }
            Step::Cut(links) => links.iter().for_each(|(a, b)| self.sim.partition(a.as_str(), b.as_str())),
            Step::CutOneWay(links) => {
                links.iter().for_each(|(from, to)| self.sim.partition_oneway(from.as_str(), to.as_str()));
            }
            Step::Hold(links) => links.iter().for_each(|(a, b)| self.sim.hold(a.as_str(), b.as_str())),
            Step::Loss(links, of_a_thousand) => {
                for (a, b) in links {
                    self.sim.set_link_fail_rate(a, b, f64::from(of_a_thousand) / 1000.0);
                }
            }
            Step::Slow(links, most) => {
                links.iter().for_each(|(a, b)| self.sim.set_link_max_message_latency(a.as_str(), b.as_str(), most));
            }
            Step::Mend(links) => self.mend(&links),
            Step::Pin { slots, to } => {
                let slots = slots.into_iter().map(Slot).collect();
                let pin = to.map(|(to, alone)| Pin { to, namespace: "".into(), alone });
                let _ = self.pins.send(Pinning { slots, pin });
            }
        }
    }

    fn mend(&mut self, links: &Links) {
        for (a, b) in links {
            self.sim.set_link_fail_rate(a.as_str(), b.as_str(), 0.0);
            self.sim.set_link_max_message_latency(a.as_str(), b.as_str(), LATENCY);
            // What waits goes on its way, and what is cut is whole again.
            self.sim.release(a.as_str(), b.as_str());
        }
    }

    /// A host that runs, which is to start again after that time.
    fn fall(&mut self, name: &str, time: Duration) -> Option<&mut Machine> {
        // Not before it has ended.
        let at = self.sim.elapsed() + time + Duration::from_millis(5);
        let machine = self.machines.get_mut(name).filter(|machine| machine.start_at.is_none())?;
        machine.start_at = Some(at);
        Some(machine)
    }

    fn crash(&mut self, name: &str) {
        self.sim.crash(name);
        if name == STORE {
            let (waited, happened) = self.disk.crash();
            self.tell(&format!("{happened} of {waited} commits that were not synced have happened"));
        }
    }

    /// Ends all faults, so that what was promised must come true.
    fn calm(&mut self) {
        self.tell("quiet");
        let mut names: Vec<String> = self.machines.keys().cloned().collect();
        names.push(CLIENTS.to_owned());
        let pairs = |a: &String| names.iter().filter(move |b| *b > a).map(|b| (a.clone(), b.clone())).collect();
        for links in names.iter().map(pairs).collect::<Vec<Links>>() {
            self.mend(&links);
        }
        let now = self.sim.elapsed();
        for machine in self.machines.values_mut() {
            machine.away = Duration::ZERO;
            machine.start_at = machine.start_at.map(|_| now);
        }
    }

    /// Sees to who has ended, and starts whose time has come.
    fn keep_up(&mut self) {
        let now = self.sim.elapsed();
        let is_dead = |(name, machine): (&String, &mut Machine)| mem::take(&mut machine.dying).then(|| name.clone());
        let dead: Vec<String> = self.machines.iter_mut().filter_map(is_dead).collect();
        dead.iter().for_each(|name| self.crash(name));
        let mut told = Vec::new();
        for (name, machine) in &mut self.machines {
            if let Some(end) = machine.host.ended.lock().take() {
                if end.contains("broken") {
                    self.wrong.push(format!("{name} ended by itself: {end}"));
                }
                told.push(format!("{name} ended: {end}"));
                machine.start_at.get_or_insert(now + mem::take(&mut machine.away));
            }
            if machine.start_at.is_some_and(|start| start <= now) {
                machine.start_at = None;
                told.push(format!("{name} starts again"));
                self.sim.bounce(name.as_str());
            }
        }
        told.iter().for_each(|text| self.tell(text));
    }

    fn outcome(mut self, failure: Option<String>) -> Outcome {
        self.tell("the end");
        let trace = xxh3_64(self.story.join("\n").as_bytes());
        let mut outcome = Outcome { violations: mem::take(&mut self.wrong), trace, ..Outcome::default() };
        outcome.violations.extend(failure);
        let ran = self.heard.ran.lock().take();
        outcome.hear(ran);
        let panics = count_panics();
        if panics > 0 {
            outcome.violations.push(format!("{panics} panics"));
        }
        outcome.story = mem::take(&mut self.story);
        outcome
    }
}
