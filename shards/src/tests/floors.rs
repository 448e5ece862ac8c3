//! What a successor starts above, where its clock is behind that of the owner before it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use api::ResourceId;
use api::ambient::{Ambient, Clock};
use api::builtin::{RuntimeConfig, registry};
use api::slot::{SLOTS, Slot, SlotSet};
use api::version::EPOCH_UNIX_MICROS;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

use super::cluster::{Seeded, config};
use super::faulty::FaultyStore;
use crate::service::{Delivery, ListRequest, ListSlots, ShardService, SubscribeRequest};
use crate::{Shard, ShardConfig, ShardOptions};

/// The machine's time, give or take.
struct Skewed {
    start: tokio::time::Instant,
    behind: Duration,
}

impl Clock for Skewed {
    fn wall_micros(&self) -> i64 {
        EPOCH_UNIX_MICROS + 50_000_000_000_000 + self.boot().as_micros() as i64 - self.behind.as_micros() as i64
    }

    fn boot(&self) -> Duration {
        self.start.elapsed()
    }
}

/// What has come.
fn drain(deliveries: &mut tokio::sync::mpsc::Receiver<Delivery>) -> Vec<Delivery> {
    std::iter::from_fn(|| deliveries.try_recv().ok()).collect()
}

/// While an owner tells one table after the other that slots are gone, its clock goes on, and so do the promises of the tables
/// that come later. All of them lie below what the heir says, whose clock is a second behind.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_heir_starts_above_what_the_last_table_promised() {
    let (store, start) = (FaultyStore::default(), tokio::time::Instant::now());
    let registry = Arc::new(registry(&RuntimeConfig::default()));
    let options = ShardOptions::default();
    let half = |which: u16| (0..SLOTS).map(Slot).filter(|slot| slot.0 % 2 == which).collect::<Vec<_>>();
    let (mut shards, stop) = (Vec::new(), CancellationToken::new());
    for ordinal in 0..2 {
        let clock = Skewed { start, behind: Duration::from_secs(u64::from(ordinal)) };
        let ambient = Ambient { clock: Arc::new(clock), entropy: Arc::new(Seeded::new(u64::from(ordinal) + 3)) };
        let config = config(ordinal, half(ordinal), &store, &registry, &ambient, &options);
        // Many tables, of which the one that is looked at is among the last.
        let clusters = (0..150).map(|at| SmolStr::from(format!("c{at}"))).chain(["default".into()]).collect();
        shards.push(Shard::open(ShardConfig { clusters, ..config }).await.unwrap());
    }
    for shard in &shards {
        let (shard, stop) = (shard.clone(), stop.clone());
        tokio::spawn(async move { shard.run(stop).await });
    }
    let resource = registry.named("configmaps").unwrap().id;
    let request = SubscribeRequest { cluster: "default".into(), resource, from: None };
    let mut old = shards[0].subscribe(request.clone()).await.unwrap().deliveries;
    let mut new = shards[1].subscribe(request).await.unwrap().deliveries;
    // Others show it newer and newer versions, as gateways do.
    let over = Arc::new(AtomicBool::new(false));
    let shown = std::thread::spawn({
        let (shard, over) = (shards[0].clone(), over.clone());
        move || {
            while !over.load(Ordering::Relaxed) {
                shard.sequencer.raise(shard.sequencer.now());
            }
        }
    });
    for slot in half(0).into_iter().take(10) {
        let slots: SlotSet = [slot].into_iter().collect();
        drop((drain(&mut old), drain(&mut new)));
        shards[0].release(&slots, shards[1].epoch()).await.unwrap();
        shards[1].adopt(&slots).await.unwrap();
        let gone = drain(&mut old).into_iter().filter(|delivery| delivery.slots.is_some()).map(|one| one.watermark);
        let come = drain(&mut new).into_iter().find(|delivery| delivery.slots.is_some()).unwrap().watermark;
        let gone = gone.max().expect("it was told");
        assert!(come > gone, "the heir begins at {come}, and the owner had promised {gone}");
    }
    over.store(true, Ordering::Relaxed);
    shown.join().unwrap();
    stop.cancel();
}

/// A clock that is set by hand.
struct Cranked(AtomicI64);

impl Clock for Cranked {
    fn wall_micros(&self) -> i64 {
        EPOCH_UNIX_MICROS + 50_000_000_000_000 + self.0.load(Ordering::Relaxed) * 1_000_000
    }

    fn boot(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn everything(shard: &Shard, resource: ResourceId, at: api::Version) -> ListRequest {
    ListRequest {
        slots: ListSlots::Exactly(shard.owned()),
        cluster: "default".into(),
        resource,
        namespace: SmolStr::default(),
        selector: Arc::default(),
        at: Some(at),
        after: None,
        limit: usize::MAX,
    }
}

/// One of two shards had nothing to do for a minute. Then the machine's clock is set back, and both start again: it knows how far
/// the other one has come, and does not refuse its versions until the clock has caught up.
#[tokio::test]
async fn who_starts_again_knows_how_far_others_have_come() {
    let store = FaultyStore::default();
    let registry = Arc::new(registry(&RuntimeConfig::default()));
    let wall = Arc::new(Cranked(AtomicI64::new(0)));
    // No two starts draw the same numbers.
    let mut starts = 5..;
    let mut open = |ordinal: u16| {
        let entropy = Arc::new(Seeded::new(starts.next().unwrap()));
        let ambient = Ambient { clock: wall.clone(), entropy };
        let slots = (0..SLOTS).map(Slot).filter(|slot| slot.0 % 2 == ordinal).collect();
        Shard::open(config(ordinal, slots, &store, &registry, &ambient, &ShardOptions::default()))
    };
    open(1).await.unwrap();
    wall.0.store(60, Ordering::Relaxed);
    open(0).await.unwrap();
    wall.0.store(-10, Ordering::Relaxed);
    let (ahead, behind, stop) = (open(0).await.unwrap(), open(1).await.unwrap(), CancellationToken::new());
    for shard in [&ahead, &behind] {
        let (shard, stop) = (shard.clone(), stop.clone());
        tokio::spawn(async move { shard.run(stop).await });
    }
    let at = ahead.clock().await.unwrap();
    let resource = registry.named("configmaps").unwrap().id;
    let page = behind.list(everything(&behind, resource, at)).await.unwrap();
    assert_eq!(page.version, at);
    stop.cancel();
}
