//! What happens to the world, and when: chosen by the seed before it begins to happen.

use crate::Bug;
use crate::net::{GATEWAYS, Net, SHARDS, STORE, TICK, Weather};
use crate::process::{Blow, Fate};
use crate::shard::TIMING;

/// Something that the world does to itself.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A process ends, as under SIGKILL, and starts again after so many microseconds.
    Crash(usize, u64),
    /// … at a commit.
    Doom(usize, Fate),
    /// A process stands still, as under SIGSTOP.
    Freeze(usize, u64),
    /// A shard leaves, as under SIGTERM, and comes back after so many microseconds.
    Leave(usize, u64),
    /// Links are cut, or mended.
    Cut(Vec<(usize, usize)>, bool),
    /// The network gets worse or better.
    Weather(Weather),
    /// A wall clock goes wrong by so many microseconds.
    Skew(usize, i64),
    /// The store's machine crashes, and is back after so many microseconds.
    StoreCrash(u64),
    /// An administrator pins slots to a shard, or takes pins away.
    Pin {
        /// Which slots, by number.
        slots: Vec<u16>,
        /// To whom.
        to: Option<(u16, bool)>,
    },
}

/// The longest pause: some leases.
fn pause(net: &Net) -> u64 {
    net.below(3 * TIMING.ttl.as_micros() as u64)
}

/// Faults within so many microseconds.
pub(crate) fn plan(net: &Net, within: u64) -> Vec<(u64, Step)> {
    let mut steps = Vec::new();
    for _ in 0..3 + net.below(7) {
        let at = net.below(within);
        one(net, at, &mut steps);
    }
    if net.bug == Bug::LeaseIgnored {
        // Whoever cannot reach the store does not hear that others have its slots.
        let (at, links) = (net.below(within / 2), vec![(1, STORE), (STORE, 1)]);
        steps.push((at, Step::Cut(links.clone(), true)));
        steps.push((at + 4 * TIMING.ttl.as_micros() as u64, Step::Cut(links, false)));
    }
    steps
}

fn one(net: &Net, at: u64, steps: &mut Vec<(u64, Step)>) {
    let shard = net.below(SHARDS as u64) as usize;
    let gateway = SHARDS + net.below(GATEWAYS as u64) as usize;
    let step = match net.below(16) {
        0 => Step::Crash(shard, pause(net)),
        1..4 => {
            let blow = if net.one_in(2) { Blow::Crash } else { Blow::Freeze(pause(net)) };
            Step::Doom(shard, Fate { commits: net.below(6), before: net.one_in(2), blow })
        }
        4 | 5 => Step::Freeze(shard, pause(net)),
        6 | 7 => Step::Leave(shard, pause(net)),
        8..11 => {
            let links = links(net, shard, gateway);
            steps.push((at + pause(net), Step::Cut(links.clone(), false)));
            Step::Cut(links, true)
        }
        11 => {
            let weather = Weather { resets: net.below(150), slow: net.below(30) };
            steps.push((at + pause(net), Step::Weather(Weather::default())));
            Step::Weather(weather)
        }
        12 => Step::Skew(shard, net.below(10_000_000) as i64 - 5_000_000),
        13 => Step::StoreCrash(50 * TICK + net.below(200_000)),
        14 if net.one_in(2) => Step::Crash(gateway, pause(net)),
        14 => Step::Freeze(gateway, pause(net)),
        _ => {
            let slots = (0..1 + net.below(4)).map(|_| net.below(u64::from(api::slot::in_use())) as u16).collect();
            let to = (!net.one_in(3)).then(|| (net.below(SHARDS as u64) as u16, net.one_in(4)));
            Step::Pin { slots, to }
        }
    };
    steps.push((at, step));
}

/// Links that are cut together, in one direction or both.
fn links(net: &Net, shard: usize, gateway: usize) -> Vec<(usize, usize)> {
    let both = |a, b| vec![(a, b), (b, a)];
    let other = (shard + 1 + net.below(SHARDS as u64 - 1) as usize) % SHARDS;
    match net.below(7) {
        0 | 1 => both(shard, STORE),
        2 => both(gateway, shard),
        3 => vec![if net.one_in(2) { (gateway, shard) } else { (shard, gateway) }],
        4 => both(shard, other),
        5 => vec![(STORE, shard)],
        // All but the store, or all.
        _ => {
            let end = if net.one_in(2) { STORE } else { STORE + 1 };
            (0..end).filter(|place| *place != shard).flat_map(|place| both(shard, place)).collect()
        }
    }
}
