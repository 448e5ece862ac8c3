//! What all processes share: the time, the dice, the messages under way, and which links are cut.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::sync::atomic::{self, AtomicU64};
use std::time::Duration;

use gateway::Gateway;
use parking_lot::Mutex;
use shards::Shard;
use shards::membership::Member;
use store::testing::Dice;
use tokio::runtime::Handle;
use xxhash_rust::xxh3::Xxh3Default;

use crate::Bug;
use crate::disk::Disk;

/// Shards, at the places from 0 on.
pub(crate) const SHARDS: usize = 4;
/// Gateways, at the places behind them.
pub(crate) const GATEWAYS: usize = 2;
/// The clients, which are one process that nothing happens to.
pub(crate) const CLIENTS: usize = SHARDS + GATEWAYS;
/// The store, which is no process: it does what it is told at the moment that a message arrives.
pub(crate) const STORE: usize = CLIENTS + 1;
const PLACES: usize = STORE + 1;

/// How far the world goes in one step, in microseconds: no message takes less.
pub(crate) const TICK: u64 = 2_000;
/// After how long a side notices that the other one does not answer any more.
const DETECT: u64 = 60_000;

/// Something that happens when a message arrives. It runs outside every process.
type Act = Box<dyn FnOnce(&Arc<Net>) + Send>;

struct Mail {
    at: u64,
    number: u64,
    act: Act,
}

impl Ord for Mail {
    /// The earliest is the greatest.
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at, other.number).cmp(&(self.at, self.number))
    }
}

impl PartialOrd for Mail {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Mail {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Mail {}

/// What others see of a place.
#[derive(Clone, Default)]
pub(crate) struct Place {
    /// Counts the starts of its process.
    pub(crate) start: u64,
    /// The way into its runtime, while it runs.
    pub(crate) handle: Option<Handle>,
    pub(crate) frozen: bool,
    pub(crate) shard: Option<Arc<Shard>>,
    pub(crate) member: Option<Arc<Member>>,
    pub(crate) gateway: Option<Arc<Gateway>>,
}

/// How bad the network is.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Weather {
    /// Of a thousand calls so many lose their connection, before or after they have arrived.
    pub(crate) resets: u64,
    /// Of a thousand messages so many take up to a second.
    pub(crate) slow: u64,
}

struct State {
    dice: Dice,
    mails: BinaryHeap<Mail>,
    posted: u64,
    places: Vec<Place>,
    cut: [[bool; PLACES]; PLACES],
    weather: Weather,
    trace: Xxh3Default,
    story: Vec<String>,
}

/// See the module.
pub(crate) struct Net {
    now: AtomicU64,
    state: Mutex<State>,
    pub(crate) disk: Disk,
    pub(crate) bug: Bug,
}

impl Net {
    pub(crate) fn new(seed: u64, bug: Bug) -> Arc<Self> {
        let state = State {
            dice: Dice::new(seed),
            mails: BinaryHeap::new(),
            posted: 0,
            places: vec![Place::default(); PLACES],
            cut: Default::default(),
            weather: Weather::default(),
            trace: Xxh3Default::new(),
            story: Vec::new(),
        };
        Arc::new(Self { now: AtomicU64::new(0), state: Mutex::new(state), disk: Disk::new(seed, bug), bug })
    }

    /// Microseconds since the beginning.
    pub(crate) fn now(&self) -> u64 {
        self.now.load(atomic::Ordering::Relaxed)
    }

    pub(crate) fn set_now(&self, now: u64) {
        self.now.store(now, atomic::Ordering::Relaxed);
    }

    /// A number below `end`, which is not zero.
    pub(crate) fn below(&self, end: u64) -> u64 {
        self.state.lock().dice.below(end)
    }

    pub(crate) fn one_in(&self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// Puts something that has happened into the trace, by which two runs are compared.
    pub(crate) fn mark(&self, what: &[u64]) {
        let now = self.now();
        let mut state = self.state.lock();
        state.trace.update(&now.to_le_bytes());
        what.iter().for_each(|word| state.trace.update(&word.to_le_bytes()));
    }

    /// Puts a sentence into the story, which is told when the run fails.
    pub(crate) fn tell(&self, text: String) {
        let at = Duration::from_micros(self.now());
        let mut state = self.state.lock();
        state.trace.update(text.as_bytes());
        state.story.push(format!("{at:?} {text}"));
    }

    pub(crate) fn story(&self) -> (Vec<String>, u64) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.story), state.trace.digest())
    }

    /// Something happens that much later.
    pub(crate) fn after(&self, micros: u64, act: impl FnOnce(&Arc<Self>) + Send + 'static) {
        let at = self.now() + micros;
        let mut state = self.state.lock();
        state.posted += 1;
        let number = state.posted;
        state.mails.push(Mail { at, number, act: Box::new(act) });
    }

    /// Lets happen what is due.
    pub(crate) fn deliver(self: &Arc<Self>) {
        let now = self.now();
        loop {
            let mail = {
                let mut state = self.state.lock();
                match state.mails.peek() {
                    Some(mail) if mail.at <= now => state.mails.pop(),
                    _ => return,
                }
            };
            if let Some(mail) = mail {
                self.mark(&[mail.number]);
                (mail.act)(self);
            }
        }
    }

    pub(crate) fn place(&self, at: usize) -> Place {
        self.state.lock().places[at].clone()
    }

    pub(crate) fn set_place(&self, at: usize, change: impl FnOnce(&mut Place)) {
        // What is dropped may want the lock.
        let mut place = self.state.lock().places[at].clone();
        change(&mut place);
        let old = std::mem::replace(&mut self.state.lock().places[at], place);
        drop(old);
    }

    pub(crate) fn set_weather(&self, weather: Weather) {
        self.state.lock().weather = weather;
    }

    pub(crate) fn set_cut(&self, from: usize, to: usize, cut: bool) {
        self.state.lock().cut[from][to] = cut;
    }

    pub(crate) fn mend(&self) {
        let mut state = self.state.lock();
        state.cut = Default::default();
        state.weather = Weather::default();
    }

    /// Whether nothing gets from one place to another.
    pub(crate) fn is_cut(&self, from: usize, to: usize) -> bool {
        self.state.lock().cut[from][to]
    }

    /// Whether that start of a process runs still.
    pub(crate) fn runs(&self, at: usize, start: u64) -> bool {
        if at == STORE {
            return self.disk.is_up();
        }
        let state = self.state.lock();
        state.places[at].start == start && state.places[at].handle.is_some()
    }

    pub(crate) fn is_frozen(&self, at: usize) -> bool {
        self.state.lock().places[at].frozen
    }

    /// How long a message takes.
    pub(crate) fn delay(&self) -> u64 {
        let mut state = self.state.lock();
        let slow = state.weather.slow;
        match slow > 0 && state.dice.below(1000) < slow {
            true => TICK + state.dice.below(1_000_000),
            false => TICK / 2 + state.dice.below(2 * TICK),
        }
    }

    /// Whether a call's connection breaks.
    pub(crate) fn resets(&self) -> bool {
        let mut state = self.state.lock();
        let resets = state.weather.resets;
        resets > 0 && state.dice.below(1000) < resets
    }

    /// How long it takes to notice that nobody answers.
    pub(crate) fn detection(&self) -> u64 {
        DETECT + self.below(DETECT)
    }
}
