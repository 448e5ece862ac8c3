//! Every bug that is planted is caught, by the guarantee that it breaks.

use super::model::Bug;
use super::seeds;
use super::traffic::{Size, run};
use crate::Guarantee::{self, *};
use crate::{Rules, check};

/// In each of many seeds the bug breaks one of these guarantees, and nothing outside `also`.
fn catches(bug: Bug, wanted: &[Guarantee]) {
    let mut found = 0;
    let seeds = seeds(10);
    for seed in &seeds {
        let verdict = check(&run(*seed, Some(bug), Size::small()), Rules::default());
        let caught = wanted.iter().any(|guarantee| verdict.broken(*guarantee) > 0);
        assert!(caught || verdict.is_fine(), "SHARDPLANE_SEED={seed} {bug:?} is called something else: {verdict}");
        if caught {
            found += 1;
            let shown = verdict.violations.iter().find(|violation| wanted.contains(&violation.guarantee)).unwrap();
            assert!(!shown.excerpt.is_empty(), "{verdict}");
            eprintln!("{bug:?}, seed {seed}: {shown}");
        }
    }
    assert!(found * 10 >= seeds.len() * 9, "{bug:?} was caught in {found} of {} histories", seeds.len());
}

#[test]
fn no_fencing() {
    catches(Bug::NoFencing, &[Linearizable, OneSuccessor]);
}

#[test]
fn publish_before_commit() {
    catches(Bug::PublishBeforeCommit, &[ReadsCommitted]);
}

#[test]
fn a_dropped_event() {
    catches(Bug::DroppedEvent, &[WatchReliable]);
    catches(Bug::SilentLeave, &[WatchReliable]);
}

#[test]
fn a_repeated_event() {
    catches(Bug::RepeatedEvent, &[WatchUnique]);
    catches(Bug::EventFromTheList, &[WatchUnique]);
}

#[test]
fn reordered_events() {
    catches(Bug::ReorderedEvents, &[WatchOrdered]);
}

#[test]
fn a_reused_version() {
    catches(Bug::ReusedVersion, &[VersionUnique]);
}

#[test]
fn a_version_that_goes_back_after_failover() {
    catches(Bug::VersionBack, &[VersionOrder]);
}

#[test]
fn a_lost_acknowledged_write() {
    catches(Bug::LostAcknowledged, &[Durable]);
    catches(Bug::LostTail, &[Durable]);
    catches(Bug::LostInCrash, &[Durable]);
}

#[test]
fn a_stale_read() {
    catches(Bug::StaleRead, &[ReadsFresh]);
}

#[test]
fn a_stale_list() {
    catches(Bug::StaleList, &[ListFresh]);
}

#[test]
fn a_torn_list() {
    catches(Bug::TornList, &[ListCut]);
    catches(Bug::TornPages, &[ListPages]);
}

#[test]
fn a_lying_bookmark() {
    catches(Bug::LyingBookmark, &[WatchBookmarkable]);
}

#[test]
fn a_deletion_with_another_state() {
    catches(Bug::WrongDeleted, &[WatchDeleted]);
}

#[test]
fn a_change_of_the_wrong_type() {
    catches(Bug::WrongType, &[WatchTyped]);
}

#[test]
fn a_gap_after_resumption() {
    catches(Bug::ResumptionGap, &[WatchResumable]);
}

#[test]
fn a_write_that_happens_twice() {
    catches(Bug::ExecutedTwice, &[ExecutedOnce]);
}

#[test]
fn a_refused_write_that_happens() {
    catches(Bug::RefusedButDone, &[ReadsCommitted]);
}

#[test]
fn an_object_under_the_name_of_another() {
    catches(Bug::MixedUp, &[VersionUnique]);
}

#[test]
fn two_contents_of_one_version() {
    catches(Bug::TwoContents, &[WatchAtomic]);
}
