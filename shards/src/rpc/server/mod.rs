//! Offering a shard to other processes.

mod exchange;
mod membership;
mod streams;

use std::sync::Arc;

use api::Registry;
use futures_util::stream::BoxStream;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};
use wire::proto::shard as proto;
use wire::serve::only;
use wire::{MESSAGE_BYTES, Role};

pub use membership::{OfferedMember, Pins};

use crate::rpc::WINDOW;
use crate::service::ShardService;

/// A shard, as it is offered to gateways and other shards.
pub struct Offered {
    service: Arc<dyn ShardService>,
    registry: Arc<Registry>,
    /// Calls of all peers that are being carried out, or whose replies have not been taken.
    room: Arc<Semaphore>,
    shutdown: CancellationToken,
}

impl Offered {
    /// Offers `service`. After `shutdown` no more calls are read; those that were read are answered, and streams end.
    pub fn new(service: Arc<dyn ShardService>, registry: Arc<Registry>, shutdown: CancellationToken) -> Self {
        Self { service, registry, room: Arc::new(Semaphore::new(8 * WINDOW)), shutdown }
    }

    /// Adds it to what a process serves ([`wire::serve::serve`]), for gateways, shards and the operator's commands.
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        let server = proto::shard_server::ShardServer::new(self)
            .max_decoding_message_size(MESSAGE_BYTES)
            .max_encoding_message_size(MESSAGE_BYTES);
        routes.add_service(InterceptedService::new(server, only(&[Role::Gateway, Role::Shard, Role::Admin])));
    }
}

type Answering<T> = BoxStream<'static, Result<T, Status>>;

#[tonic::async_trait]
impl proto::shard_server::Shard for Offered {
    type ExchangeStream = exchange::Replying;
    type ListStream = Answering<proto::ListPiece>;
    type SubscribeStream = Answering<proto::SubscribePiece>;
    type HistoryStream = Answering<proto::HistoryPiece>;

    async fn exchange(
        &self,
        request: Request<Streaming<proto::Calls>>,
    ) -> Result<Response<Self::ExchangeStream>, Status> {
        let (service, registry) = (self.service.clone(), self.registry.clone());
        let (room, shutdown) = (self.room.clone(), self.shutdown.clone());
        Ok(Response::new(exchange::start(request.into_inner(), service, registry, room, shutdown)))
    }

    async fn list(&self, request: Request<proto::ListRequest>) -> Result<Response<Self::ListStream>, Status> {
        let said = request.into_inner();
        Ok(Response::new(streams::list(&*self.service, &self.registry, said).await))
    }

    async fn subscribe(
        &self,
        request: Request<proto::SubscribeRequest>,
    ) -> Result<Response<Self::SubscribeStream>, Status> {
        let said = request.into_inner();
        Ok(Response::new(streams::subscribe(&*self.service, &self.registry, said, self.shutdown.clone()).await))
    }

    async fn history(&self, request: Request<proto::HistoryRequest>) -> Result<Response<Self::HistoryStream>, Status> {
        let said = request.into_inner();
        Ok(Response::new(streams::history(&*self.service, &self.registry, said).await))
    }
}
