//! The contract between gateway and shard. In one process it is a function call; between processes it is gRPC.

use std::sync::Arc;
use std::time::Duration;

use api::resource::ResourceId;
use api::selector::Selector;
use api::slot::{Slot, SlotSet};
use api::status::Reason;
use api::{Object, Status, Value, Version};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use smol_str::SmolStr;
use tokio::sync::mpsc;

/// Who asks: authentication.k8s.io UserInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct UserInfo {
    /// Name, `system:anonymous` for nobody.
    pub name: String,
    /// May be empty.
    pub uid: String,
    /// Groups.
    pub groups: Vec<String>,
    /// Extra attributes.
    pub extra: Vec<(String, Vec<String>)>,
}

impl UserInfo {
    /// Who does what nobody asked for.
    pub fn apiserver() -> Self {
        let groups = vec!["system:masters".to_owned()];
        Self { name: "system:apiserver".to_owned(), groups, ..Self::default() }
    }
}

/// fieldValidation of a write.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FieldValidation {
    /// Unknown and duplicate fields are dropped in silence.
    Ignore,
    /// They are dropped and named in Warning headers: the default, as in the reference.
    #[default]
    Warn,
    /// They are a 400.
    Strict,
}

/// How a body is written.
pub use api::codec::Format;
/// Which patch a body is.
pub use api::patch::PatchType;

/// Options that create, update and patch share.
#[derive(Clone, Debug, Default)]
pub struct WriteOptions {
    /// Do everything but the commit.
    pub dry_run: bool,
    /// fieldManager, or what stands for it in the User-Agent.
    pub field_manager: String,
    /// What to do about unknown and duplicate fields.
    pub field_validation: FieldValidation,
    /// Whether an apply takes fields from their managers.
    pub force: bool,
}

/// metav1.DeletionPropagation, resolved from the legacy orphanDependents too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Propagation {
    /// Dependents are left alone.
    Orphan,
    /// The object goes first, then its dependents.
    Background,
    /// Dependents go first.
    Foreground,
}

/// metav1.DeleteOptions.
#[derive(Clone, Debug, Default)]
pub struct DeleteOptions {
    /// Do everything but the commit.
    pub dry_run: bool,
    /// Seconds; `None`: the kind's default.
    pub grace_period_seconds: Option<i64>,
    /// What becomes of dependents; `None`: the kind's default.
    pub propagation: Option<Propagation>,
    /// preconditions.uid
    pub uid: Option<String>,
    /// preconditions.resourceVersion
    pub version: Option<Version>,
}

/// What is asked of one object.
#[derive(Clone, Debug)]
pub enum Verb {
    /// Read. `version`: not older than this.
    Get {
        /// resourceVersion of the request; zero for any, absent for the latest.
        version: Option<Version>,
    },
    /// Make. The request's `name` is already resolved from generateName.
    Create {
        /// The object.
        body: Bytes,
        /// How it is written.
        format: Format,
        /// Options.
        options: WriteOptions,
        /// metadata.uid that the new object gets.
        uid: String,
    },
    /// Replace.
    Update {
        /// The object.
        body: Bytes,
        /// How it is written.
        format: Format,
        /// Options.
        options: WriteOptions,
        /// metadata.uid for kinds that an update may create.
        uid: String,
    },
    /// Change.
    Patch {
        /// The patch.
        body: Bytes,
        /// Which kind of patch.
        patch: PatchType,
        /// Options.
        options: WriteOptions,
        /// metadata.uid for what an apply creates.
        uid: String,
    },
    /// Remove, or start to.
    Delete {
        /// Options.
        options: DeleteOptions,
    },
    /// Put an object of a backup in its place, as it is and without admission; for gateways, in a cluster that nobody is let
    /// into yet. Once more is no harm; another object that is there is a 409.
    Restore {
        /// [`Object::stored`] of the object, whatever its version; empty: only the shard's clock is raised.
        tail: Bytes,
        /// The clock is raised above this first.
        above: Version,
    },
}

/// One request for one object (or its subresource), routed to the owner of its slot.
#[derive(Clone, Debug)]
pub struct Request {
    /// Stored with the write, so that an unknown outcome can be asked for.
    pub id: u128,
    /// Logical cluster (DESIGN D11).
    pub cluster: SmolStr,
    /// The kind.
    pub resource: ResourceId,
    /// Index into `Resource::served`: the version that the body is in and the answer will be rendered in.
    pub served: usize,
    /// `status`, `scale`, `binding`, `eviction`; empty for the object itself.
    pub subresource: SmolStr,
    /// Empty for cluster-scoped kinds.
    pub namespace: SmolStr,
    /// Never empty.
    pub name: SmolStr,
    /// Who asks.
    pub user: Arc<UserInfo>,
    /// What is asked.
    pub verb: Verb,
}

/// What a shard answers.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// The object in its stored version: the gateway renders it.
    Object(Arc<Object>),
    /// A document that is no stored object (Scale, Status), complete with kind and apiVersion.
    Document(Arc<Value>),
}

/// A successful answer.
#[derive(Clone, Debug)]
pub struct Answer {
    /// 200, 201 or 202.
    pub code: u16,
    /// The body.
    pub outcome: Outcome,
    /// Texts for Warning headers.
    pub warnings: Vec<String>,
}

/// Which slots a list is about.
#[derive(Clone, Debug)]
pub enum ListSlots {
    /// All that is asked for lies in this one; its owner answers.
    One(Slot),
    /// The shard must own exactly these, so that the parts of all shards together hold every slot once.
    Exactly(Arc<SlotSet>),
}

/// One shard's part of a list.
#[derive(Clone, Debug)]
pub struct ListRequest {
    /// Whose objects.
    pub slots: ListSlots,
    /// Logical cluster.
    pub cluster: SmolStr,
    /// The kind.
    pub resource: ResourceId,
    /// Empty for all.
    pub namespace: SmolStr,
    /// Which of them.
    pub selector: Arc<Selector>,
    /// The state to read. `None`: the shard's latest, whose version it answers (only where one slot is asked for).
    pub at: Option<Version>,
    /// Only keys (namespace, name) behind this one.
    pub after: Option<(SmolStr, SmolStr)>,
    /// At most so many objects; `usize::MAX` for all.
    pub limit: usize,
}

/// Objects in (namespace, name) order.
#[derive(Clone, Debug)]
pub struct ListPage {
    /// The state that was read.
    pub version: Version,
    /// The objects.
    pub objects: Vec<Arc<Object>>,
    /// Objects behind the last one that match as well; exact.
    pub remaining: usize,
}

/// One committed change.
#[derive(Debug)]
pub struct Event {
    /// The version of the change, deletions included.
    pub version: Version,
    /// Where the object lives.
    pub slot: Slot,
    /// The object after it; for a deletion its last state at `version` (see `Object::at_version`).
    pub object: Arc<Object>,
    /// The object before it; `None` for a creation.
    pub old: Option<Arc<Object>>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// Events in version order and the promise that nothing at or below `watermark` will follow.
#[derive(Clone, Debug, Default)]
pub struct Delivery {
    /// May be empty: then only the promise moved.
    pub events: Vec<Arc<Event>>,
    /// Not below the last event's version.
    pub watermark: Version,
    /// The slots that the stream is about from `watermark` on, where that has changed. A slot that has gone will have no
    /// more events here. One that has come has those behind `watermark`; what it had before is for
    /// [`ShardService::history`] to tell.
    pub slots: Option<Arc<SlotSet>>,
}

/// From where a resource is followed.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// Logical cluster.
    pub cluster: SmolStr,
    /// The kind.
    pub resource: ResourceId,
    /// Events behind this version; `None`: from the oldest retained.
    pub from: Option<Version>,
}

/// A shard's stream of one resource. It ends when the subscriber was too slow or the shard goes: subscribe again from
/// the last watermark.
#[derive(Debug)]
pub struct Subscription {
    /// The version behind which events follow: the one asked for or, without one, the shard's oldest retained.
    pub from: Version,
    /// The slots that it is about: every event of theirs behind `from` is in it, whoever wrote it, and none of others.
    pub slots: Arc<SlotSet>,
    /// Bounded.
    pub deliveries: mpsc::Receiver<Delivery>,
}

/// What has happened in some slots, for who followed them at a former owner.
#[derive(Clone, Debug)]
pub struct HistoryRequest {
    /// Logical cluster.
    pub cluster: SmolStr,
    /// The kind.
    pub resource: ResourceId,
    /// Slots that the shard owns.
    pub slots: Arc<SlotSet>,
    /// Events behind this version.
    pub from: Version,
}

/// Every event of the slots in `(from, to]`, in version order. Those behind `to` come in the shard's stream.
#[derive(Clone, Debug)]
pub struct History {
    /// The events.
    pub events: Vec<Arc<Event>>,
    /// Nothing at or below it will follow.
    pub to: Version,
}

/// Why a shard did not answer, and so what may be assumed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ShardError {
    /// It did: this is the answer.
    #[error(transparent)]
    Status(#[from] Status),
    /// Surely not carried out: the shard does not own the slots, or not any more, or not yet. Look at the map again.
    #[error("the shard does not own the slots that were asked for")]
    NotOwner,
    /// Surely not carried out: the request did not reach the shard.
    #[error("the shard cannot be reached: {0}")]
    Unreachable(String),
    /// It may have been carried out: the connection ended before the answer came. Ask again under the same request id.
    #[error("the connection to the shard was lost: {0}")]
    Lost(String),
}

impl ShardError {
    /// Whether the request was surely not carried out, and another shard, or the same one later, may be asked.
    pub fn is_unexecuted(&self) -> bool {
        matches!(self, Self::NotOwner | Self::Unreachable(_))
    }

    /// What a client is told when nobody could be asked again.
    pub fn into_status(self) -> Status {
        match self {
            Self::Status(status) => status,
            unexecuted if unexecuted.is_unexecuted() => Status::unavailable(unexecuted.to_string()).retry_after(1),
            // As the reference words what may have happened.
            lost => Status::new(
                Reason::Timeout,
                format!(
                    "Timeout: request did not complete within the allotted timeout, its outcome is unknown: {lost}"
                ),
            ),
        }
    }
}

/// What a gateway, or another shard, sees of a shard.
///
/// Every answer is derived from durable state only (relaxed kinds excepted, see DESIGN D6). Dropping a future gives up
/// the answer, not the write.
pub trait ShardService: Send + Sync + 'static {
    /// One verb on one object of a slot that this shard owns.
    fn execute(&self, request: Request) -> BoxFuture<'_, Result<Answer, ShardError>>;

    /// Reads the shard's clock: above every version that it has released.
    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>>;

    /// It was taken for dead: whoever waits for it waits in vain, and asks its successor.
    fn abandon(&self) {}

    /// Raises the clock to `at`, waits until what the resource wrote up to there is durable, and reads at `at`.
    /// `at` too far in the future: [`Status::version_too_large`] after 3 s; out of the window: [`Status::expired`].
    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>>;

    /// Subscribes to a resource from a version on. [`Status::expired`] where that is no longer retained.
    fn subscribe(&self, request: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>>;

    /// What has happened in some of the shard's slots. [`Status::expired`] where that is no longer retained, and
    /// [`ShardError::NotOwner`] where one of the slots is not the shard's.
    fn history(&self, request: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>>;

    /// Shows the shard a version that another one has released: raises its clock to it, and makes every subscription of
    /// the resource carry a watermark that is at least `version`, as soon as that is true. Nobody waits for it.
    fn advance(&self, cluster: &str, resource: ResourceId, version: Version);
}

/// How long a read waits for a version that is not released yet (DESIGN D4).
pub const VERSION_WAIT: Duration = Duration::from_secs(3);
