//! One thing at a time: a start, a death, a shutdown, a clock that is wrong, a store that is away.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::slot::{Slot, SlotSet};
use tokio::time::Instant;

use super::model::SLOTS;
use super::node::{Bug, Hall, Node};
use super::world::process;
use crate::membership::directory::Directory;
use crate::membership::pins::pin;
use crate::membership::{MapSource, Pin, Roster};

async fn directory(hall: &Hall) -> Directory {
    Directory::read_of(&hall.arena.store, SLOTS).await.unwrap()
}

/// How many slots each of the first ordinals serves.
fn served(hall: &Hall) -> [usize; 4] {
    let mut served = [0; 4];
    for slot in (0..SLOTS).map(Slot) {
        hall.arena.believers(slot).iter().for_each(|ordinal| served[usize::from(*ordinal)] += 1);
    }
    served
}

/// Waits until something is as it should be; answers how long that took.
async fn until(what: &str, mut is: impl FnMut() -> bool) -> Duration {
    let began = Instant::now();
    while !is() {
        assert!(began.elapsed() < Duration::from_secs(30), "it does not come: {what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    began.elapsed()
}

fn all_served(hall: &Hall) -> bool {
    served(hall).iter().sum::<usize>() == usize::from(SLOTS)
}

/// That many processes, each with what it should have.
async fn running(count: u64) -> (Arc<Hall>, Vec<Node>) {
    let hall = Hall::new(7, Bug::None);
    let nodes: Vec<Node> = (0..count).map(|number| Node::new(&hall, number)).collect();
    for (number, node) in nodes.iter().enumerate() {
        node.start(Some(number as u16));
    }
    let balanced = || all_served(&hall) && served(&hall).iter().take(count as usize).all(|served| *served > 0);
    until("everybody has something", balanced).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(balanced());
    (hall, nodes)
}

fn ended(hall: &Hall, nodes: &[Node]) {
    hall.arena.check();
    assert_eq!(hall.arena.violations(), Vec::<String>::new());
    nodes.iter().for_each(Node::kill);
}

#[tokio::test(start_paused = true)]
async fn a_dead_members_slots_are_served_again_within_three_seconds() {
    let mut worst = Duration::ZERO;
    for round in 0..10 {
        let (hall, nodes) = running(3).await;
        tokio::time::sleep(Duration::from_millis(round * 41)).await;
        nodes[1].kill();
        assert!(!all_served(&hall));
        worst = worst.max(until("its slots are served", || all_served(&hall)).await);
        assert_eq!(served(&hall)[1], 0);
        ended(&hall, &nodes);
    }
    println!("after a death its slots are served again within {worst:?}");
    assert!(worst < Duration::from_millis(2200), "{worst:?}");
}

#[tokio::test(start_paused = true)]
async fn slots_move_to_one_that_comes_without_a_long_stop() {
    let (hall, mut nodes) = running(2).await;
    let before = served(&hall);
    nodes.push(Node::new(&hall, 2));
    nodes[2].start(Some(2));
    let began = Instant::now();
    let mut stopped = vec![Duration::ZERO; usize::from(SLOTS)];
    let (mut last, mut longest) = (Instant::now(), Duration::ZERO);
    while began.elapsed() < Duration::from_secs(3) {
        tokio::time::sleep(Duration::from_millis(1)).await;
        let step = last.elapsed();
        last = Instant::now();
        for slot in (0..SLOTS).map(Slot) {
            let stop = &mut stopped[usize::from(slot.0)];
            *stop = if hall.arena.believers(slot).is_empty() { *stop + step } else { Duration::ZERO };
            longest = longest.max(*stop);
        }
    }
    let after = served(&hall);
    assert!(after[2] > 0 && before[0] + before[1] == after.iter().sum::<usize>(), "{after:?}");
    println!("no slot was without a server for longer than {longest:?}");
    // Some twelve messages of up to 6 ms each way: the model's store and network are slow ones.
    assert!(longest < Duration::from_millis(120), "{longest:?}");
    ended(&hall, &nodes);
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_gives_all_away_and_the_lease_back() {
    let (hall, nodes) = running(3).await;
    let began = Instant::now();
    nodes[0].shut_down();
    nodes[0].ended().await;
    println!("a shutdown took {:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert!(all_served(&hall), "{:?}", served(&hall));
    let directory = directory(&hall).await;
    assert_eq!(directory.pulse.leases.keys().copied().collect::<Vec<_>>(), [1, 2]);
    // The next under that number does not wait for anything.
    nodes[0].start(Some(0));
    let took = until("it is back", || served(&hall)[0] > 0).await;
    assert!(took < Duration::from_millis(500), "{took:?}");
    // The last ones have nobody to give anything to.
    for node in &nodes {
        node.shut_down();
    }
    for node in &nodes {
        node.ended().await;
    }
    ended(&hall, &nodes);
}

#[tokio::test(start_paused = true)]
async fn a_member_whose_clock_is_off_gives_its_slots_up_until_it_is_right() {
    let (hall, nodes) = running(3).await;
    let member = hall.member(2).unwrap();
    assert_eq!(member.unready(), None);
    nodes[2].clock.skew(3_000_000);
    until("it has no slots", || served(&hall)[2] == 0 && all_served(&hall)).await;
    let reason = member.unready().unwrap();
    assert_eq!(reason, "the clock of shard 2 is over 1s off the others': it gives its slots away until that is mended");
    assert_eq!(hall.member(0).unwrap().unready(), None);
    nodes[2].clock.skew(100_000);
    until("it has slots again", || served(&hall)[2] > 0).await;
    assert_eq!(member.unready(), None);
    ended(&hall, &nodes);
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_nobody_serves_and_nobody_is_declared_dead() {
    let (hall, nodes) = running(3).await;
    let before = directory(&hall).await;
    nodes.iter().for_each(|node| node.link.cut.store(true, Ordering::Relaxed));
    let took = until("all stop", || served(&hall) == [0; 4]).await;
    assert!(took <= hall.timing.ttl - hall.timing.margin, "{took:?}");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let reason = hall.member(1).unwrap().unready().unwrap();
    assert!(reason.starts_with("the lease of shard 1 has run out: the store cannot be reached"), "{reason}");
    nodes.iter().for_each(|node| node.link.cut.store(false, Ordering::Relaxed));
    let took = until("all serve", || all_served(&hall)).await;
    assert!(took < Duration::from_millis(500), "{took:?}");
    tokio::time::sleep(Duration::from_secs(5)).await;
    let after = directory(&hall).await;
    assert_eq!(before.pulse.generation, after.pulse.generation, "nothing has changed hands");
    ended(&hall, &nodes);
}

#[tokio::test(start_paused = true)]
async fn one_that_stood_still_for_longer_than_the_ttl_begins_anew() {
    let (hall, nodes) = running(3).await;
    let former = hall.member(1).unwrap();
    nodes[1].link.freeze(true);
    until("the others have it all", || served(&hall)[1] == 0 && all_served(&hall)).await;
    assert!(!former.is_valid());
    nodes[1].link.freeze(false);
    until("it is back", || served(&hall)[1] > 0).await;
    assert_ne!(hall.member(1).unwrap().registration.lease().incarnation, former.registration.lease().incarnation);
    ended(&hall, &nodes);
}

#[tokio::test(start_paused = true)]
async fn pinned_slots_go_where_they_are_pinned() {
    let (hall, nodes) = running(3).await;
    let slots: SlotSet = [3, 4, 5].map(Slot).into_iter().collect();
    let alone = Pin { to: 1, namespace: "default/hot".into(), alone: true };
    pin(&hall.arena.store, &process(), &slots, Some(&alone)).await.unwrap();
    until("it has them and nothing else", || served(&hall)[1] == 3 && all_served(&hall)).await;
    assert!(slots.iter().all(|slot| hall.arena.believers(slot) == [1]));
    nodes[1].kill();
    until("others serve them", || served(&hall)[1] == 0 && all_served(&hall)).await;
    nodes[1].start(Some(1));
    until("it has them again", || served(&hall)[1] == 3 && all_served(&hall)).await;
    pin(&hall.arena.store, &process(), &slots, None).await.unwrap();
    until("it has others as well", || served(&hall)[1] > 3 && all_served(&hall)).await;
    ended(&hall, &nodes);
}

#[tokio::test(start_paused = true)]
async fn any_member_tells_who_owns_what() {
    let (hall, nodes) = running(3).await;
    let mut rosters = hall.member(0).unwrap().follow().await.unwrap();
    let owners = |roster: &Roster| roster.members.iter().map(|member| member.slots.len()).collect::<Vec<_>>();
    let first = rosters.borrow_and_update().clone();
    assert_eq!(owners(&first), served(&hall)[..3]);
    nodes[2].kill();
    let taken_over = rosters
        .wait_for(|roster| owners(roster).iter().sum::<usize>() == usize::from(SLOTS) && roster.members.len() == 2);
    let roster = tokio::time::timeout(Duration::from_secs(3), taken_over).await.unwrap().unwrap().clone();
    assert!(roster.number > first.number && roster.generation != first.generation);
    ended(&hall, &nodes);
}
