//! What clients saw: operations, lists and watches, each with the times between which it happened.
//!
//! Every write carries an id of its own in the object ([`WriteId`]), so whoever sees a state later can tell which write
//! made it, also when that write's answer was lost. A state is otherwise a digest of the object without its
//! resourceVersion: the last state in a DELETED event has a new version, and must have the old digest.
//!
//! Times are microseconds since the recorder began, and no two are equal: what returned before something else was
//! invoked has the smaller number, also under a simulated clock that stands still.

mod file;
mod recorder;
mod version;

use std::fmt;

use api::Version;
use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

pub use file::LoadError;
pub use recorder::{Call, ClientLog, OpenList, OpenWatch, Recorder};

/// Microseconds since the recorder began; unique within a history.
pub type Micros = u64;

/// The name of an object over all clusters and resources.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Key {
    /// Logical cluster.
    pub cluster: SmolStr,
    /// Resource: `configmaps`, `deployments.apps`.
    pub resource: SmolStr,
    /// Empty for cluster-scoped kinds.
    pub namespace: SmolStr,
    /// metadata.name
    pub name: SmolStr,
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, resource, namespace, name } = self;
        if cluster != "default" {
            write!(f, "{cluster}:")?;
        }
        if namespace.is_empty() { write!(f, "{resource} {name}") } else { write!(f, "{resource} {namespace}/{name}") }
    }
}

/// The position of a [`Key`] in [`History::keys`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct KeyId(pub u32);

/// Which recorded write made a state; unique within a history. Zero: none of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriteId(pub u64);

/// What an object was at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Of the whole object but metadata.resourceVersion.
    pub digest: u64,
    /// Which of the history's [`History::terms`] it matches, one bit each.
    pub tags: u64,
    /// Which write made it.
    pub write: WriteId,
}

/// A verb on one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Verb {
    /// POST
    Create,
    /// PUT; with the resourceVersion that it replaces, if the body names one.
    Update(#[serde(with = "version::option")] Option<Version>),
    /// PATCH; likewise.
    Patch(#[serde(with = "version::option")] Option<Version>),
    /// DELETE at once (no grace, no finalizers); with preconditions.resourceVersion.
    Delete(#[serde(with = "version::option")] Option<Version>),
    /// GET, as consistent as the server can.
    Get,
}

impl Verb {
    /// The version that the object must have for the verb to happen.
    pub fn precondition(self) -> Option<Version> {
        match self {
            Self::Update(version) | Self::Patch(version) | Self::Delete(version) => version,
            Self::Create | Self::Get => None,
        }
    }
}

/// How an operation ended, as far as its client can know.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Written, or read: the object as answered.
    Done {
        /// Its resourceVersion.
        #[serde(with = "version")]
        version: Version,
        /// The rest.
        state: State,
    },
    /// Deleted. Most answers do not name the version of the deletion.
    Deleted {
        /// Of the deletion, where it is known.
        #[serde(with = "version::option")]
        version: Option<Version>,
    },
    /// 404
    NotFound,
    /// 409 for a version that was not the newest.
    Conflict,
    /// 409 of a create.
    AlreadyExists,
    /// No answer, or one that leaves it open. It may still happen at any later time.
    Unknown,
    /// An error that says that nothing happened and nothing will.
    NotExecuted,
}

/// One verb of one client.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Operation {
    /// Who.
    pub client: u32,
    /// Before the request left.
    pub invoked: Micros,
    /// After the answer came; `None`: it never did. Of an unknown outcome it says only when the client gave up.
    pub returned: Option<Micros>,
    /// On what.
    pub key: KeyId,
    /// What.
    pub verb: Verb,
    /// The id that the written state carries. Zero for deletes and reads.
    pub write: WriteId,
    /// The end.
    pub outcome: Outcome,
}

/// Which objects a list or watch is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scope {
    /// Logical cluster.
    pub cluster: SmolStr,
    /// Resource.
    pub resource: SmolStr,
    /// Empty for all namespaces.
    pub namespace: SmolStr,
    /// metadata.name of a field selector; empty for all.
    pub name: SmolStr,
    /// Other terms of selectors: all of these bits must be in [`State::tags`].
    pub tags: u64,
}

impl Scope {
    /// Everything of a resource.
    pub fn all(cluster: &str, resource: &str) -> Self {
        let (cluster, resource) = (cluster.into(), resource.into());
        Self { cluster, resource, namespace: SmolStr::default(), name: SmolStr::default(), tags: 0 }
    }

    /// The same within one namespace.
    pub fn within(mut self, namespace: &str) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// Whether the object can be meant, whatever its state.
    pub fn holds(&self, key: &Key) -> bool {
        self.cluster == key.cluster
            && self.resource == key.resource
            && (self.namespace.is_empty() || self.namespace == key.namespace)
            && (self.name.is_empty() || self.name == key.name)
    }

    /// Whether the selector takes a state.
    pub fn takes(&self, state: &State) -> bool {
        state.tags & self.tags == self.tags
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let namespace = if self.namespace.is_empty() { "*" } else { &self.namespace };
        let name = if self.name.is_empty() { "*" } else { &self.name };
        write!(f, "{} {namespace}/{name}", self.resource)?;
        if self.tags != 0 { write!(f, " with tags {:#x}", self.tags) } else { Ok(()) }
    }
}

/// Of which moment a list was asked to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum At {
    /// resourceVersion unset: the latest.
    Latest,
    /// `0`: any.
    Any,
    /// Not older than this.
    NotOlderThan(#[serde(with = "version")] Version),
    /// Exactly this.
    Exactly(#[serde(with = "version")] Version),
}

/// An object in a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Item {
    /// Which.
    pub key: KeyId,
    /// Its resourceVersion.
    #[serde(with = "version")]
    pub version: Version,
    /// The rest.
    pub state: State,
}

/// How a list ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Listed {
    /// An answer.
    Page {
        /// metadata.resourceVersion
        #[serde(with = "version")]
        version: Version,
        /// What it holds.
        items: Vec<Item>,
        /// Whether it has a continue token.
        more: bool,
    },
    /// 410
    Expired,
    /// No answer.
    Failed,
}

/// One page of a list.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct List {
    /// Who.
    pub client: u32,
    /// Before the request left.
    pub invoked: Micros,
    /// After the whole answer was read.
    pub returned: Option<Micros>,
    /// Of what.
    pub scope: Scope,
    /// Of when; the first page's for later pages.
    pub at: At,
    /// The pages of one continue chain share this; unique within a history.
    pub chain: u64,
    /// From 0.
    pub page: u32,
    /// Whether it was read after all writes had ended, to see what is left.
    pub last: bool,
    /// The end.
    pub outcome: Listed,
}

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Start {
    /// Behind the version of a list.
    List(#[serde(with = "version")] Version),
    /// Behind the last event or bookmark of a watch that ended.
    Resume(#[serde(with = "version")] Version),
    /// sendInitialEvents: with the state, closed by a marked bookmark.
    Initial,
}

/// The type of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Change {
    /// New to the watch.
    Added,
    /// Changed.
    Modified,
    /// Gone, or out of the selector; with the state before.
    Deleted,
}

/// What one line of a watch said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Told {
    /// A change.
    Event {
        /// Type.
        change: Change,
        /// Of which object.
        key: KeyId,
        /// Its resourceVersion: that of the write.
        #[serde(with = "version")]
        version: Version,
        /// The rest of the object.
        state: State,
    },
    /// A bookmark.
    Bookmark {
        /// Everything up to this has been told.
        #[serde(with = "version")]
        version: Version,
        /// k8s.io/initial-events-end
        initial_end: bool,
    },
}

/// One line of a watch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// When it was read.
    pub time: Micros,
    /// What it said.
    pub told: Told,
}

/// How a watch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum End {
    /// It was still open when the history was taken, or its client closed it.
    Open,
    /// By the server, in order.
    Closed,
    /// In the middle.
    Broken,
    /// 410, or refused for another reason.
    Refused,
}

/// One watch request and what came.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Watch {
    /// Who: the watches that follow each other over breaks have one client.
    pub client: u32,
    /// Of what.
    pub scope: Scope,
    /// From where.
    pub start: Start,
    /// Before the request left.
    pub opened: Micros,
    /// In the order of the stream.
    #[serde(skip)]
    pub lines: Vec<Line>,
    /// When it ended.
    pub ended: Option<Micros>,
    /// How.
    pub end: End,
}

/// Everything that the clients of one run saw.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// By [`KeyId`].
    pub keys: Vec<Key>,
    /// What the bits of [`State::tags`] mean: `group=a`, `spec.nodeName=n`.
    pub terms: Vec<String>,
    /// Verbs on one object.
    pub operations: Vec<Operation>,
    /// Lists, page by page.
    pub lists: Vec<List>,
    /// Watches.
    pub watches: Vec<Watch>,
    /// When a server lost what it had acknowledged early: it died, or was taken for dead.
    pub crashes: Vec<Micros>,
}

impl History {
    /// The key of an id.
    pub fn key(&self, id: KeyId) -> &Key {
        &self.keys[id.0 as usize]
    }
}
