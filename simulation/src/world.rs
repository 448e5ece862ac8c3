//! One seed's world: machines with a process each, the store, the clients, and the hand that steps and breaks them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Once};
use std::time::Duration;

use api::ambient::Ambient;
use api::builtin::{RuntimeConfig, registry};
use api::slot::{Slot, SlotSet};
use parking_lot::Mutex;
use robustness::load::{Fault, Plan, Ran, Resource, RunError};
use shards::ShardOptions;
use shards::membership::Pin;
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{MachineClock, Seeded};
use crate::faults::{Step, plan};
use crate::gateway::{GatewayProcess, ToGateways};
use crate::net::{CLIENTS, GATEWAYS, Net, SHARDS, TICK};
use crate::process::{Blow, Interrupt, Process};
use crate::shard::ShardProcess;
use crate::{Bug, Outcome};

/// Slots of a simulated cluster.
pub const SLOTS: u16 = 24;
/// How long the writers write, and faults happen.
pub const LOAD: Duration = Duration::from_millis(2500);
/// A world that has not come to its end by then never will.
const END: u64 = 60_000_000;

thread_local! {
    static PANICS: Cell<u64> = const { Cell::new(0) };
}

/// How many tasks of this thread have panicked since this was asked last: their panics would be lost otherwise.
pub fn count_panics() -> u64 {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let shown = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |panic| {
            PANICS.set(PANICS.get() + 1);
            shown(panic);
        }));
    });
    PANICS.take()
}

/// What clients do in a simulation: few of them, on few objects, so that they meet often.
pub fn load(seed: u64) -> Plan {
    Plan {
        writers: 4,
        listers: 2,
        watchers: 6,
        namespaces: 3,
        objects: 3,
        resources: vec![Resource::ConfigMaps],
        duration: LOAD,
        operations: 1000,
        pause: Duration::from_millis(30),
        deadline: Duration::from_secs(8),
        watch_for: Duration::from_millis(800),
        settle: Duration::from_secs(20),
        ..Plan::small(seed)
    }
}

/// A machine and the process that it runs, if it does.
struct Machine {
    clock: Arc<MachineClock>,
    process: Option<Process>,
    interrupt: Arc<Interrupt>,
    leaving: CancellationToken,
    /// How the process ended by itself.
    exit: Arc<Mutex<Option<String>>>,
    start_at: Option<u64>,
    /// After how long it starts again when it has left.
    away: u64,
    starts: u64,
}

/// See the module.
pub(crate) struct World {
    net: Arc<Net>,
    seed: u64,
    options: ShardOptions,
    machines: Vec<Machine>,
    clients: Process,
    client_clock: Arc<MachineClock>,
    bootstrapped: Arc<AtomicBool>,
    /// When the clients began; zero: not yet.
    began: Arc<AtomicU64>,
    ran: Arc<Mutex<Option<Result<Ran, RunError>>>>,
    /// What is to happen, by time and number.
    agenda: BTreeMap<(u64, usize), Step>,
    planned: bool,
    quiet: bool,
    /// What no client sees, and is wrong all the same.
    wrong: Vec<String>,
}

impl World {
    pub(crate) fn new(seed: u64, bug: Bug) -> Self {
        api::slot::use_few(SLOTS);
        let net = Net::new(seed, bug);
        let mut options = ShardOptions::default();
        // Logs are trimmed and watchers come too late in some worlds.
        if net.one_in(2) {
            options.retention = Duration::from_millis(200 + net.below(2000));
        }
        if net.one_in(3) {
            options.log_bytes = 4000 + net.below(40_000) as usize;
        }
        let machine = |_| {
            let boot = Duration::from_secs(1000 + net.below(100_000));
            let clock = MachineClock::new(&net, boot, net.below(4000) as i64 - 2000);
            if net.one_in(4) {
                clock.skew(net.below(4_000_000) as i64 - 2_000_000);
            }
            Machine {
                clock,
                process: None,
                interrupt: Arc::default(),
                leaving: CancellationToken::new(),
                exit: Arc::default(),
                start_at: Some(net.below(50 * TICK)),
                away: 0,
                starts: 0,
            }
        };
        let machines = (0..SHARDS + GATEWAYS).map(machine).collect();
        let clients = Process::new(&net, Arc::default());
        let client_clock = MachineClock::new(&net, Duration::ZERO, 0);
        client_clock.begin(clients.began());
        net.set_place(CLIENTS, |place| place.handle = Some(clients.runtime().handle().clone()));
        Self {
            net,
            seed,
            options,
            machines,
            clients,
            client_clock,
            bootstrapped: Arc::default(),
            began: Arc::default(),
            ran: Arc::default(),
            agenda: BTreeMap::new(),
            planned: false,
            quiet: false,
            wrong: Vec::new(),
        }
    }

    pub(crate) fn run(mut self) -> Outcome {
        count_panics();
        self.start_clients();
        while self.net.now() < END && self.ran.lock().is_none() {
            self.tick();
        }
        self.outcome()
    }

    fn tick(&mut self) {
        self.net.deliver();
        self.net.disk.sync();
        self.act();
        for at in 0..self.machines.len() {
            self.keep_up(at);
        }
        // In any order.
        let mut order: Vec<usize> = (0..=self.machines.len()).collect();
        for at in (1..order.len()).rev() {
            order.swap(at, self.net.below(at as u64 + 1) as usize);
        }
        let to = self.net.now() + TICK;
        for at in order {
            match self.machines.get_mut(at) {
                None => drop(self.clients.step(to)),
                Some(machine) => match machine.process.as_mut().and_then(|process| process.step(to)) {
                    Some(Blow::Crash) => self.kill(at, "was killed at a commit", None),
                    Some(Blow::Freeze(micros)) => self.freeze(at, micros),
                    None => {}
                },
            }
        }
        self.net.set_now(to);
    }

    /// Does what is due.
    fn act(&mut self) {
        let (now, began) = (self.net.now(), self.began.load(Ordering::Relaxed));
        if began == 0 || self.quiet {
            return;
        }
        if !std::mem::replace(&mut self.planned, true) {
            let steps = plan(&self.net, LOAD.as_micros() as u64);
            self.agenda =
                steps.into_iter().enumerate().map(|(number, (at, step))| ((began + at, number), step)).collect();
        }
        let later = self.agenda.split_off(&(now + 1, 0));
        for (_, step) in std::mem::replace(&mut self.agenda, later) {
            self.net.tell(format!("{step:?}"));
            self.step(step);
        }
        if now >= began + LOAD.as_micros() as u64 {
            self.quiet = true;
            self.calm();
        }
    }

    fn step(&mut self, step: Step) {
        let now = self.net.now();
        match step {
            Step::Crash(at, micros) => self.kill(at, "was killed", Some(now + micros)),
            Step::Doom(at, fate) => self.machines[at].interrupt.set_fate(Some(fate)),
            Step::Freeze(at, micros) => self.freeze(at, micros),
            Step::Leave(at, micros) => {
                self.machines[at].away = micros;
                self.machines[at].leaving.cancel();
            }
            Step::Cut(links, cut) => links.into_iter().for_each(|(from, to)| self.net.set_cut(from, to, cut)),
            Step::Weather(weather) => self.net.set_weather(weather),
            Step::Skew(at, micros) => self.machines[at].clock.skew(micros),
            Step::StoreCrash(micros) => {
                let (waited, happened) = self.net.disk.crash();
                self.net.tell(format!("{happened} of {waited} commits that were not synced have happened"));
                self.net.after(micros, |net| net.disk.start());
            }
            Step::Pin { slots, to } => {
                let slots: SlotSet = slots.into_iter().map(Slot).collect();
                let pin = to.map(|(to, alone)| Pin { to, namespace: "".into(), alone });
                let places = (0..SHARDS).map(|at| self.net.place(at));
                let living = places.filter_map(|place| place.handle.zip(place.member)).next();
                if let Some((handle, member)) = living {
                    handle.spawn(async move { member.pin(&slots, pin.as_ref()).await });
                }
            }
        }
    }

    /// Ends all faults, so that what was promised must come true.
    fn calm(&mut self) {
        self.net.tell("quiet".to_owned());
        let now = self.net.now();
        self.net.mend();
        self.net.disk.start();
        for machine in &mut self.machines {
            machine.interrupt.set_fate(None);
            machine.clock.skew(0);
            machine.away = 0;
            if let Some(process) = &mut machine.process {
                process.thaw();
            }
            machine.start_at = machine.start_at.map(|_| now);
        }
    }

    /// Sees to what a process did by itself since it was last looked at.
    fn keep_up(&mut self, at: usize) {
        let now = self.net.now();
        let machine = &mut self.machines[at];
        let frozen = machine.process.as_ref().is_some_and(|process| process.is_frozen(now));
        self.net.set_place(at, |place| place.frozen = frozen);
        let exit = machine.exit.lock().take();
        if let Some(exit) = exit {
            let away = std::mem::take(&mut machine.away);
            // Gateways have no reason to end, and what the store says can be trusted.
            if at >= SHARDS || exit.contains("broken") {
                self.wrong.push(format!("{at} ended by itself: {exit}"));
            }
            self.kill(at, &exit, Some(now + 10_000 + away));
        }
        let machine = &mut self.machines[at];
        if machine.start_at.is_some_and(|start| start <= now) {
            machine.start_at = None;
            self.start(at);
        }
    }

    fn freeze(&mut self, at: usize, micros: u64) {
        self.net.tell(format!("{at} stands still for {micros} µs"));
        if let Some(process) = &mut self.machines[at].process {
            process.freeze(self.net.now() + micros);
        }
    }

    fn kill(&mut self, at: usize, how: &str, start_at: Option<u64>) {
        let start_at = start_at.unwrap_or_else(|| self.net.now() + self.net.below(600_000));
        let machine = &mut self.machines[at];
        let Some(process) = machine.process.take() else { return };
        self.net.tell(format!("{at} ended: {how}"));
        machine.start_at = Some(if self.quiet { self.net.now() } else { start_at });
        machine.interrupt.set_fate(None);
        machine.exit.lock().take();
        self.net.set_place(at, |place| {
            place.handle = None;
            place.shard = None;
            place.member = None;
            place.gateway = None;
            place.frozen = false;
        });
        drop(process);
    }

    fn start(&mut self, at: usize) {
        let machine = &mut self.machines[at];
        machine.starts += 1;
        machine.interrupt = Arc::default();
        machine.leaving = CancellationToken::new();
        machine.exit = Arc::default();
        let process = Process::new(&self.net, machine.interrupt.clone());
        machine.clock.begin(process.began());
        self.net.tell(format!("{at} starts"));
        let (start, handle) = (machine.starts, process.runtime().handle().clone());
        self.net.set_place(at, |place| {
            place.start = start;
            place.handle = Some(handle);
        });
        // No two starts of any processes draw the same numbers.
        let seed = xxh3_64(format!("{} {at} {start}", self.seed).as_bytes());
        let ambient = Ambient { clock: machine.clock.clone(), entropy: Arc::new(Seeded::new(seed)) };
        let (exit, net, registry) =
            (machine.exit.clone(), self.net.clone(), Arc::new(registry(&RuntimeConfig::default())));
        if at < SHARDS {
            let shard = ShardProcess {
                net,
                at,
                ambient,
                clock: machine.clock.clone(),
                registry,
                options: self.options.clone(),
                interrupt: machine.interrupt.clone(),
                leaving: machine.leaving.clone(),
            };
            process.runtime().spawn(async move { *exit.lock() = Some(shard.run().await) });
        } else {
            let bootstrapped = self.bootstrapped.clone();
            let gateway = GatewayProcess { net, at, ambient, registry, bootstrapped };
            process.runtime().spawn(async move { *exit.lock() = Some(gateway.run().await) });
        }
        machine.process = Some(process);
    }

    fn start_clients(&mut self) {
        let plan = load(self.seed);
        let entropy = Arc::new(Seeded::new(self.seed ^ 0x5eed));
        let ambient = Ambient { clock: self.client_clock.clone(), entropy };
        let (net, began, ran) = (self.net.clone(), self.began.clone(), self.ran.clone());
        self.clients.runtime().spawn(async move {
            while (SHARDS..SHARDS + GATEWAYS).all(|at| net.place(at).gateway.is_none()) {
                tokio::time::sleep(Duration::from_millis(4)).await;
            }
            let connect = |number: usize| {
                let transport = ToGateways { net: net.clone(), usual: number % GATEWAYS };
                Arc::new(transport) as Arc<dyn client::Transport>
            };
            // The load's own fault says when its writers begin. Before that nothing goes wrong: nothing is tried again there.
            let at = net.clone();
            let begin = Fault::new(Duration::ZERO, "all others", async move {
                began.store(at.now().max(1), Ordering::Relaxed);
            });
            let result = robustness::load::run(plan, &ambient, &connect, vec![begin]).await;
            *ran.lock() = Some(result);
        });
    }

    fn outcome(mut self) -> Outcome {
        let (mut story, events) = self.net.story();
        let mut outcome = Outcome { violations: std::mem::take(&mut self.wrong), trace: events, ..Outcome::default() };
        let ran = self.ran.lock().take();
        outcome.hear(ran);
        let panics = count_panics();
        if panics > 0 {
            outcome.violations.push(format!("{panics} panics"));
        }
        story.push(format!("the end, at {:?}", Duration::from_micros(self.net.now())));
        outcome.story = story;
        for at in 0..self.machines.len() {
            self.kill(at, "the end", None);
        }
        outcome
    }
}
