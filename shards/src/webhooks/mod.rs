//! Admission webhooks: what a cluster's own servers say to its writes.
//!
//! A decision never waits ([`crate::verbs::write`]), and a webhook may take 30 seconds. So a decision *asks*: [`review()`] looks
//! for an answer in the request's [`Memo`]; where there is none it leaves a [`Question`] with the view and gives the decision up.
//! The write then has the question answered, outside of every lock ([`answer`]), and derives its decision again. An answer
//! holds for the version that it was derived from: when somebody else was faster, webhooks are asked again. What no webhook is
//! meant for never leaves the first pass.
//!
//! ```text
//! configuration (followed, compiled) -> matching -> dispatch (order, reinvocation, policy) -> review -> crate::outside (HTTPS)
//! ```
//!
//! Invariants: the object that is committed is the one that the last mutating webhook made and every validating one saw;
//! configurations of webhooks and policies are never reviewed, so that they can always be mended.
//!
//! Not here yet: matchConditions (they are refused on write), CONNECT (no subresource connects yet), a client certificate or
//! token towards webhooks, audit annotations (there is no audit log).

mod configuration;
mod dispatch;
mod matching;
mod metrics;
mod review;
mod subject;

use std::collections::HashMap;
use std::sync::Arc;

use api::{Object, Status, Value, Version};
use parking_lot::Mutex;

use crate::admission::{Operation, is_apart};
use crate::follow::Kind;
use crate::service::Verb;
use crate::verbs::{Call, View};
use configuration::Hook;
use matching::NamespaceLabels;
pub(crate) use metrics::WebhookMetrics;
pub(crate) use subject::Own;

/// How often one request may ask: each change by others costs up to two rounds.
const ROUNDS: u32 = 20;

/// Which of the two lists of webhooks is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// One after another; each may change the object.
    Mutating,
    /// All at once, when the object is final.
    Validating,
}

impl Phase {
    fn kind(self) -> Kind {
        match self {
            Self::Mutating => Kind::MutatingWebhooks,
            Self::Validating => Kind::ValidatingWebhooks,
        }
    }

    /// The reference's label of metrics.
    fn label(self) -> &'static str {
        match self {
            Self::Mutating => "admit",
            Self::Validating => "validating",
        }
    }
}

/// Webhooks in the order in which they are asked.
type Hooks = Arc<[Arc<Hook>]>;

/// The webhooks of every cluster that the shard has tables of, compiled when their configurations change.
#[derive(Default)]
pub(crate) struct Webhooks {
    /// By the cluster's position and the phase: how often the copy had changed, and what it came to.
    compiled: Mutex<HashMap<(usize, Phase), (u64, Hooks)>>,
}

impl Webhooks {
    /// `None` where there are none, which is cheap to find out.
    fn of(&self, call: Call<'_>, phase: Phase) -> Option<Hooks> {
        if is_exempt(call) {
            return None;
        }
        let informer = call.shard.followed.of(call, phase.kind())?;
        let (changes, count) = informer.glance()?;
        if count == 0 {
            return None;
        }
        let cluster = call.shard.layout.cluster_at(&call.request.cluster)?;
        let mut compiled = self.compiled.lock();
        let known = compiled.get(&(cluster, phase));
        if let Some((_, hooks)) = known.filter(|(as_of, _)| *as_of == changes) {
            return Some(hooks.clone());
        }
        let before = known.map(|(_, hooks)| hooks.clone()).unwrap_or_default();
        let hooks = configuration::compile(&informer.all(), phase, &before);
        compiled.insert((cluster, phase), (changes, hooks.clone()));
        Some(hooks)
    }
}

/// What webhooks never see: what says which webhooks and policies there are, and what is stored without being served.
fn is_exempt(call: Call<'_>) -> bool {
    const EXEMPT: [&str; 6] = [
        "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
        "mutatingwebhookconfigurations",
        "validatingadmissionpolicies",
        "validatingadmissionpolicybindings",
        "validatingwebhookconfigurations",
    ];
    let resource = call.resource;
    // What is restored was reviewed when it was written.
    matches!(call.request.verb, Verb::Restore { .. })
        || !call.served.is_public()
        || (resource.group == "admissionregistration.k8s.io" && EXEMPT.contains(&resource.plural.as_str()))
}

/// What webhooks have said so far to one request.
#[derive(Default)]
pub(crate) struct Memo(Mutex<Said>);

#[derive(Default)]
struct Said {
    mutated: Option<(Option<Version>, Value)>,
    validated: Option<(Option<Version>, Value)>,
    warnings: Vec<String>,
    rounds: u32,
}

impl Said {
    fn place(&mut self, phase: Phase) -> &mut Option<(Option<Version>, Value)> {
        match phase {
            Phase::Mutating => &mut self.mutated,
            Phase::Validating => &mut self.validated,
        }
    }
}

impl Memo {
    /// The warnings, which are the caller's from now on.
    pub(crate) fn take_warnings(&self) -> Vec<String> {
        std::mem::take(&mut self.0.lock().warnings)
    }
}

/// What webhooks are asked about.
pub(crate) struct Question {
    phase: Phase,
    operation: Operation,
    /// The version that the document was derived from.
    base: Option<Version>,
    /// As stored; null for a deletion.
    document: Value,
    /// As stored.
    old: Option<Value>,
    /// What a subresource's body is, where it is no part of the object.
    own: Option<Own>,
    namespace: NamespaceLabels,
}

/// Waits for the configurations to be known, and for the labels of namespaces where they will be wanted.
pub(crate) async fn ready(call: Call<'_>) -> Result<(), Status> {
    if is_exempt(call) {
        return Ok(());
    }
    let mut any = false;
    for phase in [Phase::Mutating, Phase::Validating] {
        call.shard.followed.ready_or_none(call, phase.kind()).await?;
        any |= call.shard.webhooks.of(call, phase).is_some();
    }
    if any && call.resource.namespaced && is_apart(call.resource, &call.request.namespace) {
        call.shard.followed.ready(call, Kind::Namespaces).await?;
    }
    Ok(())
}

/// Whether any webhook might be meant for a write.
pub(crate) fn are_there(call: Call<'_>) -> bool {
    [Phase::Mutating, Phase::Validating].iter().any(|phase| call.shard.webhooks.of(call, *phase).is_some())
}

/// Puts a document before the webhooks that are meant for it. Answers whether they were asked: then the document is what they
/// saw or made, and whoever changed it since has to change it again. An error may mean that they have to be asked first.
pub(crate) fn review(
    call: Call<'_>,
    view: &mut View<'_>,
    phase: Phase,
    operation: Operation,
    old: Option<&Value>,
    document: &mut Value,
) -> Result<bool, Status> {
    // A pass that only finds out what has to be reserved is followed by the one that counts.
    if view.is_pretended && phase == Phase::Validating {
        return Ok(false);
    }
    let Some(hooks) = call.shard.webhooks.of(call, phase) else { return Ok(false) };
    let base = view.object.as_ref().map(|object| object.version);
    if let Some((for_base, reviewed)) = call.reviews.0.lock().place(phase)
        && *for_base == base
    {
        *document = reviewed.clone();
        return Ok(true);
    }
    let namespace = namespace_of(call, view, operation, document);
    let question =
        Question { phase, operation, base, document: document.clone(), old: old.cloned(), own: None, namespace };
    if !hooks.iter().any(|hook| question.matched(call, hook).is_some()) {
        return Ok(false);
    }
    view.question = Some(Box::new(question));
    Err(Status::internal("webhooks have to be asked first"))
}

/// Answers a question that a decision left behind.
pub(crate) async fn answer(call: Call<'_>, mut question: Question) -> Result<(), Status> {
    {
        let mut said = call.reviews.0.lock();
        said.rounds += 1;
        if said.rounds > ROUNDS {
            return Err(call.stale());
        }
    }
    let phase = question.phase;
    let warnings = ask(call, &mut question).await?;
    let mut said = call.reviews.0.lock();
    said.warnings.extend(warnings);
    *said.place(phase) = Some((question.base, question.document));
    Ok(())
}

/// Puts the body of a subresource that is no part of an object (Binding, Eviction) before both lists of webhooks.
pub(crate) async fn review_own(call: Call<'_>, own: Own, body: &mut Value) -> Result<Vec<String>, Status> {
    ready(call).await?;
    if !are_there(call) {
        return Ok(Vec::new());
    }
    // Pods live with their Namespace.
    let key = (Default::default(), call.request.namespace.clone());
    let namespace = call.other_table("namespaces").and_then(|table| call.shard.sequencer.newest(table, &key).object);
    let namespace = namespace.map_or(NamespaceLabels::Unknown, NamespaceLabels::Of);
    let mut warnings = Vec::new();
    for phase in [Phase::Mutating, Phase::Validating] {
        let mut question = Question {
            phase,
            operation: Operation::Create,
            base: None,
            document: std::mem::take(body),
            old: None,
            own: Some(own),
            namespace: namespace.clone(),
        };
        let said = ask(call, &mut question).await;
        *body = question.document;
        warnings.extend(said?);
    }
    Ok(warnings)
}

async fn ask(call: Call<'_>, question: &mut Question) -> Result<Vec<String>, Status> {
    let Some(hooks) = call.shard.webhooks.of(call, question.phase) else { return Ok(Vec::new()) };
    match question.phase {
        Phase::Mutating => dispatch::mutate(call, question, &hooks).await,
        Phase::Validating => dispatch::validate(call, question, &hooks).await,
    }
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
