//! Other members, and the slot map, from afar.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use api::slot::SlotSet;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use parking_lot::Mutex;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;
use wire::proto::membership as proto;
use wire::{Connection, Link, Role};

use super::convert;
use crate::Topology;
use crate::membership::{Lease, MapSource, Mapping, Member, Peer, PeerError, Peers, Roster, RosterMember, Services};
use crate::rpc::client::{Calling, RemoteShard};
use crate::service::ShardService;

/// How long an heir may take to read what is in the slots that come.
const MOVING: Duration = Duration::from_secs(30);
/// How long a roster is waited for before another shard is asked.
const FIRST: Duration = Duration::from_secs(2);
/// First and longest pause before the shards are asked again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(1));

type Client = proto::membership_client::MembershipClient<Connection>;

/// The ways to other members, by what their leases say. Each is kept as long as its member is the one that was meant.
pub struct RemotePeers {
    calling: Calling,
    known: Mutex<BTreeMap<u16, (u128, Arc<RemotePeer>)>>,
}

impl RemotePeers {
    /// Calls others like that.
    pub fn new(calling: Calling) -> Self {
        Self { calling, known: Mutex::default() }
    }
}

impl Peers for RemotePeers {
    fn peer(&self, ordinal: u16, lease: &Lease) -> Option<Arc<dyn Peer>> {
        let mut known = self.known.lock();
        if let Some((_, peer)) = known.get(&ordinal).filter(|(incarnation, _)| *incarnation == lease.incarnation) {
            return Some(peer.clone());
        }
        let link = link(&self.calling, lease.addresses.first()?)?;
        let peer = Arc::new(RemotePeer { link, incarnation: lease.incarnation });
        known.insert(ordinal, (lease.incarnation, peer.clone()));
        Some(peer)
    }
}

fn link(calling: &Calling, address: &str) -> Option<Link> {
    let Calling { identity, dial, timing, ambient, .. } = calling;
    match Link::new(address, Role::Shard, identity, dial.clone(), *timing, ambient) {
        Ok(link) => Some(link),
        Err(error) => {
            tracing::warn!(address, %error, "the address of a shard is of no use");
            None
        }
    }
}

struct RemotePeer {
    link: Link,
    incarnation: u128,
}

impl RemotePeer {
    async fn ask<F>(&self, slots: Arc<SlotSet>, call: impl FnOnce(Client, proto::Slots) -> F) -> Result<(), PeerError>
    where
        F: Future<Output = Result<tonic::Response<proto::Done>, tonic::Status>>,
    {
        let failed = |error: &dyn std::fmt::Display| PeerError(format!("{}: {error}", self.link.address()));
        let asked = async {
            let connection = self.link.connection().await.map_err(|error| failed(&error))?;
            let slots = proto::Slots { incarnation: convert::number(self.incarnation), slots: slots.to_bytes().into() };
            let done = call(Client::new(connection), slots).await.map_err(|status| failed(&status.message()))?;
            match done.into_inner().refusal {
                refusal if refusal.is_empty() => Ok(()),
                refusal => Err(PeerError(refusal)),
            }
        };
        tokio::time::timeout(MOVING, asked).await.unwrap_or_else(|_| Err(failed(&"no answer in time")))
    }
}

impl Peer for RemotePeer {
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        self.ask(slots, |mut client, slots| async move { client.prefetch(slots).await }).boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        self.ask(slots, |mut client, slots| async move { client.adopt(slots).await }).boxed()
    }
}

/// Shards from afar, one for each member as long as it is the same one at the same place.
struct RemoteServices {
    calling: Calling,
    /// The shard of this process is called as a function.
    own: Option<(u16, Arc<dyn ShardService>)>,
    known: Mutex<HashMap<u16, (u128, Arc<RemoteShard>)>>,
}

impl Services for RemoteServices {
    fn service(&self, member: &RosterMember) -> Option<Arc<dyn ShardService>> {
        if let Some((ordinal, own)) = &self.own
            && *ordinal == member.ordinal
        {
            return Some(own.clone());
        }
        let mut known = self.known.lock();
        if let Some((_, shard)) = known.get(&member.ordinal).filter(|(known, _)| *known == member.incarnation) {
            return Some(shard.clone());
        }
        let address = member.addresses.first()?;
        let shard = match RemoteShard::new(address, &self.calling) {
            Ok(shard) => Arc::new(shard),
            Err(error) => {
                tracing::warn!(ordinal = member.ordinal, %address, %error, "the address of a shard is of no use");
                return None;
            }
        };
        known.insert(member.ordinal, (member.incarnation, shard.clone()));
        Some(shard)
    }
}

/// Where shards may be found before any of them has told where they all are.
pub trait Seeds: Send + Sync + 'static {
    /// Addresses `host:port`, as they are now. An error is a sentence for the log.
    fn addresses(&self) -> BoxFuture<'_, Result<Vec<String>, String>>;
}

/// Follows the slot map at whatever shard answers, until `shutdown`.
pub fn follow(calling: Calling, seeds: Arc<dyn Seeds>, shutdown: CancellationToken) -> Topology {
    let services = Arc::new(RemoteServices { calling: calling.clone(), own: None, known: Mutex::default() });
    let mapping = Mapping::new(services);
    let topology = mapping.topology();
    tokio::spawn(async move { shutdown.run_until_cancelled(keep(&calling, &*seeds, &mapping)).await });
    topology
}

/// The slot map as a member of this process knows it, whose own shard is called as a function.
pub fn of_member(
    calling: Calling,
    member: &Arc<Member>,
    shard: Arc<dyn ShardService>,
    shutdown: CancellationToken,
) -> Topology {
    let own = Some((member.ordinal(), shard));
    let mapping = Mapping::new(Arc::new(RemoteServices { calling, own, known: Mutex::default() }));
    let (topology, member) = (mapping.topology(), member.clone());
    let following = async move {
        loop {
            match member.follow().await {
                Ok(rosters) => return mapping.follow(rosters).await,
                Err(error) => tracing::debug!(%error, "the directory cannot be read yet"),
            }
            tokio::time::sleep(PAUSE.0).await;
        }
    };
    tokio::spawn(async move { shutdown.run_until_cancelled(following).await });
    topology
}

/// Asks one shard after the other; those of the last roster first, for seeds may be old or few.
async fn keep(calling: &Calling, seeds: &dyn Seeds, mapping: &Mapping) {
    let mut known: Vec<SmolStr> = Vec::new();
    let mut pause = PAUSE.0;
    loop {
        let mut addresses = std::mem::take(&mut known);
        match seeds.addresses().await {
            Ok(found) => addresses.extend(found.into_iter().map(SmolStr::from)),
            Err(error) if addresses.is_empty() => tracing::warn!(error, "no shard can be found"),
            Err(error) => tracing::debug!(error, "the seeds are of no use"),
        }
        let from = addresses.len().min(1) * (calling.ambient.entropy.next_u64() as usize);
        for at in 0..addresses.len() {
            let address = &addresses[(from.wrapping_add(at)) % addresses.len()];
            match follow_one(calling, address, mapping).await {
                Ok(roster) => {
                    known = roster.members.iter().flat_map(|member| member.addresses.iter().cloned()).collect();
                    pause = PAUSE.0;
                    break;
                }
                Err(error) => tracing::debug!(%address, error, "this shard does not tell the slot map"),
            }
        }
        if known.is_empty() {
            known = addresses;
            known.dedup();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSE.1);
    }
}

/// Follows one shard until its stream ends; answers its last roster. An error says why there was none.
async fn follow_one(calling: &Calling, address: &str, mapping: &Mapping) -> Result<Roster, String> {
    let link = link(calling, address).ok_or("the address is of no use")?;
    let opened = async {
        let connection = link.connection().await.map_err(|error| error.to_string())?;
        let stream = Client::new(connection).watch(proto::WatchRequest {}).await;
        let mut stream = stream.map_err(|status| status.message().to_owned())?.into_inner();
        let first = stream.message().await.map_err(|status| status.message().to_owned())?;
        Ok::<_, String>((stream, first.ok_or("the stream ended at once")?))
    };
    let (mut stream, first) = tokio::time::timeout(FIRST, opened).await.map_err(|_| "no answer in time")??;
    let mut roster = convert::read_roster(first).map_err(|error| error.to_string())?;
    loop {
        mapping.update(&roster);
        match stream.message().await {
            Ok(Some(next)) => roster = convert::read_roster(next).map_err(|error| error.to_string())?,
            Ok(None) | Err(_) => return Ok(roster),
        }
    }
}
