//! What happens to the world, and when: chosen by the seed before it begins to happen.

use std::time::Duration;

use ::store::testing::Dice;
use simulation::{SLOTS, TIMING};

use crate::setup::{CLIENTS, GATEWAYS, SHARDS, STORE, gateway, shard};

/// Links between hosts that share a fate.
pub(crate) type Links = Vec<(String, String)>;

/// Something that the world does to itself.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// A process is killed, and starts again after that time.
    Kill(String, Duration),
    /// A machine loses its power, and is back after that time: nobody is told that its connections are gone.
    PowerCut(String, Duration),
    /// A shard leaves, as under SIGTERM, and comes back after that time.
    Leave(u16, Duration),
    /// What is said on links is lost, in both directions.
    Cut(Links),
    /// … from the first to the second.
    CutOneWay(Links),
    /// What is said on links waits.
    Hold(Links),
    /// Of a thousand messages on links so many break the link for a moment: what is under way is lost.
    Loss(Links, u32),
    /// Messages on links take up to that long.
    Slow(Links, Duration),
    /// Links are as they were.
    Mend(Links),
    /// An administrator pins slots to a shard, or takes pins away.
    Pin {
        /// Which slots, by number.
        slots: Vec<u16>,
        /// To whom, and whether it is to have no others.
        to: Option<(u16, bool)>,
    },
}

/// Faults within a time.
pub(crate) fn plan(dice: &mut Dice, within: Duration) -> Vec<(Duration, Step)> {
    let mut steps = Vec::new();
    for _ in 0..3 + dice.below(6) {
        let at = up_to(dice, within);
        one(dice, at, &mut steps);
    }
    steps
}

fn up_to(dice: &mut Dice, most: Duration) -> Duration {
    Duration::from_micros(dice.below(most.as_micros() as u64))
}

fn any_shard(dice: &mut Dice) -> u16 {
    dice.below(u64::from(SHARDS)) as u16
}

fn any_gateway(dice: &mut Dice) -> String {
    gateway(dice.below(u64::from(GATEWAYS)) as u16)
}

fn one(dice: &mut Dice, at: Duration, steps: &mut Vec<(Duration, Step)>) {
    // Some leases.
    let time = up_to(dice, 3 * TIMING.ttl);
    let step = match dice.below(15) {
        0..5 => {
            let (host, time) = match dice.below(5) {
                0 => (STORE.to_owned(), Duration::from_millis(50) + time / 4),
                1 => (any_gateway(dice), time),
                _ => (shard(any_shard(dice)), time),
            };
            if dice.below(2) == 0 { Step::Kill(host, time) } else { Step::PowerCut(host, time) }
        }
        5 => Step::Leave(any_shard(dice), time),
        6 => {
            let slots = (0..1 + dice.below(4)).map(|_| dice.below(u64::from(SLOTS)) as u16).collect();
            let to = (dice.below(3) > 0).then(|| (any_shard(dice), dice.below(4) == 0));
            Step::Pin { slots, to }
        }
        kind => {
            let links = links(dice);
            steps.push((at + time, Step::Mend(links.clone())));
            match kind {
                7..9 => Step::Cut(links),
                9 => Step::CutOneWay(links),
                10..12 => Step::Hold(links),
                12 | 13 => Step::Loss(links, 1 + dice.below(20) as u32),
                _ => Step::Slow(links, Duration::from_millis(50 + dice.below(400))),
            }
        }
    };
    steps.push((at, step));
}

/// Links that share a fate.
fn links(dice: &mut Dice) -> Links {
    let one = any_shard(dice);
    let (here, there) = (shard(one), any_gateway(dice));
    let other = shard((one + 1 + dice.below(u64::from(SHARDS) - 1) as u16) % SHARDS);
    match dice.below(9) {
        0 | 1 => vec![(here, STORE.to_owned())],
        2 => vec![(STORE.to_owned(), here)],
        3 => vec![(there, here)],
        4 => vec![(here, there)],
        5 => vec![(here, other)],
        6 => vec![(CLIENTS.to_owned(), there)],
        // All but the store, or all.
        draw => {
            let mut all: Vec<String> = (0..SHARDS).map(shard).filter(|other| *other != here).collect();
            all.extend((0..GATEWAYS).map(gateway));
            all.extend((draw == 8).then(|| STORE.to_owned()));
            all.into_iter().map(|to| (here.clone(), to)).collect()
        }
    }
}
