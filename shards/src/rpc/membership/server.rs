//! What a shard tells of its membership, and what other members may ask it.

use std::sync::Arc;

use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};
use wire::Role;
use wire::proto::membership as proto;
use wire::serve::{Caller, only};

use super::convert;
use crate::membership::{MapSource, Member, Peer, PeerError};
use crate::rpc::convert::read_slots;

/// A member, as its process offers it to gateways, other shards and the operator's commands.
pub struct Told {
    member: Arc<Member>,
    shutdown: CancellationToken,
}

impl Told {
    /// Offers `member`. Streams end at `shutdown`.
    pub fn new(member: Arc<Member>, shutdown: CancellationToken) -> Self {
        Self { member, shutdown }
    }

    /// Adds it to what a process serves ([`wire::serve::serve`]).
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        let server = proto::membership_server::MembershipServer::new(self);
        routes.add_service(InterceptedService::new(server, only(&[Role::Gateway, Role::Shard, Role::Admin])));
    }

    /// The slots of a call of another shard that means this incarnation.
    fn slots(&self, request: Request<proto::Slots>) -> Result<Arc<api::slot::SlotSet>, Status> {
        match request.extensions().get::<Caller>() {
            Some(caller) if caller.role == Role::Shard => {}
            _ => return Err(Status::permission_denied("only shards move slots")),
        }
        let said = request.into_inner();
        let misread = |error: crate::rpc::convert::Misread| Status::invalid_argument(error.to_string());
        if convert::read_number(&said.incarnation).map_err(misread)? != self.member.incarnation() {
            return Err(Status::failed_precondition("the member that is meant is not here any more"));
        }
        Ok(Arc::new(read_slots(&said.slots).map_err(misread)?))
    }
}

fn done(result: Result<(), PeerError>) -> Response<proto::Done> {
    Response::new(proto::Done { refusal: result.err().map(|PeerError(why)| why).unwrap_or_default() })
}

#[tonic::async_trait]
impl proto::membership_server::Membership for Told {
    type WatchStream = BoxStream<'static, Result<proto::Roster, Status>>;

    async fn watch(&self, _: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let rosters = self.member.follow().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let following = stream::unfold((rosters, true), |(mut rosters, first)| async move {
            if !first && rosters.changed().await.is_err() {
                return None;
            }
            let roster = convert::roster(&rosters.borrow_and_update());
            Some((Ok(roster), (rosters, false)))
        });
        let ended = self.shutdown.clone().cancelled_owned().boxed();
        Ok(Response::new(following.take_until(ended).boxed()))
    }

    async fn prefetch(&self, request: Request<proto::Slots>) -> Result<Response<proto::Done>, Status> {
        let slots = self.slots(request)?;
        Ok(done(self.member.prefetch(slots).await))
    }

    async fn adopt(&self, request: Request<proto::Slots>) -> Result<Response<proto::Done>, Status> {
        let slots = self.slots(request)?;
        // A task of its own: a caller that goes away stops nothing half way.
        let member = self.member.clone();
        let adopted = tokio::spawn(async move { member.adopt(slots).await }).await;
        adopted.map(done).map_err(|_| Status::unavailable("the shard is shutting down"))
    }
}
