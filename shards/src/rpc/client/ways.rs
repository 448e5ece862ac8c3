//! The ways to all shards, as the slot map names them, and where to find the slot map.

use std::collections::HashMap;
use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::net::lookup_host;

use super::{Calling, RemoteMember, RemoteShard};
use crate::membership::{Lease, MapSource, Mapping, Peer, Peers, RosterMember, Services};
use crate::service::ShardService;

/// Between two rounds over all seeds.
const PAUSE: Duration = Duration::from_millis(200);

/// Shards and members of other processes, one way to each, which all who ask share. A way is closed when nobody has it any
/// more.
pub struct Ways {
    calling: Calling,
    local: Option<(u16, Arc<dyn ShardService>)>,
    shards: Mutex<HashMap<String, Weak<RemoteShard>>>,
    members: Mutex<HashMap<String, Weak<RemoteMember>>>,
}

impl Ways {
    /// Ways that are made as `calling` says. `local` is the shard that this process runs: it is called as a function.
    pub fn new(calling: Calling, local: Option<(u16, Arc<dyn ShardService>)>) -> Arc<Self> {
        Arc::new(Self { calling, local, shards: Mutex::default(), members: Mutex::default() })
    }

    /// The way to one member, at `host:port`.
    pub fn member(&self, address: &str) -> Option<Arc<RemoteMember>> {
        shared(&mut self.members.lock(), address, || RemoteMember::new(address, &self.calling))
    }

    /// Keeps the slot map of `mapping` up to date, from whichever member of `seeds` or of the map answers. Never ends.
    pub async fn follow(&self, seeds: &Seeds, mapping: &Mapping) {
        let mut known = Vec::new();
        loop {
            for address in seeds.resolve().await.into_iter().chain(std::mem::take(&mut known)) {
                let Some(member) = self.member(&address) else { continue };
                match member.follow().await {
                    Ok(rosters) => {
                        tracing::debug!(from = address, "follows the slot map");
                        let newest = rosters.clone();
                        mapping.follow(rosters).await;
                        let members = newest.borrow().members.clone();
                        known.extend(members.into_iter().flat_map(|member| member.addresses).map(String::from));
                    }
                    Err(error) => tracing::debug!(from = address, %error, "does not tell the slot map"),
                }
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}

/// The way of that address that there is, or a new one.
fn shared<T>(
    ways: &mut HashMap<String, Weak<T>>,
    address: &str,
    make: impl FnOnce() -> Result<T, wire::ConnectError>,
) -> Option<Arc<T>> {
    if let Some(way) = ways.get(address).and_then(Weak::upgrade) {
        return Some(way);
    }
    match make() {
        Ok(way) => {
            let way = Arc::new(way);
            ways.retain(|_, way| way.strong_count() > 0);
            ways.insert(address.to_owned(), Arc::downgrade(&way));
            Some(way)
        }
        Err(error) => {
            tracing::error!(%error, "there is no way to a shard");
            None
        }
    }
}

impl Services for Ways {
    fn service(&self, member: &RosterMember) -> Option<Arc<dyn ShardService>> {
        if let Some((ordinal, service)) = &self.local
            && *ordinal == member.ordinal
        {
            return Some(service.clone());
        }
        let address = member.addresses.first()?;
        let shard = shared(&mut self.shards.lock(), address, || RemoteShard::new(address, &self.calling));
        shard.map(|shard| shard as Arc<dyn ShardService>)
    }
}

impl Peers for Ways {
    fn peer(&self, _: u16, lease: &Lease) -> Option<Arc<dyn Peer>> {
        self.member(lease.addresses.first()?).map(|member| member as Arc<dyn Peer>)
    }
}

/// Where shards may be found: `host:port`s, or `dns:name:port` for all addresses of a name, separated by commas.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeds(Vec<Seed>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Seed {
    Address(String),
    Name(String),
}

impl Seeds {
    /// The addresses now. A name that cannot be resolved has none, and the log says so.
    pub async fn resolve(&self) -> Vec<String> {
        let mut found = Vec::new();
        for seed in &self.0 {
            match seed {
                Seed::Address(address) => found.push(address.clone()),
                Seed::Name(name) => match lookup_host(name).await {
                    Ok(addresses) => found.extend(addresses.map(|address: SocketAddr| address.to_string())),
                    Err(error) => tracing::warn!(name, %error, "no shards are known by that name"),
                },
            }
        }
        found
    }
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let seed = |part: &str| {
            let (name, address) = match part.strip_prefix("dns:") {
                Some(name) => (true, name),
                None => (false, part),
            };
            let port = address.rsplit_once(':').filter(|(host, _)| !host.is_empty()).map(|(_, port)| port);
            if port.is_none_or(|port| port.parse::<u16>().is_err()) {
                return Err(format!("{part:?} is neither host:port nor dns:name:port"));
            }
            Ok(if name { Seed::Name(address.to_owned()) } else { Seed::Address(address.to_owned()) })
        };
        text.split(',').map(|part| seed(part.trim())).collect::<Result<_, _>>().map(Self)
    }
}

impl fmt::Display for Seeds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, seed) in self.0.iter().enumerate() {
            f.write_str(if at == 0 { "" } else { "," })?;
            match seed {
                Seed::Address(address) => f.write_str(address)?,
                Seed::Name(name) => write!(f, "dns:{name}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_addresses_and_names() {
        let text = "10.0.0.1:7000,dns:shards.example:7000,[::1]:7000";
        assert_eq!(text.parse::<Seeds>().unwrap().to_string(), text);
        for wrong in ["", "a", "a:", ":1", "a:1,", "dns:a", "a:70000"] {
            assert!(wrong.parse::<Seeds>().is_err(), "{wrong:?}");
        }
    }
}
