//! Is there an order of these operations on one object that respects their times and that an object could have had?
//!
//! The search takes, again and again, one of the operations that may come next: those that were invoked before any of the
//! others returned (Wing and Gong). What only looks is taken as soon as it fits, since it changes nothing; between what
//! changes the object the search branches, and it remembers where it has been (Lowe). Writes that may never have happened
//! and whose state nobody saw are all alike, but for the moment from which they can happen: only the earliest of each kind
//! is tried.

use api::Version;
use hashbrown::{HashMap, HashSet};

use crate::history::Micros;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Object {
    Absent,
    At(Version),
    /// There, as somebody wrote it whose answer was lost, and nobody saw it.
    Hidden,
}

/// What an operation finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Finds {
    Anything,
    Absent,
    Present,
    /// This version.
    At(Version),
    /// Another version than this.
    NotAt(Version),
}

impl Finds {
    pub(crate) fn fits(self, object: Object) -> bool {
        match self {
            Self::Anything => true,
            Self::Absent => object == Object::Absent,
            Self::Present => object != Object::Absent,
            Self::At(version) => object == Object::At(version),
            Self::NotAt(version) => object != Object::Absent && object != Object::At(version),
        }
    }
}

/// One operation on the object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) invoked: Micros,
    /// When it had happened for certain; `MAX`: that is open, and it may never have.
    pub(crate) returned: Micros,
    pub(crate) finds: Finds,
    /// `None`: it only looked.
    pub(crate) leaves: Option<Object>,
}

/// All that happened to one object.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    /// What certainly happened, by invocation.
    pub(crate) certain: Vec<Step>,
    /// What may have happened, by invocation.
    pub(crate) perhaps: Vec<Step>,
    /// Others may have deleted it at any time.
    pub(crate) free_deletions: bool,
    /// The known deletions between puts, as versions in one order: where the search expects them.
    pub(crate) deletions: Vec<Version>,
}

/// Where the search ended without success.
#[derive(Debug)]
pub(crate) struct Stuck {
    /// The longest order that was found, as positions in `certain`; `None`: something that may have happened.
    pub(crate) order: Vec<Option<usize>>,
    /// What came of it.
    pub(crate) object: Object,
    /// What may come next, and does not fit.
    pub(crate) waiting: Vec<usize>,
    /// Whether everything was tried.
    pub(crate) exhausted: bool,
}

/// How far a search may go.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// Whether writes of known versions must come in the order of these.
    pub(crate) in_order: bool,
    pub(crate) visits: usize,
}

#[derive(Clone, Copy, Debug)]
enum Choice {
    Certain(usize),
    /// The next of a kind of what may have happened.
    Perhaps(usize, Object),
    Free,
}

const NONE: usize = usize::MAX;

struct Search<'a> {
    steps: &'a Steps,
    limits: Limits,
    /// Those that are left, as a list over `certain`: the head at 0, and what follows `at` at `at + 1`.
    after: Vec<usize>,
    before: Vec<usize>,
    object: Object,
    /// Positions of certain puts by version, and how many were taken in that order.
    puts: Vec<usize>,
    taken_puts: usize,
    /// What may have happened, by kind, and how many of each kind were taken.
    kinds: Vec<Vec<usize>>,
    unconditional: Vec<usize>,
    /// By the version that they need.
    conditional: HashMap<Version, Vec<usize>>,
    taken_kinds: Vec<usize>,
    trail: Vec<(Choice, Object)>,
    mark: u128,
    been: HashSet<u128>,
}

struct Frame {
    choices: Vec<Choice>,
    next: usize,
    trail: usize,
}

/// Finds an order, or says where it is stuck.
pub(crate) fn search(steps: &Steps, limits: Limits) -> Result<(), Stuck> {
    let mut search = Search::new(steps, limits);
    let mut frames: Vec<Frame> = Vec::new();
    let mut best = Stuck { order: Vec::new(), object: Object::Absent, waiting: Vec::new(), exhausted: false };
    let mut visits = 0;
    loop {
        let window = search.look();
        if search.after[0] == NONE {
            return Ok(());
        }
        visits += 1;
        if search.trail.len() > best.order.len() || best.waiting.is_empty() {
            best.order = search.trail.iter().map(|(choice, _)| choice.certain()).collect();
            best.object = search.object;
            best.waiting.clone_from(&window);
        }
        let new = search.been.insert(search.place());
        let choices = if new { search.choices(&window) } else { Vec::new() };
        frames.push(Frame { choices, next: 0, trail: search.trail.len() });
        // The next choice of the newest frame that has one.
        loop {
            let Some(frame) = frames.last_mut() else { return Err(Stuck { exhausted: true, ..best }) };
            search.undo(frame.trail);
            if let Some(choice) = frame.choices.get(frame.next) {
                frame.next += 1;
                search.take(*choice);
                break;
            }
            frames.pop();
        }
        if visits >= limits.visits {
            return Err(best);
        }
    }
}

impl Choice {
    fn certain(self) -> Option<usize> {
        match self {
            Self::Certain(at) => Some(at),
            Self::Perhaps(..) | Self::Free => None,
        }
    }
}

impl<'a> Search<'a> {
    fn new(steps: &'a Steps, limits: Limits) -> Self {
        let count = steps.certain.len();
        let mut puts: Vec<usize> = (0..count).filter(|at| put_of(&steps.certain[*at]).is_some()).collect();
        puts.sort_by_key(|at| put_of(&steps.certain[*at]));
        let mut kinds: Vec<(Finds, Object, Vec<usize>)> = Vec::new();
        let mut kinds_by: HashMap<(Finds, Object), usize> = HashMap::new();
        for (at, step) in steps.perhaps.iter().enumerate() {
            let leaves = step.leaves.unwrap_or(Object::Hidden);
            let known = kinds_by.entry((step.finds, leaves)).or_insert(kinds.len());
            match kinds.get_mut(*known) {
                Some(kind) => kind.2.push(at),
                None => kinds.push((step.finds, leaves, vec![at])),
            }
        }
        let (mut unconditional, mut conditional): (Vec<usize>, HashMap<Version, Vec<usize>>) = Default::default();
        for (at, (finds, ..)) in kinds.iter().enumerate() {
            match finds {
                Finds::At(version) => conditional.entry(*version).or_default().push(at),
                _ => unconditional.push(at),
            }
        }
        let kinds: Vec<Vec<usize>> = kinds.into_iter().map(|kind| kind.2).collect();
        Self {
            steps,
            limits,
            after: (0..count).chain([NONE]).collect(),
            before: (0..=count).collect(),
            object: Object::Absent,
            puts,
            taken_puts: 0,
            taken_kinds: vec![0; kinds.len()],
            kinds,
            unconditional,
            conditional,
            trail: Vec::with_capacity(count),
            mark: 0,
            been: HashSet::new(),
        }
    }

    /// Takes everything that only looks and fits; what is left of those that may come next.
    fn look(&mut self) -> Vec<usize> {
        let mut window = Vec::new();
        loop {
            window.clear();
            let mut soonest = Micros::MAX;
            let mut at = self.after[0];
            while at != NONE && self.steps.certain[at].invoked < soonest {
                soonest = soonest.min(self.steps.certain[at].returned);
                window.push(at);
                at = self.after[at + 1];
            }
            let mut took = false;
            for at in &window {
                let step = &self.steps.certain[*at];
                if step.leaves.is_none() && step.finds.fits(self.object) {
                    self.take(Choice::Certain(*at));
                    took = true;
                }
            }
            if !took {
                return window;
            }
        }
    }

    /// The writes that fit, the likeliest first.
    fn choices(&self, window: &[usize]) -> Vec<Choice> {
        let expected = self.puts.get(self.taken_puts).map(|at| put_of(&self.steps.certain[*at]));
        let mut ranked: Vec<(u8, Option<Version>, Choice)> = Vec::new();
        let mut soonest = Micros::MAX;
        for at in window {
            let step = &self.steps.certain[*at];
            soonest = soonest.min(step.returned);
            let Some(leaves) = step.leaves else { continue };
            if !step.finds.fits(self.object) {
                continue;
            }
            let put = put_of(step);
            if put.is_some() && expected != Some(put) && self.limits.in_order {
                continue;
            }
            if leaves == Object::Absent && step.finds == Finds::Present {
                // Deletions without a precondition are alike: the one that returned first has the least time.
                let sooner = |other: &&usize| {
                    let other = &self.steps.certain[**other];
                    (other.leaves, other.finds) == (step.leaves, step.finds) && other.returned < step.returned
                };
                if window.iter().any(|other| sooner(&other)) {
                    continue;
                }
            }
            let rank = match leaves {
                Object::Absent => {
                    if self.expects_deletion(expected.flatten()) {
                        0
                    } else {
                        2
                    }
                }
                _ => 1,
            };
            ranked.push((rank, put, Choice::Certain(*at)));
        }
        ranked.sort_by_key(|(rank, put, _)| (*rank, *put));
        let mut choices: Vec<Choice> = ranked.into_iter().map(|(_, _, choice)| choice).collect();
        let here = match self.object {
            Object::At(version) => self.conditional.get(&version).map_or(&[][..], Vec::as_slice),
            Object::Absent | Object::Hidden => &[],
        };
        for kind in self.unconditional.iter().chain(here).copied() {
            let Some(at) = self.kinds[kind].get(self.taken_kinds[kind]) else { continue };
            let step = &self.steps.perhaps[*at];
            let leaves = step.leaves.unwrap_or(Object::Hidden);
            if step.invoked < soonest && step.finds.fits(self.object) && leaves != self.object {
                choices.push(Choice::Perhaps(kind, leaves));
            }
        }
        if self.steps.free_deletions && self.object != Object::Absent {
            choices.push(Choice::Free);
        }
        choices
    }

    /// Whether the log knows of a deletion between what the object is and the next put.
    fn expects_deletion(&self, next: Option<Version>) -> bool {
        let Object::At(version) = self.object else { return false };
        let at = self.steps.deletions.partition_point(|deletion| *deletion <= version);
        self.steps.deletions.get(at).is_some_and(|deletion| next.is_none_or(|next| *deletion < next))
    }

    fn take(&mut self, choice: Choice) {
        self.trail.push((choice, self.object));
        match choice {
            Choice::Certain(at) => {
                let (before, after) = (self.before[at], self.after[at + 1]);
                self.after[before] = after;
                if after != NONE {
                    self.before[after] = before;
                }
                self.mark ^= scatter(at as u64);
                let step = &self.steps.certain[at];
                if let Some(leaves) = step.leaves {
                    self.object = leaves;
                }
                if self.puts.get(self.taken_puts) == Some(&at) {
                    self.taken_puts += 1;
                }
            }
            Choice::Perhaps(kind, leaves) => {
                self.mark ^= scatter_taken(kind, self.taken_kinds[kind]);
                self.taken_kinds[kind] += 1;
                self.object = leaves;
            }
            Choice::Free => self.object = Object::Absent,
        }
    }

    fn undo(&mut self, trail: usize) {
        while self.trail.len() > trail {
            let Some((choice, object)) = self.trail.pop() else { return };
            match choice {
                Choice::Certain(at) => {
                    let (before, after) = (self.before[at], self.after[at + 1]);
                    self.after[before] = at;
                    if after != NONE {
                        self.before[after] = at + 1;
                    }
                    self.mark ^= scatter(at as u64);
                    if self.taken_puts > 0 && self.puts[self.taken_puts - 1] == at {
                        self.taken_puts -= 1;
                    }
                }
                Choice::Perhaps(kind, _) => {
                    self.taken_kinds[kind] -= 1;
                    self.mark ^= scatter_taken(kind, self.taken_kinds[kind]);
                }
                Choice::Free => {}
            }
            self.object = object;
        }
    }

    /// Where the search stands: what was taken, and what the object is.
    fn place(&self) -> u128 {
        let object = match self.object {
            Object::Absent => u64::MAX,
            Object::Hidden => u64::MAX - 1,
            Object::At(version) => version.0,
        };
        self.mark ^ scatter(object ^ 0xa5a5_a5a5_a5a5_a5a5)
    }
}

/// The version that a step writes.
fn put_of(step: &Step) -> Option<Version> {
    match step.leaves {
        Some(Object::At(version)) => Some(version),
        _ => None,
    }
}

fn scatter_taken(kind: usize, taken: usize) -> u128 {
    scatter(((kind as u64 + 1) << 40 | taken as u64) ^ 0x5bd1_e995_0000_0000)
}

/// 128 bits that look random: sets are compared by the sum of their members' bits, without ever being equal by chance.
fn scatter(value: u64) -> u128 {
    let mix = |seed: u64| {
        let mut mixed = value.wrapping_add(seed);
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    u128::from(mix(0x9e37_79b9_7f4a_7c15)) << 64 | u128::from(mix(0x1656_67b1_9e37_79f9))
}
