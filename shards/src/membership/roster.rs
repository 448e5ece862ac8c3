//! The slot map as it goes to gateways: members with their addresses and slots, and how it becomes a [`SlotMap`].

use std::sync::Arc;

use api::slot::SlotSet;
use futures_util::future::BoxFuture;
use smol_str::SmolStr;
use tokio::sync::watch;

use super::directory::Directory;
use super::records::{Generation, Standing};
use crate::latest;
use crate::service::{ShardError, ShardService};
use crate::topology::{Member, SlotMap, Topology};

/// A member and what it owns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterMember {
    /// Its number.
    pub ordinal: u16,
    /// Of this start of its process.
    pub incarnation: u128,
    /// Where it is reached, `host:port`.
    pub addresses: Vec<SmolStr>,
    /// What it says of itself.
    pub standing: Standing,
    /// What it owns by the records. It may still be reading some of it.
    pub slots: Arc<SlotSet>,
}

/// All members at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roster {
    /// Of the directory that this was read from.
    pub generation: Generation,
    /// Grows with every roster of one source.
    pub number: u64,
    /// By ordinal.
    pub members: Vec<RosterMember>,
}

impl Roster {
    /// What the directory says.
    pub fn of(directory: &Directory, number: u64) -> Self {
        let mut slots: std::collections::BTreeMap<u16, SlotSet> = std::collections::BTreeMap::new();
        for slot in directory.slots() {
            if let Some(owner) = directory.owner(slot) {
                slots.entry(owner).or_default().insert(slot);
            }
        }
        let members = directory.pulse.leases.iter().map(|(ordinal, held)| RosterMember {
            ordinal: *ordinal,
            incarnation: held.lease.incarnation,
            addresses: held.lease.addresses.clone(),
            standing: held.lease.standing,
            slots: Arc::new(slots.remove(ordinal).unwrap_or_default()),
        });
        Self { generation: directory.pulse.generation, number, members: members.collect() }
    }
}

/// Where rosters come from: any shard.
pub trait MapSource: Send + Sync + 'static {
    /// Follows it. The first roster was read from the store after this call, so that who changes from one source to another
    /// never goes back.
    fn follow(&self) -> BoxFuture<'_, Result<watch::Receiver<Arc<Roster>>, ShardError>>;
}

/// How a member of a roster is asked.
pub trait Services: Send + Sync + 'static {
    /// The way to it. `None` where there is none: its slots have no owner then.
    fn service(&self, member: &RosterMember) -> Option<Arc<dyn ShardService>>;
}

/// Slot maps made of the rosters that `sources` bring, one source after the other, each numbered above the last. Ends when
/// nobody follows the maps any more.
pub struct Mapping {
    services: Arc<dyn Services>,
    maps: latest::Sender<Arc<SlotMap>>,
}

impl Mapping {
    /// One without members yet.
    pub fn new(services: Arc<dyn Services>) -> Self {
        Self { services, maps: latest::Sender::new(Arc::new(SlotMap::new(0, Vec::new()))) }
    }

    /// What follows it.
    pub fn topology(&self) -> Topology {
        Topology::following(self.maps.subscribe())
    }

    /// Takes a roster over.
    pub fn update(&self, roster: &Roster) {
        let generation = self.maps.get().generation + 1;
        let member = |member: &RosterMember| {
            let service = self.services.service(member)?;
            Some(Member { ordinal: member.ordinal, service, slots: member.slots.clone() })
        };
        let members = roster.members.iter().filter_map(member).collect();
        let before = self.maps.send_replace(Arc::new(SlotMap::new(generation, members)));
        // A dead member's connections may hang for long. Who waits there finds its successor in the new map.
        let gone = |member: &&Member| !roster.members.iter().any(|living| living.ordinal == member.ordinal);
        before.members().iter().filter(gone).for_each(|member| member.service.abandon());
    }

    /// Follows one source until it ends.
    pub async fn follow(&self, mut rosters: watch::Receiver<Arc<Roster>>) {
        loop {
            let roster = rosters.borrow_and_update().clone();
            self.update(&roster);
            if rosters.changed().await.is_err() {
                return;
            }
        }
    }
}
