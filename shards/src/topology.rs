//! Who owns which slot, as a gateway or a shard knows it, and how a request finds its owner.
//!
//! A [`SlotMap`] is one moment's knowledge; a [`Topology`] follows as it changes. Invariant: a request that may have been
//! carried out is sent again only under the same id, so that it happens once ([`Topology::execute`]).

use std::sync::Arc;
use std::time::Duration;

use api::Status;
use api::slot::{self, SLOTS, Slot, SlotSet};
use api::status::Reason;

use crate::latest;
use crate::service::{Answer, Request, ShardError, ShardService, Verb};

/// How long a request waits for its slot to have an owner that can be reached.
pub const OWNER_WAIT: Duration = Duration::from_secs(2);
/// How long a write whose connection broke is asked for by its id, counted from then: twice what it takes until the slots of a
/// dead shard are served again. After that its client is told that nobody knows. (By the id it could be settled for longer, see
/// DESIGN D6, but a client that waits for so long has given up.)
pub const SETTLED: Duration = Duration::from_secs(6);
/// First and longest pause before the same owner is asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(200));

/// A shard that owns slots.
#[derive(Clone)]
pub struct Member {
    /// Its number.
    pub ordinal: u16,
    /// The way to it.
    pub service: Arc<dyn ShardService>,
    /// What it owns.
    pub slots: Arc<SlotSet>,
}

/// Which member owns which slot, at one moment.
#[derive(Clone)]
pub struct SlotMap {
    /// Grows with every change.
    pub generation: u64,
    members: Vec<Member>,
    /// Position in `members`, or `NOBODY`.
    owners: Box<[u16]>,
}

const NOBODY: u16 = u16::MAX;

impl SlotMap {
    /// Members, whose slots must not overlap.
    pub fn new(generation: u64, members: Vec<Member>) -> Self {
        let mut owners = vec![NOBODY; usize::from(SLOTS)].into_boxed_slice();
        for (at, member) in members.iter().enumerate() {
            member.slots.iter().for_each(|slot| owners[usize::from(slot.0)] = at as u16);
        }
        Self { generation, members, owners }
    }

    /// The owner of a slot; `None` while it has none.
    pub fn owner(&self, slot: Slot) -> Option<&Member> {
        self.members.get(usize::from(self.owners[usize::from(slot.0)]))
    }

    /// Every member, those without slots included.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// A member by its number.
    pub fn member(&self, ordinal: u16) -> Option<&Member> {
        self.members.iter().find(|member| member.ordinal == ordinal)
    }

    /// Whether every slot has an owner.
    pub fn is_complete(&self) -> bool {
        !self.owners[..usize::from(slot::in_use())].contains(&NOBODY)
    }
}

/// The slot map as it changes. Clones follow the same one.
#[derive(Clone)]
pub struct Topology {
    maps: latest::Receiver<Arc<SlotMap>>,
}

impl Topology {
    /// One that others change.
    pub fn following(maps: latest::Receiver<Arc<SlotMap>>) -> Self {
        Self { maps }
    }

    /// Shards numbered in that order, each with the slots that [`owner_of`] gives it, for good.
    pub fn fixed(shards: Vec<Arc<dyn ShardService>>) -> Self {
        let mut slots = vec![SlotSet::new(); shards.len()];
        for slot in (0..SLOTS).map(Slot) {
            slots[usize::from(owner_of(slot, shards.len()))].insert(slot);
        }
        let members = shards.into_iter().zip(slots).enumerate().map(|(ordinal, (service, slots))| Member {
            ordinal: ordinal as u16,
            service,
            slots: Arc::new(slots),
        });
        Self { maps: latest::Sender::new(Arc::new(SlotMap::new(0, members.collect()))).subscribe() }
    }

    /// The newest map.
    pub fn current(&self) -> Arc<SlotMap> {
        self.maps.get()
    }

    /// Waits until there is another map than that one.
    pub async fn newer_than(&self, generation: u64) -> Arc<SlotMap> {
        let mut maps = self.maps.clone();
        match maps.wait_for(|map| map.generation > generation).await {
            Ok(map) => map,
            // A fixed map, or one whose source has ended: it does not change any more.
            Err(_) => std::future::pending().await,
        }
    }

    /// Sends a request to the owner of a slot. Waits up to [`OWNER_WAIT`] for one, looks at the map again when it was stale,
    /// and asks again under the same id when the connection broke, for [`SETTLED`]: the owner, or its successor, carries it out
    /// once.
    pub async fn execute(&self, slot: Slot, request: Request) -> Result<Answer, Status> {
        let began = tokio::time::Instant::now();
        let (mut pause, mut lost) = (PAUSE.0, None);
        let mut until = began + OWNER_WAIT;
        loop {
            let map = self.current();
            let error = match map.owner(slot) {
                Some(owner) => match execute(owner, request.clone(), lost.is_some().then_some(until)).await {
                    Ok(answer) => return Ok(answer),
                    Err(ShardError::Status(status)) => return Err(status),
                    Err(error) => error,
                },
                None => ShardError::NotOwner,
            };
            if matches!(error, ShardError::Lost(_)) && !matches!(request.verb, Verb::Get { .. }) {
                if lost.is_none() {
                    until = tokio::time::Instant::now() + SETTLED;
                }
                lost = Some(error.clone());
            }
            if tokio::time::Instant::now() + pause >= until {
                return Err(lost.map_or_else(|| no_owner(slot, &error), ShardError::into_status));
            }
            // The owner may come back before the map changes.
            let _ = tokio::time::timeout(pause, self.newer_than(map.generation)).await;
            pause = (pause * 2).min(PAUSE.1);
        }
    }
}

/// Asks an owner; whoever asks again waits no longer than `until`.
async fn execute(owner: &Member, request: Request, until: Option<tokio::time::Instant>) -> Result<Answer, ShardError> {
    let answer = owner.service.execute(request);
    match until {
        None => answer.await,
        Some(until) => tokio::time::timeout_at(until, answer)
            .await
            .unwrap_or_else(|_| Err(ShardError::Lost("nobody could say in time what became of it".to_owned()))),
    }
}

/// 503: the slot is being moved or taken over.
fn no_owner(slot: Slot, error: &ShardError) -> Status {
    Status::new(Reason::ServiceUnavailable, format!("slot {} has no owner that can be reached: {error}", slot.0))
        .retry_after(1)
}

/// Rendezvous hashing of slots over `shards` shards (DESIGN D6: what membership gives each).
pub fn owner_of(slot: Slot, shards: usize) -> u16 {
    let members: Vec<String> = (0..shards).map(|ordinal| ordinal.to_string()).collect();
    let owner = api::slot::rendezvous(u64::from(slot.0), &members).expect("a cluster has at least one shard");
    owner.parse().expect("printed just above")
}
