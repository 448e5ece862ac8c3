//! Clients of the model: writers, listers and watchers whose requests take time and meet each other.
//!
//! One of them is taken at random and goes on by one step: a request leaves, is executed, is answered. So everything that
//! can overlap does. A client may give up while its request is on its way, which then is executed later, or never.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Version;
use api::ambient::Clock;
use hashbrown::HashMap;

use super::model::{Bug, Random, Request, Server};
use super::watcher::Watcher;
use crate::history::{
    At, Call, ClientLog, History, Item, Key, KeyId, Listed, OpenList, Outcome, Recorder, Scope, Verb,
};
use crate::history::{State, WriteId};

/// How much of everything.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    pub(super) keys: usize,
    pub(super) writers: usize,
    pub(super) listers: usize,
    pub(super) watchers: usize,
    pub(super) steps: usize,
    /// One answer in so many is lost; 0: none.
    pub(super) lost_answers: u64,
}

impl Size {
    pub(super) fn small() -> Self {
        Self { keys: 8, writers: 6, listers: 2, watchers: 6, steps: 3000, lost_answers: 15 }
    }
}

/// A clock that stands still unless it is moved.
#[derive(Default)]
struct Hand(AtomicU64);

impl Clock for Hand {
    fn wall_micros(&self) -> i64 {
        0
    }

    fn boot(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }
}

enum Doing {
    Nothing,
    Asked(Call, Request),
    Answered(Call, Request, Outcome),
}

struct Writer {
    log: ClientLog,
    doing: Doing,
    known: HashMap<KeyId, Version>,
}

enum Reading {
    Nothing,
    Asked(OpenList),
    Answered(OpenList, Version, Vec<Item>),
}

struct Lister {
    log: ClientLog,
    scope: Scope,
    reading: Reading,
    /// What later pages will hold.
    rest: Option<(Version, Vec<Item>)>,
}

pub(super) struct World {
    pub(super) server: Server,
    pub(super) random: Random,
    pub(super) keys: Vec<Key>,
    size: Size,
    writers: Vec<Writer>,
    listers: Vec<Lister>,
    watchers: Vec<Watcher>,
    /// Requests whose clients have given up.
    limbo: Vec<Request>,
}

const TERMS: [&str; 2] = ["group=a", "size=big"];

/// A whole run.
pub(super) fn run(seed: u64, bug: Option<Bug>, size: Size) -> History {
    let clock = Arc::new(Hand::default());
    let recorder = Recorder::new(clock.clone(), TERMS.map(str::to_owned).to_vec());
    let mut world = World::new(seed, bug, size, &recorder);
    for _ in 0..size.steps {
        clock.0.fetch_add(world.random.below(40), Ordering::Relaxed);
        world.step();
    }
    world.finish(&recorder);
    recorder.history()
}

impl World {
    fn new(seed: u64, bug: Option<Bug>, size: Size, recorder: &Recorder) -> Self {
        let key = |number: usize| Key {
            cluster: "default".into(),
            resource: "configmaps".into(),
            namespace: ["red", "green"][number % 2].into(),
            name: format!("map-{number}").into(),
        };
        let keys: Vec<Key> = (0..=size.keys).map(key).collect();
        for key in &keys {
            recorder.key(key);
        }
        let all = Scope::all("default", "configmaps");
        let scope = |number: usize| match number % 5 {
            0 => all.clone(),
            1 => all.clone().within("red"),
            2 => Scope { tags: 1, ..all.clone() },
            3 => Scope { tags: 2, ..all.clone().within("green") },
            _ => Scope { name: "map-1".into(), ..all.clone() },
        };
        let writer = |_| Writer { log: recorder.client(), doing: Doing::Nothing, known: HashMap::new() };
        let lister =
            |number| Lister { log: recorder.client(), scope: scope(number), reading: Reading::Nothing, rest: None };
        Self {
            server: Server::new(seed, bug),
            random: Random(seed ^ 0xfeed),
            size,
            writers: (0..size.writers).map(writer).collect(),
            listers: (0..size.listers).map(lister).collect(),
            watchers: (0..size.watchers).map(|number| Watcher::new(recorder.client(), scope(number))).collect(),
            limbo: Vec::new(),
            keys,
        }
    }

    fn step(&mut self) {
        let (writers, listers, watchers) =
            (self.writers.len() as u64, self.listers.len() as u64, self.watchers.len() as u64);
        let at = self.random.below(writers + listers + watchers + 1);
        if at < writers {
            self.write(at as usize);
        } else if at < writers + listers {
            self.list((at - writers) as usize);
        } else if at < writers + listers + watchers {
            let watcher = &mut self.watchers[(at - writers - listers) as usize];
            watcher.step(&mut self.server, &mut self.random, &self.keys);
        } else {
            self.background();
        }
    }

    /// What happens without a client that waits.
    fn background(&mut self) {
        if !self.limbo.is_empty() && self.random.chance(2) {
            let at = self.random.below(self.limbo.len() as u64) as usize;
            let request = self.limbo.swap_remove(at);
            if self.random.chance(2) {
                self.server.execute(request);
            }
        }
        if self.random.chance(20) {
            self.server.forget_phantoms();
        }
        // An object that none of the clients writes.
        let foreign = KeyId(self.size.keys as u32);
        let digest = self.random.next();
        self.server.put(foreign, State { digest, tags: 1, write: WriteId(0) });
    }

    fn request(&mut self, at: usize) -> Request {
        let key = KeyId(self.random.below(self.size.keys as u64) as u32);
        let writer = &self.writers[at];
        let known = writer.known.get(&key).copied();
        let of = if self.random.chance(2) { known } else { None };
        let verb = match self.random.below(10) {
            0 | 1 => Verb::Create,
            2 | 3 => Verb::Update(of),
            4 | 5 => Verb::Patch(of),
            6 => Verb::Delete(of),
            _ => Verb::Get,
        };
        let writes = !matches!(verb, Verb::Delete(_) | Verb::Get);
        let write = if writes { writer.log.write_id() } else { WriteId(0) };
        Request { key, verb, write, tags: self.random.below(4) }
    }

    fn write(&mut self, at: usize) {
        match std::mem::replace(&mut self.writers[at].doing, Doing::Nothing) {
            Doing::Nothing => {
                let request = self.request(at);
                let writer = &mut self.writers[at];
                let call = writer.log.invoke(request.key, request.verb, request.write);
                writer.doing = Doing::Asked(call, request);
            }
            Doing::Asked(call, request) => {
                let lost = self.size.lost_answers > 0 && self.random.chance(self.size.lost_answers);
                if lost {
                    let writer = &mut self.writers[at];
                    if self.random.chance(4) {
                        writer.log.returned(call, Outcome::NotExecuted);
                    } else {
                        self.limbo.push(request);
                        writer.log.returned(call, Outcome::Unknown);
                    }
                    return;
                }
                let mut outcome = self.server.execute(request);
                if self.server.wrong(Bug::ExecutedTwice, 5) {
                    self.server.execute(request);
                }
                if self.size.lost_answers > 0 && self.random.chance(self.size.lost_answers) {
                    outcome = Outcome::Unknown;
                }
                self.writers[at].doing = Doing::Answered(call, request, outcome);
            }
            Doing::Answered(call, request, outcome) => {
                let writer = &mut self.writers[at];
                if let Outcome::Done { version, .. } = outcome {
                    writer.known.insert(request.key, version);
                }
                writer.log.returned(call, outcome);
            }
        }
    }

    fn list(&mut self, at: usize) {
        let lister = &mut self.listers[at];
        match std::mem::replace(&mut lister.reading, Reading::Nothing) {
            Reading::Nothing => {
                lister.rest = None;
                lister.reading = Reading::Asked(lister.log.list(lister.scope.clone(), At::Latest));
            }
            Reading::Asked(open) => {
                let torn = self.server.wrong(Bug::TornPages, 1);
                let (version, items) = match lister.rest.take() {
                    Some((version, _)) if torn => {
                        // As it is now, under the version of then.
                        let (_, now) = self.server.list(&lister.scope, &self.keys);
                        (version, now.into_iter().skip(2).collect())
                    }
                    Some(rest) => rest,
                    None => self.server.list(&lister.scope, &self.keys),
                };
                lister.reading = Reading::Answered(open, version, items);
            }
            Reading::Answered(open, version, mut items) => {
                let rest = items.split_off(items.len().min(2));
                let more = !rest.is_empty();
                let next = lister.log.listed(open, Listed::Page { version, items, more });
                if let Some(next) = next {
                    lister.rest = Some((version, rest));
                    lister.reading = Reading::Asked(next);
                }
            }
        }
    }

    /// Lets everything come to its end, and looks at what is left.
    fn finish(&mut self, recorder: &Recorder) {
        for at in 0..self.writers.len() {
            while !matches!(self.writers[at].doing, Doing::Nothing) {
                self.write(at);
            }
        }
        self.server.forget_phantoms();
        self.server.crash();
        let bug = self.server.bug.take();
        let mut log = recorder.client();
        let scope = Scope::all("default", "configmaps");
        let open = log.last_list(scope.clone());
        let (version, items) = self.server.list(&scope, &self.keys);
        log.listed(open, Listed::Page { version, items, more: false });
        self.server.bug = bug;
        for watcher in &mut self.watchers {
            watcher.finish(&mut self.server, &mut self.random, &self.keys);
        }
    }
}
