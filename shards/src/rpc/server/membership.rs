//! Telling others who is there, and doing what other members and operators ask.

use std::sync::Arc;

use api::slot::SlotSet;
use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use tokio_util::sync::CancellationToken;
use tonic::service::RoutesBuilder;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status};
use wire::Role;
use wire::proto::membership as proto;
use wire::serve::{Caller, only};

use super::Answering;
use crate::membership::{MapSource, Member, Peer, Pin};
use crate::rpc::convert;

/// Where operators' wishes go.
pub trait Pins: Send + Sync + 'static {
    /// Pins slots, or with `None` takes their pins away. Why it could not be done, in words for the operator.
    fn pin(&self, slots: SlotSet, pin: Option<Pin>) -> BoxFuture<'_, Result<(), String>>;
}

impl Pins for Member {
    fn pin(&self, slots: SlotSet, pin: Option<Pin>) -> BoxFuture<'_, Result<(), String>> {
        async move { Self::pin(self, &slots, pin.as_ref()).await.map_err(|error| error.to_string()) }.boxed()
    }
}

/// A member, as it is offered to others.
pub struct OfferedMember {
    /// What gateways and others follow.
    pub source: Arc<dyn MapSource>,
    /// What other members ask.
    pub peer: Arc<dyn Peer>,
    /// What operators ask.
    pub pins: Arc<dyn Pins>,
    /// Ends those who follow.
    pub shutdown: CancellationToken,
}

impl OfferedMember {
    /// Offers a member of this process. Who follows it is let go at `shutdown`.
    pub fn new(member: &Arc<Member>, shutdown: CancellationToken) -> Self {
        Self { source: member.clone(), peer: member.clone(), pins: member.clone(), shutdown }
    }

    /// Adds it to what a process serves ([`wire::serve::serve`]).
    pub fn add_to(self, routes: &mut RoutesBuilder) {
        let server = proto::membership_server::MembershipServer::new(self);
        routes.add_service(InterceptedService::new(server, only(&[Role::Gateway, Role::Shard, Role::Admin])));
    }
}

/// Of the roles that the service is for, a call may be for one alone.
fn for_role<T>(request: &Request<T>, role: Role) -> Result<(), Status> {
    match request.extensions().get::<Caller>() {
        Some(caller) if caller.role == role => Ok(()),
        _ => Err(Status::permission_denied(format!("this call is for {role} only"))),
    }
}

fn done<E: ToString>(result: Result<(), E>) -> Response<proto::Done> {
    Response::new(proto::Done { refusal: result.err().map(|error| error.to_string()).unwrap_or_default() })
}

fn slots(said: &proto::Slots) -> Result<Arc<SlotSet>, Status> {
    convert::read_slots(&said.slots).map(Arc::new).map_err(|misread| Status::invalid_argument(misread.to_string()))
}

#[tonic::async_trait]
impl proto::membership_server::Membership for OfferedMember {
    type WatchStream = Answering<proto::Roster>;

    async fn watch(&self, _: Request<proto::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let rosters = self.source.follow().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let rosters = stream::unfold((rosters, true), |(mut rosters, first)| async move {
            if !first {
                rosters.changed().await.ok()?;
            }
            let roster = convert::roster(&rosters.borrow_and_update());
            Some((Ok(roster), (rosters, false)))
        });
        Ok(Response::new(rosters.take_until(self.shutdown.clone().cancelled_owned()).boxed()))
    }

    async fn prefetch(&self, request: Request<proto::Slots>) -> Result<Response<proto::Done>, Status> {
        for_role(&request, Role::Shard)?;
        let slots = slots(request.get_ref())?;
        Ok(done(self.peer.prefetch(slots).await))
    }

    async fn adopt(&self, request: Request<proto::Slots>) -> Result<Response<proto::Done>, Status> {
        for_role(&request, Role::Shard)?;
        let slots = slots(request.get_ref())?;
        // On a task of its own: a caller that goes away stops nothing half way.
        let peer = self.peer.clone();
        let adopted = tokio::spawn(async move { peer.adopt(slots).await }).await;
        adopted.map(done).map_err(|_| Status::unavailable("the shard is about to end"))
    }

    async fn pin(&self, request: Request<proto::PinRequest>) -> Result<Response<proto::Done>, Status> {
        for_role(&request, Role::Admin)?;
        let said = convert::read_pin(request.into_inner());
        let (slots, pin) = said.map_err(|misread| Status::invalid_argument(misread.to_string()))?;
        Ok(done(self.pins.pin(slots, pin).await))
    }
}
