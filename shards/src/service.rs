//! The contract between gateway and shard. In one process it is a function call; between processes it is gRPC.

use std::sync::Arc;
use std::time::Duration;

use api::resource::ResourceId;
use api::selector::Selector;
use api::slot::{SLOTS, Slot};
use api::{Object, Status, Value, Version};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use smol_str::SmolStr;
use tokio::sync::mpsc;

/// Who asks: authentication.k8s.io UserInfo.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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
    },
    /// Remove, or start to.
    Delete {
        /// Options.
        options: DeleteOptions,
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

/// One shard's part of a list.
#[derive(Clone, Debug)]
pub struct ListRequest {
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
    /// The object after it; for a deletion its last state at `version` (see `Object::at_version`).
    pub object: Arc<Object>,
    /// The object before it; `None` for a creation.
    pub old: Option<Arc<Object>>,
    /// Whether the object is gone.
    pub deleted: bool,
}

/// Events in version order and the promise that nothing at or below `watermark` will follow.
#[derive(Clone, Debug)]
pub struct Delivery {
    /// May be empty: then only the promise moved.
    pub events: Vec<Arc<Event>>,
    /// Not below the last event's version.
    pub watermark: Version,
}

/// A shard's stream of one resource. It ends when the subscriber was too slow or the shard goes: subscribe again from
/// the last watermark.
#[derive(Debug)]
pub struct Subscription {
    /// The version behind which events follow: the one asked for or, without one, the shard's oldest retained.
    pub from: Version,
    /// Bounded.
    pub deliveries: mpsc::Receiver<Delivery>,
}

/// What a gateway, or another shard, sees of a shard.
///
/// Every answer is derived from durable state only (relaxed kinds excepted, see DESIGN D6). Dropping a future gives up
/// the answer, not the write.
pub trait ShardService: Send + Sync + 'static {
    /// One verb on one object of a slot that this shard owns.
    fn execute(&self, request: Request) -> BoxFuture<'_, Result<Answer, Status>>;

    /// Reads the shard's clock: above every version that it has released.
    fn clock(&self) -> Version;

    /// Raises the clock to `at`, waits until what the resource wrote up to there is durable, and reads at `at`.
    /// `at` too far in the future: [`Status::version_too_large`] after 3 s; out of the window: [`Status::expired`].
    fn list(&self, request: ListRequest) -> BoxFuture<'_, Result<ListPage, Status>>;

    /// Subscribes to a resource from a version on (`None`: from the oldest retained). [`Status::expired`] where that is
    /// no longer retained.
    fn subscribe(&self, cluster: &str, resource: ResourceId, from: Option<Version>) -> Result<Subscription, Status>;

    /// Shows the shard a version that another one has released: raises its clock to it, and makes every subscription of
    /// the resource carry a watermark that is at least `version`, as soon as that is true.
    fn advance(&self, cluster: &str, resource: ResourceId, version: Version);
}

/// Which shard owns which slot.
#[derive(Clone)]
pub struct Topology {
    shards: Vec<Arc<dyn ShardService>>,
    owners: Arc<[u16]>,
}

impl Topology {
    /// Shards numbered in that order; slot `s` is owned by `owner_of(s, shards)`.
    pub fn new(shards: Vec<Arc<dyn ShardService>>) -> Self {
        let owners = (0..SLOTS).map(|slot| owner_of(Slot(slot), shards.len())).collect();
        Self { shards, owners }
    }

    /// The shard that owns a slot.
    pub fn owner(&self, slot: Slot) -> &Arc<dyn ShardService> {
        &self.shards[usize::from(self.owners[usize::from(slot.0)])]
    }

    /// Every shard.
    pub fn shards(&self) -> &[Arc<dyn ShardService>] {
        &self.shards
    }
}

/// Rendezvous hashing of slots over `shards` shards (DESIGN D6: what membership gives each).
pub fn owner_of(slot: Slot, shards: usize) -> u16 {
    let members: Vec<String> = (0..shards).map(|ordinal| ordinal.to_string()).collect();
    let owner = api::slot::rendezvous(u64::from(slot.0), &members).expect("a cluster has at least one shard");
    owner.parse().expect("printed just above")
}

/// How long a read waits for a version that is not released yet (DESIGN D4).
pub const VERSION_WAIT: Duration = Duration::from_secs(3);
