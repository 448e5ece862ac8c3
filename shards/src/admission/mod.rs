//! Admission: what the cluster thinks of a write, one file per step, in the reference's order.
//!
//! A step may change the document or refuse. It reads the newest state of its own shard through the decision's view, and
//! configuration of other shards through [`crate::follow`]; whatever has to be asked for is asked before
//! ([`LookedUp`]), so that a decision itself never waits. Reserving addresses and ports does wait, and has a folder of
//! its own ([`service`]), and so do webhooks ([`crate::webhooks`]), and quota, which is decided where the order of writes is
//! ([`crate::quota`]).
//!
//! Not here yet: the token volume of service accounts (with TokenRequest), NodeRestriction, and policies.

mod default_toleration_seconds;
mod limit_ranger;
mod namespace_lifecycle;
mod pod_security;
mod priority;
mod requester;
mod role_escalation;
pub(crate) mod service;
mod service_account;
mod taint_nodes_by_condition;

use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::resource::{Resource, Spread};
use api::{Object, Status, Value};

use crate::authorization::Settled;
use crate::follow::Kind;
use crate::service::{Outcome, Request, Verb};
use crate::verbs::{Call, View};

/// What is being done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Create,
    Update,
    Delete,
}

impl Operation {
    /// As admission reviews spell it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Update => "UPDATE",
            Self::Delete => "DELETE",
        }
    }
}

/// What a step may look at.
pub(crate) struct Attributes<'a, 'v, 'w> {
    pub(crate) call: Call<'a>,
    pub(crate) operation: Operation,
    pub(crate) view: &'v mut View<'w>,
    /// The object before an update or a deletion.
    pub(crate) old: Option<&'v Value>,
    pub(crate) looked_up: &'v LookedUp,
}

type Step = fn(&mut Attributes<'_, '_, '_>, &mut Value) -> Result<(), Status>;

/// The steps, in order. Each looks for itself whether it is meant.
const STEPS: [Step; 7] = [
    requester::admit,
    namespace_lifecycle::admit,
    limit_ranger::admit,
    service_account::admit,
    taint_nodes_by_condition::admit,
    priority::admit,
    default_toleration_seconds::admit,
];

/// Asks every step. Only for the object itself: subresources have rules of their own.
pub(crate) fn admit(attributes: &mut Attributes<'_, '_, '_>, document: &mut Value) -> Result<(), Status> {
    STEPS.iter().try_for_each(|step| step(attributes, document))
}

type Validation = fn(&mut Attributes<'_, '_, '_>, &Value) -> Result<(), Status>;

/// The steps that look at what came of it all, in order, before webhooks do.
const VALIDATIONS: [Validation; 3] = [role_escalation::validate, limit_ranger::validate, pod_security::validate];

/// Asks every step about a document that is final and valid; for any part of an object.
pub(crate) fn validate(attributes: &mut Attributes<'_, '_, '_>, document: &Value) -> Result<(), Status> {
    VALIDATIONS.iter().try_for_each(|step| step(attributes, document))
}

/// What was asked of other shards before the decision.
#[derive(Default)]
pub(crate) struct LookedUp {
    /// The Namespace of an object that does not live in its slot.
    namespace: Option<Arc<Object>>,
    /// The PriorityClass that a Pod names, where this shard does not follow it yet.
    priority_class: Option<Arc<Object>>,
    /// Who may what, for somebody who writes roles or bindings and may not everything.
    authority: Option<Settled>,
}

impl LookedUp {
    pub(crate) async fn before_update(call: Call<'_>) -> Result<Self, Status> {
        Ok(Self { authority: role_escalation::authority(call).await?, ..Self::default() })
    }

    pub(crate) async fn before_create(call: Call<'_>, document: &Value) -> Result<Self, Status> {
        let mut looked_up = Self::before_update(call).await?;
        if call.resource.namespaced && is_apart(call.resource, &call.request.namespace) {
            let name = &call.request.namespace;
            looked_up.namespace = followed_or_asked(call, Kind::Namespaces, name).await?;
        }
        if call.is("pods") {
            let name = document.text(&["spec", "priorityClassName"]);
            if name.is_empty() {
                call.shard.followed.ready(call, Kind::PriorityClasses).await?;
            } else {
                looked_up.priority_class = followed_or_asked(call, Kind::PriorityClasses, name).await?;
            }
            service_account::wait_for_default(call, document).await;
        }
        Ok(looked_up)
    }
}

/// Whether the resource's objects live elsewhere than their Namespace.
pub(crate) fn is_apart(resource: &Resource, namespace: &str) -> bool {
    match resource.spread {
        Spread::Namespace => false,
        Spread::Name => true,
        Spread::NameIn(only) => namespace == only,
        Spread::Scope => namespace.is_empty(),
    }
}

async fn followed_or_asked(call: Call<'_>, kind: Kind, name: &str) -> Result<Option<Arc<Object>>, Status> {
    call.shard.followed.ready(call, kind).await?;
    match call.shard.followed.get(call, kind, name) {
        Some(object) => Ok(Some(object)),
        None => ask(call, kind.id_name(), name).await,
    }
}

/// Reads a cluster-scoped object from its owner; `None` where there is none.
pub(crate) async fn ask(call: Call<'_>, id_name: &str, name: &str) -> Result<Option<Arc<Object>>, Status> {
    let Some(resource) = call.shard.registry.named(id_name) else { return Ok(None) };
    let request = Request {
        id: 0,
        resource: resource.id,
        served: 0,
        subresource: Default::default(),
        namespace: Default::default(),
        name: name.into(),
        verb: Verb::Get { version: None },
        ..call.request.clone()
    };
    match ask_peer(call, resource, request).await {
        Ok(Outcome::Object(object)) => Ok(Some(object)),
        Ok(Outcome::Document(_)) => Ok(None),
        Err(status) if status.code() == 404 => Ok(None),
        Err(status) => Err(status),
    }
}

/// How long one shard waits for another.
const PEER_WAIT: Duration = Duration::from_secs(10);

/// Sends a request to the owner of its object.
pub(crate) async fn ask_peer(call: Call<'_>, resource: &Resource, request: Request) -> Result<Outcome, Status> {
    let slot = resource.slot(&request.cluster, &request.namespace, &request.name);
    let topology = call.shard.topology()?;
    match tokio::time::timeout(PEER_WAIT, topology.execute(slot, request)).await {
        Ok(answer) => answer.map(|answer| answer.outcome),
        Err(_) => Err(Status::new(api::status::Reason::Timeout, "another shard did not answer in time").retry_after(1)),
    }
}
