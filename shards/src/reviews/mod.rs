//! What a cluster's own configuration says to a write: admission policies ([`crate::policies`]) and webhooks
//! ([`crate::webhooks`]).
//!
//! A decision never waits ([`crate::verbs::write`]). Policies do not have to: they are run where they stand. A webhook may take
//! 30 seconds, so a decision *asks*: it looks for an answer in the request's [`Memo`]; where there is none it leaves a
//! [`Question`] with the view and gives itself up. The write then has the question answered, outside of every lock ([`answer`]),
//! and derives its decision again. An answer holds for the version that it was derived from: when somebody else was faster,
//! everybody is asked again. What nobody is meant for never leaves the first pass.
//!
//! ```text
//! admission steps -> mutating policies -> mutating webhooks -> (the same once more, for those that want to see changes)
//!     -> validation of the kind -> validating policies -> validating webhooks -> sequence
//! ```
//!
//! The parts: [`Matching`] says who is meant, [`Subject`] what they see, [`Conditions`] and [`Facts`] are for those that say it in
//! expressions, [`mod@authority`] is whom those ask about users, [`Again`] remembers who is asked twice.
//!
//! Invariants: the object that is committed is the one that the last mutating one made and every validating one saw;
//! configurations of policies are never reviewed, and those of webhooks by policies only, so that they can always be mended.

mod again;
mod authority;
mod conditions;
mod facts;
mod matching;
mod memo;
pub(crate) mod request;
mod subject;

use std::sync::Arc;

use api::{Object, Status, Value, Version};

use crate::admission::{Operation, is_apart};
use crate::authorization::Settled;
use crate::follow::Kind;
use crate::policies::{self, Policies};
use crate::service::Verb;
use crate::verbs::{Call, View};
use crate::webhooks::{self, Hooks};
pub(crate) use again::Again;
pub(crate) use conditions::Conditions;
pub(crate) use facts::{Beside, Budget, Expression, Facts, SPENT, Spent, Variables};
pub(crate) use matching::{Matching, NamespaceLabels};
pub(crate) use memo::Memo;
pub(crate) use subject::{Own, Subject};

/// How often one request may ask: each change by others costs up to three rounds.
const ROUNDS: u32 = 30;

/// Who is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// One after another; each may change the object.
    Mutating,
    /// When the object is final.
    Validating,
}

impl Phase {
    pub(crate) const ALL: [Self; 2] = [Self::Mutating, Self::Validating];
}

/// Which time those that change objects are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pass {
    First,
    /// Only who wants to see what others have changed since.
    Again,
}

/// Everybody that one request may be shown to, as configured when it came.
pub(crate) struct Reviewers {
    policies: [Policies; 2],
    hooks: [Hooks; 2],
    /// Who may what, where an expression asks.
    authority: Option<Settled>,
}

impl Reviewers {
    /// Whether an expression asks what users may do.
    fn ask(&self) -> bool {
        self.policies.iter().flat_map(|policies| policies.iter()).any(|bound| bound.policy.asks)
            || self.hooks.iter().flat_map(|hooks| hooks.iter()).any(|hook| hook.asks())
    }

    fn is_empty(&self) -> bool {
        self.policies.iter().all(|policies| policies.is_empty()) && self.hooks.iter().all(|hooks| hooks.is_empty())
    }

    /// Whether anybody may be meant for what a request does, whatever the object.
    fn may_match(&self, call: Call<'_>, phase: Phase, operation: Operation) -> bool {
        self.policies[phase as usize].iter().any(|set| set.policy.matching.served(call, operation).is_some())
            || self.hooks[phase as usize].iter().any(|hook| hook.matching.served(call, operation).is_some())
    }
}

/// What webhooks are asked about.
pub(crate) struct Question {
    pub(crate) phase: Phase,
    pub(crate) pass: Pass,
    /// The version that the document was derived from.
    base: Option<Version>,
    pub(crate) subject: Subject,
    pub(crate) again: Again,
    reviewers: Arc<Reviewers>,
}

/// Waits for the configurations to be known, and for what the policies among them need.
pub(crate) async fn ready(call: Call<'_>) -> Result<(), Status> {
    let reviewers = reviewers(call).await?;
    if reviewers.is_some() && call.resource.namespaced && is_apart(call.resource, &call.request.namespace) {
        call.shard.followed.ready(call, Kind::Namespaces).await?;
    }
    call.reviews.begin(reviewers);
    Ok(())
}

async fn reviewers(call: Call<'_>) -> Result<Option<Arc<Reviewers>>, Status> {
    // What is restored was reviewed when it was written.
    if matches!(call.request.verb, Verb::Restore { .. }) || !call.served.is_public() {
        return Ok(None);
    }
    if call.shard.followed.none_of(call, &Kind::REVIEWERS) {
        return Ok(None);
    }
    for kind in Kind::REVIEWERS {
        call.shard.followed.ready_or_none(call, kind).await?;
    }
    let mut reviewers = Reviewers {
        policies: Phase::ALL.map(|phase| call.shard.policies.of(call, phase)),
        hooks: Phase::ALL.map(|phase| call.shard.webhooks.of(call, phase)),
        authority: None,
    };
    if reviewers.is_empty() {
        return Ok(None);
    }
    for policies in &reviewers.policies {
        policies::follow_params(call, policies).await;
    }
    if reviewers.ask() {
        reviewers.authority = Some(call.authority().await?);
    }
    Ok(Some(Arc::new(reviewers)))
}

/// How the server's own part of a write is done once more, behind somebody who changed the document.
pub(crate) type Prepare<'a> = dyn FnMut(&mut View<'_>, &mut Value) -> Result<(), Status> + 'a;

/// Has a document changed by those that are meant for it. An error may mean that webhooks have to be asked first.
pub(crate) fn mutate(
    call: Call<'_>,
    view: &mut View<'_>,
    operation: Operation,
    old: Option<&Value>,
    document: &mut Value,
    prepare: &mut Prepare<'_>,
) -> Result<(), Status> {
    let Some(reviewers) = call.reviews.reviewers() else { return Ok(()) };
    if !reviewers.may_match(call, Phase::Mutating, operation) {
        return Ok(());
    }
    let mut again = Again::default();
    for pass in [Pass::First, Pass::Again] {
        if !mutate_once(call, view, &reviewers, pass, (operation, old), document, &mut again)? {
            break;
        }
        prepare(view, document)?;
        if !again.is_needed() {
            break;
        }
    }
    Ok(())
}

/// Answers whether anybody had a say.
fn mutate_once(
    call: Call<'_>,
    view: &mut View<'_>,
    reviewers: &Arc<Reviewers>,
    pass: Pass,
    (operation, old): (Operation, Option<&Value>),
    document: &mut Value,
    again: &mut Again,
) -> Result<bool, Status> {
    let base = view.object.as_ref().map(|object| object.version);
    if let Some((mutated, state)) = call.reviews.mutated(pass, base) {
        (*document, *again) = (mutated, state);
        return Ok(true);
    }
    let namespace = namespace_of(call, view, operation, document);
    let taken = std::mem::take(document);
    let mut subject = Subject { operation, document: taken, old: old.cloned(), own: None, namespace };
    let mutated = policies::mutate(call, &reviewers.policies[0], pass, &mut subject, again)?;
    again.hooks.begin(pass, &subject.document);
    if webhooks::are_meant(call, &reviewers.hooks[0], pass, &subject, again) {
        let (reviewers, again) = (reviewers.clone(), again.clone());
        let question = Question { phase: Phase::Mutating, pass, base, subject, again, reviewers };
        return Err(asking(view, question));
    }
    *document = subject.document;
    Ok(mutated)
}

/// Puts a final document before those that are meant for it. An error may mean that webhooks have to be asked first; when they
/// were, the document becomes what they saw.
pub(crate) fn validate(
    call: Call<'_>,
    view: &mut View<'_>,
    operation: Operation,
    old: Option<&Value>,
    document: &mut Value,
) -> Result<(), Status> {
    // A pass that only finds out what has to be reserved is followed by the one that counts.
    if view.is_pretended {
        return Ok(());
    }
    let Some(reviewers) = call.reviews.reviewers() else { return Ok(()) };
    if !reviewers.may_match(call, Phase::Validating, operation) {
        return Ok(());
    }
    let base = view.object.as_ref().map(|object| object.version);
    if let Some(validated) = call.reviews.validated(base) {
        *document = validated;
        return Ok(());
    }
    let namespace = namespace_of(call, view, operation, document);
    let subject = Subject { operation, document: document.clone(), old: old.cloned(), own: None, namespace };
    validate_by_policies(call, &reviewers, &subject)?;
    let again = Again::default();
    if !webhooks::are_meant(call, &reviewers.hooks[1], Pass::First, &subject, &again) {
        return Ok(());
    }
    let question = Question { phase: Phase::Validating, pass: Pass::First, base, subject, again, reviewers };
    Err(asking(view, question))
}

fn validate_by_policies(call: Call<'_>, reviewers: &Reviewers, subject: &Subject) -> Result<(), Status> {
    let mut warnings = Vec::new();
    let verdict = policies::validate(call, &reviewers.policies[1], subject, &mut warnings);
    call.reviews.advise(warnings);
    verdict
}

fn asking(view: &mut View<'_>, question: Question) -> Status {
    view.question = Some(Box::new(question));
    Status::internal("webhooks have to be asked first")
}

/// Answers a question that a decision left behind.
pub(crate) async fn answer(call: Call<'_>, mut question: Question) -> Result<(), Status> {
    if !call.reviews.may_ask(ROUNDS) {
        return Err(call.stale());
    }
    ask(call, &mut question).await?;
    let Question { phase, pass, base, subject, again, .. } = question;
    match phase {
        Phase::Mutating => call.reviews.remember_mutated(pass, base, subject.document, again),
        Phase::Validating => call.reviews.remember_validated(base, subject.document),
    }
    Ok(())
}

/// Has the webhooks answer. What they warn of is noted.
async fn ask(call: Call<'_>, question: &mut Question) -> Result<(), Status> {
    let hooks = question.reviewers.hooks[question.phase as usize].clone();
    let mut warnings = Vec::new();
    let asked = match question.phase {
        Phase::Mutating => webhooks::mutate(call, question, &hooks, &mut warnings).await,
        Phase::Validating => webhooks::validate(call, question, &hooks, &mut warnings).await,
    };
    call.reviews.warn(warnings);
    asked
}

/// Puts the body of a subresource that is no part of an object (Binding, Eviction) before everybody.
pub(crate) async fn review_own(call: Call<'_>, own: Own, body: &mut Value) -> Result<(), Status> {
    ready(call).await?;
    let Some(reviewers) = call.reviews.reviewers() else { return Ok(()) };
    let operation = Operation::Create;
    if !Phase::ALL.iter().any(|phase| reviewers.may_match(call, *phase, operation)) {
        return Ok(());
    }
    // Pods live with their Namespace.
    let key = (Default::default(), call.request.namespace.clone());
    let namespace = call.other_table("namespaces").and_then(|table| call.shard.sequencer.newest(table, &key).object);
    let namespace = namespace.map_or(NamespaceLabels::Unknown, NamespaceLabels::Of);
    let subject = Subject { operation, document: std::mem::take(body), old: None, own: Some(own), namespace };
    let (phase, again) = (Phase::Mutating, Again::default());
    let mut question = Question { phase, pass: Pass::First, base: None, subject, again, reviewers: reviewers.clone() };
    for pass in [Pass::First, Pass::Again] {
        question.pass = pass;
        policies::mutate(call, &reviewers.policies[0], pass, &mut question.subject, &mut question.again)?;
        question.again.hooks.begin(pass, &question.subject.document);
        ask(call, &mut question).await?;
        if !question.again.is_needed() {
            break;
        }
    }
    validate_by_policies(call, &reviewers, &question.subject)?;
    question.phase = Phase::Validating;
    ask(call, &mut question).await?;
    *body = question.subject.document;
    Ok(())
}

/// The labels that namespaceSelectors look at.
fn namespace_of(call: Call<'_>, view: &mut View<'_>, operation: Operation, document: &Value) -> NamespaceLabels {
    let found = |namespace: Option<Arc<Object>>| namespace.map_or(NamespaceLabels::Unknown, NamespaceLabels::Of);
    if call.is("namespaces") {
        // What is being written is newer than what anybody has heard of.
        return match operation {
            Operation::Create | Operation::Update if call.request.subresource.is_empty() => {
                NamespaceLabels::Written(document.get("metadata").and_then(|it| it.get("labels")).cloned())
            }
            _ => found(view.object.clone()),
        };
    }
    let name = &call.request.namespace;
    if !call.resource.namespaced || name.is_empty() {
        return NamespaceLabels::ClusterScoped;
    }
    if is_apart(call.resource, name) {
        return found(call.shard.followed.get(call, Kind::Namespaces, name));
    }
    let table = call.other_table("namespaces");
    found(table.and_then(|table| view.read(table, &(Default::default(), name.clone()))))
}
