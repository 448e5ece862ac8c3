//! Thousands of little worlds, each from a seed: slots move, shards die, pause and come back, streams break, answers are
//! late. `SHARDPLANE_SEED=…` runs one of them.

mod checker;
mod world;

use std::sync::Arc;

use api::builtin::{RuntimeConfig, registry};
use api::object::Draft;
use api::slot::SlotSet;
use api::{Object, Version};
use serde_json::json;

use checker::{BLOCKS, slots_of};
use world::{Lie, World};

const STEPS: usize = 250;

/// What all worlds share.
type Given = (Arc<Object>, [SlotSet; BLOCKS]);

fn given() -> Given {
    let registry = registry(&RuntimeConfig::default());
    let resource = registry.named("configmaps").unwrap();
    let object = Draft::new(resource, &json!({ "metadata": { "name": "a", "namespace": "b" } })).seal(Version(1));
    (Arc::new(object), std::array::from_fn(slots_of))
}

fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SHARDPLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDPLANE_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

/// What went wrong under a seed, and how many slots lost some of their past (which is allowed, and should be rare).
fn run(seed: u64, lie: Option<Lie>, given: &Given) -> (Option<String>, usize) {
    let mut world = World::new(seed, lie, &given.0, &given.1);
    for step in 0..STEPS {
        world.step();
        if lie.is_none() && step % 50 == 0 {
            world.merger.consistency_check();
        }
        if world.checker.problem.is_some() {
            break;
        }
    }
    if world.checker.problem.is_none() {
        world.finish();
    }
    (world.checker.problem, world.checker.gaps)
}

#[test]
fn nothing_is_missing_repeated_or_out_of_order() {
    let given = given();
    let mut gaps = 0;
    for seed in seeds(800) {
        let (problem, lost) = run(seed, None, &given);
        assert_eq!(problem, None, "SHARDPLANE_SEED={seed}");
        gaps += lost;
    }
    eprintln!("{gaps} times some past was lost");
}

#[test]
fn the_checks_find_what_is_wrong() {
    let given = given();
    for lie in [Lie::EmptyHistory, Lie::ProudHistory, Lie::HighGoodbye, Lie::LowStart, Lie::Dropped, Lie::Reordered] {
        let found = (1..2000).find_map(|seed| run(seed, Some(lie), &given).0);
        assert!(found.is_some(), "{lie:?} is not noticed");
        eprintln!("{lie:?}: {}", found.unwrap_or_default());
    }
}
