//! One request for one object, from its bytes to its answer. One file per verb; subresources and admission have folders
//! of their own.
//!
//! A write is a pure decision over the newest pending state ([`Decision`]), repeated when that state moved before the
//! sequencer took it:
//!
//! ```text
//! decode -> stored version -> defaults -> prepare -> admission -> webhooks -> validate -> webhooks -> sequence
//! ```
//!
//! Custom kinds become the stored version last ([`versions`]).
//!
//! Start reading at [`execute`] and [`write()`].

pub(crate) mod body;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod get;
pub(crate) mod list;
pub(crate) mod managed_fields;
mod metadata;
pub(crate) mod patch;
mod restore;
pub(crate) mod update;
mod versions;
mod view;

use std::sync::Arc;
use std::time::Duration;

use api::document::Document;
use api::object::Draft;
use api::resource::{Durability, Resource, Served};
use api::slot::Slot;
use api::strategy::Strategy;
use api::{Object, Status, Value, Version};
use serde_json::json;

use crate::log;
use crate::quota;
use crate::recent::{Logged, Remembered, Seen};
use crate::sequencer::{Change, Proposal, Sequenced, TableId, Ticket};
use crate::service::{Answer, Outcome, Request, ShardError, Verb};
use crate::shard::Shard;
use crate::subresources;
use crate::table::Key;
use crate::webhooks::{self, Memo};

use metadata::must_be_removed;
pub(crate) use versions::Converted;
pub(crate) use view::View;

/// How long a write is derived again while others keep changing the same object.
const CONTENTION: Duration = Duration::from_secs(15);

/// The kind that a request is about, as its shard knows it at that moment.
pub(crate) struct Row {
    pub(crate) table: TableId,
    pub(crate) resource: Arc<Resource>,
    /// What webhooks have said so far.
    pub(crate) reviews: Memo,
    /// What was converted between versions so far.
    pub(crate) converted: Converted,
}

/// One request and what it is about.
#[derive(Clone, Copy)]
pub(crate) struct Call<'a> {
    pub(crate) shard: &'a Shard,
    pub(crate) request: &'a Request,
    pub(crate) resource: &'a Arc<Resource>,
    pub(crate) served: &'a Served,
    pub(crate) table: TableId,
    pub(crate) slot: Slot,
    pub(crate) reviews: &'a Memo,
    pub(crate) converted: &'a Converted,
}

/// A request that may write. See [`crate::service::ShardService::execute`].
pub(crate) async fn execute(shard: &Shard, request: &Request) -> Result<Answer, ShardError> {
    let row = shard.row(request)?;
    let call = Call::new(shard, request, &row)?;
    // Taken before anything is looked up: what a slot's log says about ids is known by then.
    let hold = shard.sequencer.hold(call.slot)?;
    if request.id == 0 {
        return dispatch(call).await;
    }
    let answer = match shard.recent().begin(request.id) {
        Seen::New(running) => {
            let result = dispatch(call).await;
            running.done(&result);
            return result;
        }
        Seen::Runs(mut receiver) => {
            let answered = tokio::time::timeout(CONTENTION, receiver.wait_for(Option::is_some)).await;
            let remembered = match answered {
                Ok(Ok(remembered)) => remembered.expect("waited for it"),
                _ => return Err(Status::unavailable("the same request was given up elsewhere").into()),
            };
            answer_again(call, remembered)
        }
        Seen::Was(remembered) => answer_again(call, remembered),
    };
    // An answer is looked for in tables that may have lost it meanwhile.
    shard.sequencer.check(hold)?;
    let answer = answer?;
    match &answer.outcome {
        Outcome::Object(object) if request.subresource == "scale" => {
            Ok(subresources::scale::show(call, object.clone()).await?)
        }
        _ => Ok(answer),
    }
}

fn answer_again(call: Call<'_>, remembered: Remembered) -> Result<Answer, Status> {
    remembered.answer(|version| find(call, version), |logged, object| replay(call, logged, object))
}

/// The answer to a write that another owner of the slot, or another process, carried out.
fn replay(call: Call<'_>, logged: Logged, object: Arc<Object>) -> Result<Answer, Status> {
    if logged.table != call.table {
        return Err(Status::bad_request("the id of this request was used for another one"));
    }
    match (&*call.request.subresource, logged.operation) {
        ("binding" | "eviction", _) => Ok(created()),
        (_, log::Operation::Delete) => Ok(call.deleted_status(Some(&object))),
        _ => Ok(object_answer(logged.code, object)),
    }
}

/// An object that was answered before, as long as anybody still knows it.
fn find(call: Call<'_>, version: Version) -> Option<Arc<Object>> {
    let (shard, table, key) = (call.shard, call.table, call.key());
    let pending = shard.sequencer.newest(table, &key).object.filter(|object| object.version == version);
    pending.or_else(|| shard.table(table).at_version(&key, version))
}

async fn dispatch(call: Call<'_>) -> Result<Answer, ShardError> {
    match (&*call.request.subresource, &call.request.verb) {
        ("", Verb::Create { .. }) => create::create(call).await,
        ("", Verb::Update { .. }) => update::update(call).await,
        ("", Verb::Patch { .. }) => patch::patch(call).await,
        ("", Verb::Delete { options }) => delete::delete(call, options).await,
        ("", Verb::Restore { tail, above }) => restore::restore(call, tail, *above).await,
        ("status", Verb::Update { .. } | Verb::Patch { .. }) => subresources::status::write(call).await,
        ("scale", Verb::Update { .. } | Verb::Patch { .. }) => subresources::scale::write(call).await,
        ("binding", Verb::Create { .. }) => subresources::binding::bind(call).await,
        ("eviction", Verb::Create { .. }) => subresources::eviction::evict(call).await,
        ("finalize", Verb::Update { .. }) => subresources::finalize::finalize(call).await,
        _ => Err(call.method_not_allowed().into()),
    }
}

/// What a write comes to.
pub(crate) enum Decision {
    /// The object becomes this document. Its managedFields may be text (see [`Object::working_copy`]).
    Put { document: Value, code: u16 },
    /// It goes. The answer is a `Status` of success, the last state, or the document that an update made of it.
    Remove(Removal),
    /// Nothing changes.
    Same(Answer),
}

/// What a removal answers.
pub(crate) enum Removal {
    Status,
    LastState,
    Document(Value),
}

/// Carries out a write: `decide` is asked until its decision was derived from what the sequencer still has.
pub(crate) async fn write<F>(call: Call<'_>, dry_run: bool, mut decide: F) -> Result<Answer, ShardError>
where
    F: FnMut(&mut View<'_>) -> Result<Decision, Status>,
{
    webhooks::ready(call).await?;
    let mut deadline = tokio::time::Instant::now() + CONTENTION;
    loop {
        // What is not there may have left with its slot: an answer that is derived from it is checked.
        let hold = call.shard.sequencer.hold(call.slot)?;
        quota::ready(call).await?;
        let mut view = View::new(call, dry_run);
        let decision = decide(&mut view);
        if call.wants_conversion() {
            let began = tokio::time::Instant::now();
            settle_read(call, view.ticket).await?;
            call.convert_wanted().await?;
            deadline += began.elapsed();
            continue;
        }
        if let Some(question) = view.question.take() {
            let began = tokio::time::Instant::now();
            // They are shown nothing that may yet fail.
            settle_read(call, view.ticket).await?;
            webhooks::answer(call, *question).await?;
            deadline += began.elapsed();
            continue;
        }
        let warnings = std::mem::take(&mut view.warnings);
        let decision = match decision {
            Ok(Decision::Same(answer)) => {
                settle_read(call, view.ticket).await?;
                call.shard.sequencer.check(hold)?;
                return Ok(call.warned(answer, warnings));
            }
            Err(status) => {
                // A refusal that is derived from what may yet fail is none.
                settle_read(call, view.ticket).await?;
                call.shard.sequencer.check(hold)?;
                return Err(status.into());
            }
            Ok(decision) => decision,
        };
        if dry_run {
            settle_read(call, view.ticket).await?;
            call.shard.sequencer.check(hold)?;
            let is_pretended = view.is_pretended;
            let answer = call.dry_answer(decision, view.object);
            return Ok(if is_pretended { answer } else { call.warned(answer, warnings) });
        }
        let (proposal, answer) = call.propose(decision, &view);
        match call.shard.sequencer.propose(proposal)? {
            Sequenced::Done { object, ticket, early } => {
                if !early {
                    ticket.wait().await?;
                }
                return Ok(call.warned(answer.finish(object), warnings));
            }
            Sequenced::Moved => {}
            Sequenced::Full(ticket) => drop(ticket.wait().await),
        }
        if tokio::time::Instant::now() > deadline {
            return Err(call.stale().into());
        }
    }
}

/// Waits for what an answer was derived from; relaxed kinds show it early.
async fn settle_read(call: Call<'_>, ticket: Option<Ticket>) -> Result<(), ShardError> {
    match ticket {
        Some(ticket) if call.durability() == Durability::Strict => ticket.wait().await,
        _ => Ok(()),
    }
}

/// What the answer will be once the write has its version.
enum Pending {
    Object(u16),
    Status(Answer),
    Draft(Draft),
}

impl Pending {
    fn finish(self, object: Arc<Object>) -> Answer {
        match self {
            Self::Object(code) => Answer { code, outcome: Outcome::Object(object), warnings: Vec::new() },
            Self::Status(answer) => answer,
            Self::Draft(draft) => {
                let object = Arc::new(draft.seal(object.version));
                Answer { code: 200, outcome: Outcome::Object(object), warnings: Vec::new() }
            }
        }
    }
}

impl<'a> Call<'a> {
    pub(crate) fn new(shard: &'a Shard, request: &'a Request, row: &'a Row) -> Result<Self, Status> {
        let Row { table, resource, reviews, converted } = row;
        let served = resource.served.get(request.served).ok_or_else(Status::unknown_path)?;
        let slot = resource.slot(&request.cluster, &request.namespace, &request.name);
        Ok(Self { shard, request, resource, served, table: *table, slot, reviews, converted })
    }

    pub(crate) fn key(&self) -> Key {
        (self.request.namespace.clone(), self.request.name.clone())
    }

    pub(crate) fn durability(&self) -> Durability {
        self.resource.durability(&self.request.namespace)
    }

    /// Now, as metadata's times are written.
    pub(crate) fn now(&self) -> String {
        api::time::format_seconds(self.now_micros())
    }

    /// Microseconds since 1970.
    pub(crate) fn now_micros(&self) -> i64 {
        self.shard.ambient.clock.wall_micros()
    }

    /// The table of another resource of the same cluster; `None` where it is not served.
    pub(crate) fn other_table(&self, id_name: &str) -> Option<TableId> {
        let resource = self.shard.registry.named(id_name)?;
        self.shard.table_id(&self.request.cluster, resource.id).ok()
    }

    /// The kind's rules, in the version at hand.
    pub(crate) fn rules(&self) -> &'a dyn Strategy {
        self.resource.rules(self.served)
    }

    /// Whether this is the core resource of that name.
    pub(crate) fn is(&self, id_name: &str) -> bool {
        self.resource.id_name == id_name
    }

    pub(crate) fn not_found(&self) -> Status {
        Status::not_found(&self.served.group, &self.resource.plural, &self.request.name)
    }

    pub(crate) fn stale(&self) -> Status {
        Status::stale(&self.served.group, &self.resource.plural, &self.request.name)
    }

    pub(crate) fn conflict(&self, why: &str) -> Status {
        Status::conflict(&self.served.group, &self.resource.plural, &self.request.name, why)
    }

    pub(crate) fn forbidden(&self, why: &str) -> Status {
        Status::forbidden(&self.served.group, &self.resource.plural, &self.request.name, why)
    }

    pub(crate) fn method_not_allowed(&self) -> Status {
        let verb = match &self.request.verb {
            Verb::Get { .. } => "get",
            Verb::Create { .. } => "create",
            Verb::Update { .. } => "update",
            Verb::Patch { .. } => "patch",
            Verb::Delete { .. } => "delete",
            Verb::Restore { .. } => "restore",
        };
        Status::method_not_allowed(&self.served.group, &self.resource.plural, verb)
    }

    /// A stored document as the served version has it, with kind and apiVersion.
    fn as_served(&self, document: Value) -> Value {
        self.as_version(self.served, document)
    }

    /// The same in another served version.
    pub(crate) fn as_version(&self, served: &Served, mut document: Value) -> Value {
        managed_fields::show(&mut document);
        if let Some(convert) = &served.convert {
            (convert.from_stored)(&mut document);
        }
        document.set(&["kind"], self.resource.kind.as_str());
        document.set(&["apiVersion"], served.api_version());
        document
    }

    /// Whether the client asked for a dry run.
    pub(crate) fn is_dry_run(&self) -> bool {
        match &self.request.verb {
            Verb::Get { .. } | Verb::Restore { .. } => false,
            Verb::Create { options, .. } | Verb::Update { options, .. } | Verb::Patch { options, .. } => {
                options.dry_run
            }
            Verb::Delete { options } => options.dry_run,
        }
    }

    /// With what the kind's rules and webhooks warned of.
    fn warned(&self, mut answer: Answer, mut warnings: Vec<String>) -> Answer {
        answer.warnings.append(&mut warnings);
        answer.warnings.append(&mut self.reviews.take_warnings());
        answer
    }

    fn propose(&self, decision: Decision, view: &View<'_>) -> (Proposal, Pending) {
        let revision = quota::revision(*self, view, &decision);
        let charged = match &decision {
            Decision::Put { document, .. } => view.charged.clone().or_else(|| quota::charge(*self, document)),
            Decision::Remove(_) | Decision::Same(_) => None,
        };
        let (change, code, operation, answer) = match decision {
            Decision::Put { document, code } => {
                let draft = Draft::new(self.resource, &document);
                (Change::Put(draft), code, log::Operation::Put, Pending::Object(code))
            }
            Decision::Remove(removal) => {
                let operation = match removal {
                    Removal::Status => log::Operation::Delete,
                    Removal::LastState | Removal::Document(_) => log::Operation::DeleteShown,
                };
                (Change::Delete, 200, operation, self.removal_answer(removal, view.object.as_deref()))
            }
            Decision::Same(_) => unreachable!("answered without a write"),
        };
        let proposal = Proposal {
            table: self.table,
            key: self.key(),
            slot: self.slot,
            durability: self.durability(),
            base: view.object.as_ref().map(|object| object.version),
            guards: view.guards.clone(),
            change,
            request: self.request.id,
            code,
            operation,
            place: self.place(),
            charged,
            revision,
        };
        (proposal, answer)
    }

    fn removal_answer(&self, removal: Removal, object: Option<&Object>) -> Pending {
        match removal {
            Removal::LastState => Pending::Object(200),
            Removal::Document(document) => Pending::Draft(Draft::new(self.resource, &document)),
            Removal::Status => Pending::Status(self.deleted_status(object)),
        }
    }

    fn deleted_status(&self, object: Option<&Object>) -> Answer {
        let uid = object.map_or_else(String::new, |object| object.document().uid().to_owned());
        let mut details = json!({"name": self.request.name, "kind": self.resource.plural, "uid": uid});
        if !self.served.group.is_empty() {
            details.set(&["group"], self.served.group.as_str());
        }
        document_answer(200, success(details))
    }

    /// The answer to what would have been done.
    fn dry_answer(&self, decision: Decision, base: Option<Arc<Object>>) -> Answer {
        let version = base.as_ref().map(|object| object.version);
        match (decision, version) {
            (Decision::Same(answer), _) => answer,
            (Decision::Put { document, code }, Some(version)) => self.sealed(code, &document, version),
            // A creation has no version to show.
            (Decision::Put { mut document, code }, None) => {
                document.remove(&["metadata", "resourceVersion"]);
                document_answer(code, self.as_served(document))
            }
            (Decision::Remove(Removal::Document(document)), Some(version)) => self.sealed(200, &document, version),
            (Decision::Remove(Removal::LastState), Some(_)) => object_answer(200, base.expect("it has a version")),
            (Decision::Remove(_), _) => self.deleted_status(base.as_deref()),
        }
    }

    fn sealed(&self, code: u16, document: &Value, version: Version) -> Answer {
        object_answer(code, Arc::new(Draft::new(self.resource, document).seal(version)))
    }
}

pub(crate) fn object_answer(code: u16, object: Arc<Object>) -> Answer {
    Answer { code, outcome: Outcome::Object(object), warnings: Vec::new() }
}

pub(crate) fn document_answer(code: u16, document: Value) -> Answer {
    Answer { code, outcome: Outcome::Document(Arc::new(document)), warnings: Vec::new() }
}

/// What POSTs to a subresource are answered.
pub(crate) fn created() -> Answer {
    let status = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    document_answer(201, status)
}

/// A `Status` of success.
pub(crate) fn success(details: Value) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}
