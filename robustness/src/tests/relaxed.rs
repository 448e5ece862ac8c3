//! Kinds that are acknowledged early: what a crash may take, and what it may not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::Version;
use api::ambient::Clock;

use super::model::Random;
use super::seeds;
use crate::history::{At, Change, History, Item, Key, Listed, Outcome, Recorder, Scope, Start, State, Verb};
use crate::{Guarantee, Rules, Verdict, check};

/// What is wrong with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bug {
    /// A crash takes what is older than the bound.
    LosesOld,
    /// It loses something without a crash.
    LosesWithoutCrash,
    /// A watch tells of what is not durable yet.
    TellsEarly,
    /// A list shows it.
    ListsEarly,
    /// A strict kind is acknowledged early.
    Strict,
}

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

const FLUSH: u64 = 200_000;

type Held = Option<(Version, State)>;

/// One Lease, one writer, one watcher: a write each 20 ms, durable at the next flush; a crash now and then.
fn run(seed: u64, bug: Option<Bug>) -> History {
    let (clock, mut random) = (Arc::new(Hand::default()), Random(seed));
    let recorder = Recorder::new(clock.clone(), Vec::new());
    let (resource, namespace) = if bug == Some(Bug::Strict) { ("secrets", "a") } else { ("leases", "kube-node-lease") };
    let name = Key {
        cluster: "default".into(),
        resource: resource.into(),
        namespace: namespace.into(),
        name: "node-1".into(),
    };
    let key = recorder.key(&name);
    let scope = Scope::all("default", resource);
    let (mut client, mut watcher) = (recorder.client(), recorder.client());
    let watch = watcher.watch(scope.clone(), Start::List(Version::ZERO));
    let mut version = 0;
    let (mut early, mut durable, mut old): (Held, Held, Held) = (None, None, None);
    let mut untold: Vec<(Change, Version, State)> = Vec::new();
    let (mut flushed, mut aged) = (0, 0);
    for step in 1..600_u64 {
        let now = clock.0.fetch_add(20_000, Ordering::Relaxed);
        if now - flushed > FLUSH {
            (durable, flushed) = (early, now);
            for (change, version, state) in untold.drain(..) {
                watcher.event(&watch, change, key, version, state);
            }
        }
        if now - aged > 4_000_000 {
            (old, aged) = (durable, now);
        }
        if step % 130 == 0 {
            if bug != Some(Bug::LosesWithoutCrash) {
                recorder.crash();
            }
            early = if bug == Some(Bug::LosesOld) { old } else { durable };
            durable = early;
            untold.clear();
        }
        if random.chance(4) {
            let call = client.invoke(key, Verb::Get, Default::default());
            let outcome = early.map_or(Outcome::NotFound, |(version, state)| Outcome::Done { version, state });
            client.returned(call, outcome);
        } else {
            let write = client.write_id();
            let (verb, change) = match early {
                None => (Verb::Create, Change::Added),
                Some((of, _)) => (Verb::Update(random.chance(2).then_some(of)), Change::Modified),
            };
            let call = client.invoke(key, verb, write);
            version += 16;
            let state = State { digest: write.0, tags: 0, write };
            early = Some((Version(version), state));
            client.returned(call, Outcome::Done { version: Version(version), state });
            match bug {
                Some(Bug::TellsEarly) => watcher.event(&watch, change, key, Version(version), state),
                _ => untold.push((change, Version(version), state)),
            }
        }
        if random.chance(10) {
            let open = client.list(scope.clone(), At::Latest);
            if bug != Some(Bug::ListsEarly) {
                // Lists wait until what is pending is durable.
                (durable, flushed) = (early, now);
                for (change, version, state) in untold.drain(..) {
                    watcher.event(&watch, change, key, version, state);
                }
            }
            listed(&mut client, open, key, early, version);
        }
    }
    let open = client.last_list(scope);
    listed(&mut client, open, key, early, version);
    recorder.history()
}

fn listed(
    client: &mut crate::history::ClientLog,
    open: crate::history::OpenList,
    key: crate::history::KeyId,
    held: Held,
    clock: u64,
) {
    let items = held.map(|(version, state)| Item { key, version, state }).into_iter().collect();
    assert!(client.listed(open, Listed::Page { version: Version(clock), items, more: false }).is_none());
}

fn verdict(seed: u64, bug: Option<Bug>) -> Verdict {
    check(&run(seed, bug), Rules::default())
}

#[test]
fn a_crash_takes_what_is_younger_than_the_bound() {
    for seed in seeds(40) {
        let verdict = verdict(seed, None);
        assert!(verdict.is_fine(), "SHARDPLANE_SEED={seed}\n{verdict}");
    }
}

#[test]
fn and_nothing_else() {
    use Guarantee::*;
    let any = [Durable, ReadsFresh, ReadsForward, ReadsCommitted, ListFresh, ListCut, WatchReliable, Linearizable];
    for bug in [Bug::LosesOld, Bug::LosesWithoutCrash, Bug::TellsEarly, Bug::ListsEarly, Bug::Strict] {
        let caught = |seed: &u64| any.iter().any(|guarantee| verdict(*seed, Some(bug)).broken(*guarantee) > 0);
        let (seeds, found) = (seeds(20), seeds(20).iter().filter(|seed| caught(seed)).count());
        assert!(found * 10 >= seeds.len() * 7, "{bug:?} was caught in {found} of {} histories", seeds.len());
    }
}
