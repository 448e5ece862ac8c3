//! A member that runs in another process.

use std::sync::Arc;

use api::slot::SlotSet;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::watch;
use tonic::{Response, Status};
use wire::proto::membership as proto;
use wire::{ConnectError, Connection, Link, MESSAGE_BYTES, Role};

use super::Calling;
use super::exchange::why;
use crate::membership::{MapSource, Peer, PeerError, Pin, Roster};
use crate::rpc::convert;
use crate::service::ShardError;

type Client = proto::membership_client::MembershipClient<Connection>;

/// A member at an address. It connects at once, and again when the connection breaks.
pub struct RemoteMember {
    link: Link,
}

impl RemoteMember {
    /// The member at `host:port`. Must be called within a runtime.
    pub fn new(address: &str, calling: &Calling) -> Result<Self, ConnectError> {
        let Calling { identity, dial, timing, ambient, .. } = calling;
        Ok(Self { link: Link::new(address, Role::Shard, identity, dial.clone(), *timing, ambient)? })
    }

    async fn client(&self) -> Result<(Client, Connection), ConnectError> {
        let connection = self.link.connection().await?;
        Ok((Client::new(connection.clone()).max_decoding_message_size(MESSAGE_BYTES), connection))
    }

    async fn ask<F>(&self, call: impl FnOnce(Client) -> F) -> Result<(), PeerError>
    where
        F: Future<Output = Result<Response<proto::Done>, Status>>,
    {
        let (client, connection) = self.client().await.map_err(|error| PeerError(error.to_string()))?;
        match call(client).await {
            Ok(response) => match response.into_inner().refusal {
                none if none.is_empty() => Ok(()),
                refusal => Err(PeerError(refusal)),
            },
            Err(status) => Err(PeerError(why(&connection, &status).await)),
        }
    }

    /// Pins slots, or with `None` takes their pins away. For the role `admin`.
    pub async fn pin(&self, slots: &SlotSet, pin: Option<&Pin>) -> Result<(), PeerError> {
        let request = convert::pin(slots, pin);
        self.ask(|mut client| async move { client.pin(request).await }).await
    }

    async fn rosters(&self) -> Result<watch::Receiver<Arc<Roster>>, ShardError> {
        let unreachable = |error: ConnectError| ShardError::Unreachable(error.to_string());
        let (mut client, connection) = self.client().await.map_err(unreachable)?;
        let mut rosters = match client.watch(proto::WatchRequest {}).await {
            Ok(response) => response.into_inner(),
            Err(status) => return Err(ShardError::Unreachable(why(&connection, &status).await)),
        };
        let first = match rosters.message().await {
            Ok(Some(first)) => convert::read_roster(first)?,
            Ok(None) => return Err(ShardError::Unreachable(format!("{} is about to end", connection.address()))),
            Err(status) => return Err(ShardError::Unreachable(why(&connection, &status).await)),
        };
        let (publish, follow) = watch::channel(Arc::new(first));
        tokio::spawn(async move {
            loop {
                let next = tokio::select! {
                    biased;
                    next = rosters.message() => next,
                    () = publish.closed() => return,
                };
                match next.ok().flatten().map(convert::read_roster) {
                    Some(Ok(roster)) => _ = publish.send(Arc::new(roster)),
                    Some(Err(error)) => {
                        tracing::warn!(peer = connection.address(), %error, "a slot map was not understood");
                        return;
                    }
                    None => return,
                }
            }
        });
        Ok(follow)
    }
}

impl MapSource for RemoteMember {
    fn follow(&self) -> BoxFuture<'_, Result<watch::Receiver<Arc<Roster>>, ShardError>> {
        self.rosters().boxed()
    }
}

impl Peer for RemoteMember {
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        let request = proto::Slots { slots: slots.to_bytes().into() };
        self.ask(|mut client| async move { client.prefetch(request).await }).boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), PeerError>> {
        let request = proto::Slots { slots: slots.to_bytes().into() };
        self.ask(|mut client| async move { client.adopt(request).await }).boxed()
    }
}
