//! Correct histories pass, and broken ones do not.
//!
//! A failing seed is repeated with `SHARDPLANE_SEED=…`.

mod model;
mod orders;
mod planted;
mod relaxed;
mod traffic;
mod watcher;

use std::time::Instant;

use self::traffic::{Size, run};
use crate::{History, Rules, check};

/// The seeds of a random test: `count` of them, or the one that the environment names.
fn seeds(count: u64) -> Vec<u64> {
    match std::env::var("SHARDPLANE_SEED") {
        Ok(seed) => vec![seed.parse().expect("SHARDPLANE_SEED is a number")],
        Err(_) => (1..=count).collect(),
    }
}

#[test]
fn correct_histories_pass() {
    for seed in seeds(150) {
        let mut size = Size::small();
        if seed % 3 == 0 {
            size.lost_answers = 0;
        }
        if seed % 5 == 0 {
            // Hot: everybody writes the same two objects, and answers are lost often.
            (size.keys, size.writers, size.lost_answers) = (2, 16, 4);
        }
        let verdict = check(&run(seed, None, size), Rules::default());
        assert!(verdict.is_fine(), "SHARDPLANE_SEED={seed}\n{verdict}");
    }
}

#[test]
fn a_history_survives_saving() {
    let history = run(7, None, Size::small());
    let mut text = Vec::new();
    history.save(&mut text).unwrap();
    assert_eq!(History::load(text.as_slice()).unwrap(), history);
    let broken =
        String::from_utf8(text).unwrap().replacen("{\"operation\":{\"client\":1", "{\"operation\":{\"klient\":1", 1);
    let error = History::load(broken.as_bytes()).unwrap_err().to_string();
    assert!(error.starts_with("line ") && error.contains("client"), "{error}");
    let unknown = History::load(
        "{\"told\":[3,{\"time\":1,\"told\":{\"bookmark\":{\"version\":1,\"initial_end\":false}}}]}".as_bytes(),
    );
    assert!(unknown.unwrap_err().to_string().contains("no watch 3"));
}

/// 100,000 operations are checked while one still watches the test run.
#[test]
#[expect(clippy::disallowed_methods, reason = "it measures")]
fn a_large_history_is_checked_in_seconds() {
    let size = Size { keys: 200, writers: 64, listers: 4, watchers: 40, steps: 520_000, lost_answers: 200 };
    let history = run(1, None, size);
    let start = Instant::now();
    let verdict = check(&history, Rules::default());
    eprintln!("{verdict} in {:?}", start.elapsed());
    assert!(verdict.is_fine(), "{verdict}");
    assert!(verdict.operations > 100_000, "{verdict}");
    assert!(start.elapsed().as_secs() < 120, "it took {:?}", start.elapsed());
}
