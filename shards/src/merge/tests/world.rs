//! Little shards with clocks, and a driver that is as late and as unlucky as a seed says.

use std::collections::VecDeque;
use std::sync::Arc;

use api::slot::{Slot, SlotSet};
use api::{Object, Status, Version};

use super::checker::{BLOCKS, Checker, block_of};
use crate::merge::{FetchId, Merger, SourceId};
use crate::service::{Delivery, Event, History};

pub(super) const SHARDS: usize = 4;
/// The ordinal of promises: above every writer's.
const PROMISE: u16 = 4095;

/// What a world does wrong, so that the checks have something to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lie {
    /// History is empty.
    EmptyHistory,
    /// History promises more than it holds.
    ProudHistory,
    /// A shard promises more than its successor keeps to when it lets a slot go.
    HighGoodbye,
    /// A successor starts within what the dead shard could promise.
    LowStart,
    /// An event is missing from a delivery.
    Dropped,
    /// A source's deliveries overtake each other.
    Reordered,
}

/// SplitMix64.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Shard(usize),
    /// Let go, or taken from a dead shard; the next owner starts above.
    Nobody(u64),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    Alive,
    /// It does nothing, and what it was about to do it does later.
    Paused,
    Dead,
}

struct Shard {
    life: Life,
    clock: u64,
    ceiling: u64,
    /// Its ceiling is final, whether it knows or not.
    fenced: bool,
    /// What it believes to own.
    owned: Vec<usize>,
    stream: Option<Stream>,
    resume: Option<Version>,
}

struct Stream {
    id: SourceId,
    queue: VecDeque<Delivery>,
}

enum Fetched {
    Asked(FetchId),
    Answered(FetchId, Option<History>),
}

pub(super) struct World {
    pub(super) random: Random,
    lie: Option<Lie>,
    shards: Vec<Shard>,
    owners: [Owner; BLOCKS],
    sets: [SlotSet; BLOCKS],
    /// Events at or below are no longer in anybody's log.
    expired: Version,
    events: Vec<Arc<Event>>,
    object: Arc<Object>,
    fetches: Vec<Fetched>,
    sources: u64,
    by_source: Vec<usize>,
    pub(super) merger: Merger<Arc<Event>>,
    pub(super) checker: Checker,
}

impl World {
    pub(super) fn new(seed: u64, lie: Option<Lie>, object: &Arc<Object>, sets: &[SlotSet; BLOCKS]) -> Self {
        let shard = |_| Shard {
            life: Life::Alive,
            clock: 1000,
            ceiling: 1000,
            fenced: false,
            owned: Vec::new(),
            stream: None,
            resume: None,
        };
        let mut world = Self {
            random: Random(seed),
            lie,
            shards: (0..SHARDS).map(shard).collect(),
            owners: [Owner::Nobody(0); BLOCKS],
            sets: sets.clone(),
            expired: Version::ZERO,
            events: Vec::new(),
            object: object.clone(),
            fetches: Vec::new(),
            sources: 0,
            by_source: Vec::new(),
            merger: Merger::default(),
            checker: Checker::default(),
        };
        for block in 0..BLOCKS {
            let shard = world.random.below(SHARDS - 1);
            world.shards[shard].owned.push(block);
            world.owners[block] = Owner::Shard(shard);
        }
        world
    }

    fn set(&self, blocks: &[usize]) -> SlotSet {
        blocks.iter().fold(SlotSet::new(), |set, block| set.union(&self.sets[*block]))
    }

    fn promise(&self, shard: usize) -> Version {
        Version::new(self.shards[shard].clock, PROMISE)
    }

    fn send(&mut self, shard: usize, events: Vec<Arc<Event>>, watermark: Version, slots: bool) {
        let slots = slots.then(|| Arc::new(self.set(&self.shards[shard].owned)));
        let dropped = self.lie == Some(Lie::Dropped) && self.random.chance(3);
        let events = if dropped { Vec::new() } else { events };
        let reordered = self.lie == Some(Lie::Reordered) && self.random.chance(10);
        let Some(stream) = &mut self.shards[shard].stream else { return };
        let delivery = Delivery { events, watermark, slots };
        if reordered { stream.queue.push_front(delivery) } else { stream.queue.push_back(delivery) }
    }

    /// Raises a clock as far as the shard's ceiling lets it be raised.
    fn raise(&mut self, shard: usize, to: u64) {
        let slack = self.random.below(40) as u64;
        let shard = &mut self.shards[shard];
        if !shard.fenced && to > shard.ceiling {
            shard.ceiling = to + slack;
        }
        shard.clock = shard.clock.max(to.min(shard.ceiling));
    }

    fn write(&mut self, shard: usize) {
        let mut events = Vec::new();
        for _ in 0..=self.random.below(3) {
            let owned = &self.shards[shard].owned;
            if owned.is_empty() {
                return;
            }
            let block = owned[self.random.below(owned.len())];
            if self.owners[block] != Owner::Shard(shard) {
                return; // fenced: the commit fails
            }
            let to = self.shards[shard].clock + 1 + self.random.below(5) as u64;
            self.raise(shard, to);
            if self.shards[shard].clock < to {
                break;
            }
            let version = Version::new(to, shard as u16);
            let slot = Slot(block as u16);
            let event = Event { version, slot, object: self.object.clone(), old: None, deleted: false };
            self.checker.commit(version, block);
            events.push(Arc::new(event));
        }
        self.events.extend(events.iter().cloned());
        let watermark = match (self.random.below(2), events.last()) {
            (0, Some(last)) => last.version,
            _ => self.promise(shard),
        };
        self.send(shard, events, watermark, false);
    }

    fn tick(&mut self, shard: usize) {
        let to = self.shards[shard].clock + self.random.below(20) as u64;
        self.raise(shard, to);
        self.send(shard, Vec::new(), self.promise(shard), false);
    }

    /// A slot leaves in an orderly way: it is announced first, then its floor is chosen.
    fn let_go(&mut self, block: usize) {
        let Owner::Shard(shard) = self.owners[block] else { return };
        if self.shards[shard].life != Life::Alive || self.shards[shard].fenced {
            return;
        }
        self.shards[shard].owned.retain(|have| *have != block);
        let watermark = match self.lie {
            Some(Lie::HighGoodbye) => Version::new(self.shards[shard].clock + 100, PROMISE),
            _ => self.promise(shard),
        };
        self.send(shard, Vec::new(), watermark, true);
        if self.random.chance(50) {
            self.tick(shard);
        }
        self.owners[block] = Owner::Nobody(self.shards[shard].clock + 1);
        // What the stream says from here on may pass the floor: the slot is not in it any more.
        self.tick(shard);
    }

    fn adopt(&mut self, block: usize, shard: usize) {
        let Owner::Nobody(floor) = self.owners[block] else { return };
        if self.shards[shard].life != Life::Alive || self.shards[shard].fenced {
            return;
        }
        self.owners[block] = Owner::Shard(shard);
        if !self.shards[shard].owned.contains(&block) {
            self.shards[shard].owned.push(block);
        }
        self.raise(shard, floor);
        self.send(shard, Vec::new(), self.promise(shard), true);
    }

    /// Others take a shard for dead: whether it is, it may find out later.
    fn fence(&mut self, shard: usize) {
        if self.shards[shard].fenced {
            return;
        }
        self.shards[shard].fenced = true;
        let start = if self.lie == Some(Lie::LowStart) { 1 } else { self.shards[shard].ceiling + 1 };
        for owner in &mut self.owners {
            if *owner == Owner::Shard(shard) {
                *owner = Owner::Nobody(start);
            }
        }
    }

    fn die(&mut self, shard: usize) {
        self.shards[shard].life = Life::Dead;
        // Some of what it sent is still on its way.
        if self.random.chance(50) {
            self.cut(shard);
        }
        self.fence(shard);
    }

    fn restart(&mut self, shard: usize) {
        self.cut(shard);
        self.fence(shard);
        let shard = &mut self.shards[shard];
        shard.life = Life::Alive;
        shard.fenced = false;
        shard.clock = shard.ceiling + 1;
        shard.ceiling = shard.clock;
        shard.owned.clear();
        if self.random.chance(50) {
            shard.resume = None;
        }
    }

    fn cut(&mut self, shard: usize) {
        if let Some(stream) = self.shards[shard].stream.take() {
            self.merger.broken(stream.id, &mut self.checker);
        }
    }

    fn open(&mut self, shard: usize) {
        if self.shards[shard].life != Life::Alive {
            return;
        }
        let asked = self.shards[shard].resume.or(Some(self.merger.mark()).filter(|mark| *mark > Version::ZERO));
        let floor = self.expired.min(self.promise(shard));
        let from = asked.filter(|from| *from >= floor).unwrap_or(floor);
        let watermark = self.promise(shard).max(from);
        let owned = self.shards[shard].owned.clone();
        let told = |event: &&Arc<Event>| owned.contains(&block_of(event.slot)) && event.version > from;
        let mut events: Vec<_> = self.events.iter().filter(told).filter(|e| e.version <= watermark).cloned().collect();
        events.sort_by_key(|event| event.version);
        // A second subscription under the same number ends the first.
        let again = self.shards[shard].stream.as_ref().filter(|_| self.random.below(4) == 0).map(|stream| stream.id);
        let id = again.unwrap_or_else(|| {
            self.sources += 1;
            self.by_source.push(shard);
            SourceId(self.sources - 1)
        });
        if again.is_none() {
            self.cut(shard);
        }
        let first = Delivery { events, watermark, slots: None };
        self.shards[shard].stream = Some(Stream { id, queue: VecDeque::from([first]) });
        self.shards[shard].resume = Some(from);
        let slots = Arc::new(self.set(&owned));
        self.merger.opened(id, from, slots, &mut self.checker);
    }

    /// Whether something was delivered.
    fn deliver(&mut self, shard: usize) -> bool {
        if self.shards[shard].life == Life::Paused {
            return false;
        }
        let dead = self.shards[shard].life == Life::Dead;
        let Some(stream) = &mut self.shards[shard].stream else { return false };
        let Some(delivery) = stream.queue.pop_front() else {
            if dead {
                self.cut(shard);
            }
            return dead;
        };
        let id = stream.id;
        self.shards[shard].resume = Some(delivery.watermark);
        self.merger.delivered(id, delivery, &mut self.checker);
        true
    }

    /// Moves one request for history on: first it is answered, then the answer arrives.
    fn fetch(&mut self, at: usize) -> bool {
        match self.fetches.swap_remove(at) {
            Fetched::Answered(id, Some(history)) => self.merger.answered(id, history, &mut self.checker),
            Fetched::Answered(id, None) => self.merger.expired(id, &mut self.checker),
            Fetched::Asked(id) => {
                let Some(fetch) = self.merger.fetch(id) else { return true };
                let shard = self.by_source[fetch.source.0 as usize];
                let blocks: Vec<usize> =
                    (0..BLOCKS).filter(|block| fetch.slots.contains(Slot(*block as u16))).collect();
                let owned = &self.shards[shard].owned;
                if self.shards[shard].life != Life::Alive || !blocks.iter().all(|block| owned.contains(block)) {
                    self.fetches.push(Fetched::Asked(id));
                    return false;
                }
                let answer = self.history(shard, &blocks, fetch.from);
                self.fetches.push(Fetched::Answered(id, answer.ok()));
            }
        }
        true
    }

    fn history(&mut self, shard: usize, blocks: &[usize], from: Version) -> Result<History, Status> {
        if from < self.expired.min(self.promise(shard)) {
            return Err(Status::expired("gone"));
        }
        let to = self.promise(shard).max(from);
        let told = |event: &&Arc<Event>| blocks.contains(&block_of(event.slot));
        let told = self.events.iter().filter(told).filter(|event| event.version > from && event.version <= to);
        let mut events: Vec<_> = told.cloned().collect();
        events.sort_by_key(|event| event.version);
        match self.lie {
            Some(Lie::EmptyHistory) => Ok(History { events: Vec::new(), to }),
            Some(Lie::ProudHistory) => Ok(History { events, to: Version(to.0 + (60 << 12)) }),
            _ => Ok(History { events, to }),
        }
    }

    fn advance(&mut self) -> bool {
        let (laggards, version) = self.merger.laggards();
        for id in &laggards {
            let shard = self.by_source[id.0 as usize];
            if self.shards[shard].life == Life::Alive && self.shards[shard].stream.as_ref().is_some_and(|s| s.id == *id)
            {
                self.raise(shard, version.micros());
                self.send(shard, Vec::new(), self.promise(shard), false);
            }
        }
        !laggards.is_empty()
    }

    fn forget(&mut self) {
        let newest = self.shards.iter().map(|shard| shard.clock).max().unwrap_or(0);
        let to = newest.saturating_sub(self.random.below(300) as u64);
        self.expired = self.expired.max(Version::new(to, PROMISE));
    }

    pub(super) fn step(&mut self) {
        let shard = self.random.below(SHARDS);
        let alive = self.shards[shard].life == Life::Alive;
        let block = self.random.below(BLOCKS);
        match self.random.below(100) {
            0..25 if alive => self.write(shard),
            25..35 if alive => self.tick(shard),
            35..65 => drop(self.deliver(shard)),
            65..72 if self.shards[shard].stream.is_none() => self.open(shard),
            72 => self.open(shard),
            73 => self.cut(shard),
            74..77 => self.let_go(block),
            77..82 => self.adopt(block, shard),
            82 => self.die(shard),
            83..85 if self.shards[shard].life == Life::Dead || self.shards[shard].fenced => self.restart(shard),
            85 if alive => self.shards[shard].life = Life::Paused,
            86..89 if self.shards[shard].life == Life::Paused => self.shards[shard].life = Life::Alive,
            89 if self.shards[shard].life == Life::Paused => self.fence(shard),
            90..95 if !self.fetches.is_empty() => {
                let at = self.random.below(self.fetches.len());
                self.fetch(at);
            }
            95..97 => drop(self.advance()),
            97 if self.random.chance(20) => self.forget(),
            98 if self.random.chance(20) => {
                if let Some(floor) = self.merger.shed(self.object.cost() * 4) {
                    self.checker.shed(floor);
                }
            }
            _ => {}
        }
        self.after();
    }

    fn after(&mut self) {
        self.fetches.extend(self.merger.wanted().into_iter().map(Fetched::Asked));
        self.checker.check(&self.merger);
    }

    /// Lets everything that is on its way arrive.
    fn drain(&mut self) {
        for _ in 0..200 {
            let mut moved = false;
            for shard in 0..SHARDS {
                if self.shards[shard].stream.is_none() && self.shards[shard].life == Life::Alive {
                    self.open(shard);
                    moved = true;
                }
                while self.deliver(shard) {
                    moved = true;
                }
            }
            self.after();
            for at in (0..self.fetches.len()).rev() {
                moved |= self.fetch(at);
            }
            moved |= self.advance();
            self.after();
            if !moved {
                return;
            }
        }
        self.checker.problem.get_or_insert_with(|| "it never comes to rest".into());
    }

    /// The end: first what lives goes on without what does not, then everything comes back.
    pub(super) fn finish(&mut self) {
        self.merger.show_again();
        self.drain();
        for block in 0..BLOCKS {
            let Owner::Shard(shard) = self.owners[block] else { continue };
            let covered = self.merger.covered(Slot(block as u16)).unwrap_or_default();
            if self.shards[shard].life == Life::Alive && covered < self.checker.last_of(block) {
                self.checker.problem.get_or_insert_with(|| format!("{block} waits, though its owner lives"));
            }
        }
        for shard in 0..SHARDS {
            if self.shards[shard].life != Life::Alive || self.shards[shard].fenced {
                self.restart(shard);
            }
        }
        for block in 0..BLOCKS {
            let shard = self.random.below(SHARDS);
            self.adopt(block, shard);
        }
        self.merger.show_again();
        self.drain();
        let last = self.events.iter().map(|event| event.version).max().unwrap_or_default();
        if self.merger.mark() < last || self.merger.holds() {
            let mark = self.merger.mark();
            self.checker.problem.get_or_insert_with(|| format!("the mark stays at {mark} below {last}"));
        }
        if !self.merger.unattached().is_empty() {
            self.checker.problem.get_or_insert_with(|| "slots are left that nobody tells of".into());
        }
    }
}
