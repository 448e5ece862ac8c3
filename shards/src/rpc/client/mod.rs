//! A shard that another process runs.

mod exchange;
mod member;
mod queue;
mod streams;
mod ways;

use std::sync::Arc;
use std::time::Duration;

use api::Version;
use api::ambient::Ambient;
use api::{Registry, ResourceId};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use wire::proto::shard as proto;
use wire::{ConnectError, Dial, Identity, Link, Role, Timing};

use super::convert::{self, Misread};
use crate::service::{
    Answer, History, HistoryRequest, ListPage, ListRequest, Request, ShardError, ShardService, SubscribeRequest,
    Subscription,
};
use exchange::Exchange;
pub use member::RemoteMember;
use proto::call::What;
use proto::reply::What as Said;
pub use ways::{Seeds, Ways};

/// How shards are called.
#[derive(Clone)]
pub struct Calling {
    /// Who this process is.
    pub identity: Identity,
    /// How to reach others.
    pub dial: Arc<dyn Dial>,
    /// How long connections wait for what.
    pub timing: Timing,
    /// Time and randomness.
    pub ambient: Ambient,
    /// The kinds. Shards must serve the same ones.
    pub registry: Arc<Registry>,
    /// How long a call waits for its answer, or for the beginning of one that is streamed.
    pub deadline: Duration,
    /// Calls at once to one shard; further ones wait.
    pub window: usize,
    /// Calls at once to all shards.
    pub room: Arc<Semaphore>,
}

impl Calling {
    /// Over TCP, with the usual limits.
    pub fn new(identity: Identity, registry: Arc<Registry>, ambient: Ambient) -> Self {
        Self {
            identity,
            dial: Arc::new(wire::Tcp),
            timing: Timing::default(),
            ambient,
            registry,
            deadline: Duration::from_secs(30),
            window: super::WINDOW,
            room: Arc::new(Semaphore::new(4 * super::WINDOW)),
        }
    }
}

/// A shard at an address. It connects at once, and again when a connection breaks; until there is one, calls are
/// [`ShardError::Unreachable`].
pub struct RemoteShard {
    calling: Calling,
    /// One connection for small calls and one for streams, so that neither waits behind the other.
    exchange: Exchange,
    streams: Link,
}

impl RemoteShard {
    /// The shard at `host:port`. Must be called within a runtime.
    pub fn new(address: &str, calling: &Calling) -> Result<Self, ConnectError> {
        let link = || {
            let Calling { identity, dial, timing, ambient, .. } = calling;
            Link::new(address, Role::Shard, identity, dial.clone(), *timing, ambient)
        };
        let (calls, streams) = (link()?, link()?);
        Ok(Self { exchange: Exchange::start(calls, calling), streams, calling: calling.clone() })
    }

    /// Where it is.
    pub fn address(&self) -> &str {
        self.streams.address()
    }

    fn registry(&self) -> &Registry {
        &self.calling.registry
    }

    async fn call(&self, what: What, context: Option<convert::Context>) -> Result<Said, ShardError> {
        let said = self.exchange.call(what, context).await?;
        match said.ok_or_else(|| Misread("an empty reply".to_owned()))? {
            Said::Failure(failure) => Err(convert::read_failure(failure)),
            said => Ok(said),
        }
    }
}

impl ShardService for RemoteShard {
    fn execute(&self, request: Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        async move {
            let (context, execute) = convert::execute(self.registry(), request);
            match self.call(What::Execute(execute), Some(context)).await? {
                Said::Answer(answer) => Ok(convert::read_answer(answer)?),
                _ => Err(Misread("a reply to another question".to_owned()).into()),
            }
        }
        .boxed()
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        async move {
            match self.call(What::Clock(proto::Clock {}), None).await? {
                Said::Clock(version) => Ok(Version(version)),
                _ => Err(Misread("a reply to another question".to_owned()).into()),
            }
        }
        .boxed()
    }

    fn abandon(&self) {
        self.exchange.abandon();
    }

    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        streams::list(&self.streams, self.calling.deadline, convert::list(self.registry(), &request)).boxed()
    }

    fn subscribe(&self, request: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        streams::subscribe(&self.streams, self.calling.deadline, convert::subscribe(self.registry(), request)).boxed()
    }

    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        streams::history(&self.streams, self.calling.deadline, convert::history(self.registry(), request)).boxed()
    }

    fn advance(&self, cluster: &str, resource: ResourceId, version: Version) {
        let resource = self.registry().id_name(resource).to_string();
        self.exchange.tell(What::Advance(proto::Advance { cluster: cluster.to_owned(), resource, version: version.0 }));
    }
}
