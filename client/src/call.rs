//! Calls: one method per verb, typed by the caller's view.

use std::sync::Arc;

use api::Value;
use api::ambient::Ambient;
use api::patch::PatchType;
use futures_util::stream::BoxStream;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{ApiRef, ClientError, Transport};

/// A client of one API server under one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    transport: Arc<dyn Transport>,
    user_agent: Arc<str>,
    ambient: Ambient,
}

/// What to list.
#[derive(Clone, Debug, Default)]
pub struct ListOptions {
    /// Empty for all namespaces.
    pub namespace: String,
    /// labelSelector, empty for everything.
    pub labels: String,
    /// fieldSelector, empty for everything.
    pub fields: String,
    /// Page size; 0 for the whole list in one answer.
    pub limit: usize,
    /// The token of the page before.
    pub continue_token: String,
    /// resourceVersion; `Some("0")`: any.
    pub version: Option<String>,
}

/// One page of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// metadata.resourceVersion
    pub version: String,
    /// metadata.continue, empty for the last page.
    pub continue_token: String,
    /// Items.
    pub items: Vec<T>,
}

/// What to watch.
#[derive(Clone, Debug, Default)]
pub struct WatchOptions {
    /// Empty for all namespaces.
    pub namespace: String,
    /// labelSelector
    pub labels: String,
    /// fieldSelector
    pub fields: String,
    /// resourceVersion to start behind; empty: with synthetic ADDED events of what is there.
    pub version: String,
    /// sendInitialEvents=true with resourceVersionMatch=NotOlderThan: the state first, closed by an annotated bookmark.
    pub initial_events: bool,
}

/// One line of a watch.
#[derive(Clone, Debug)]
pub enum WatchEvent<T> {
    /// ADDED
    Added(T),
    /// MODIFIED
    Modified(T),
    /// DELETED, with the last state.
    Deleted(T),
    /// BOOKMARK: everything up to this version has been sent.
    Bookmark {
        /// The version.
        version: String,
        /// Whether it closes the initial events (annotation k8s.io/initial-events-end).
        initial_end: bool,
    },
}

/// A running watch. It ends when the server closes it; an ERROR line is an `Err`.
pub type WatchStream<T> = BoxStream<'static, Result<WatchEvent<T>, ClientError>>;

impl Client {
    /// A client over a transport. `user_agent` names the component: `shardplane-scheduler/0.1`.
    pub fn new(transport: Arc<dyn Transport>, user_agent: &str, ambient: Ambient) -> Self {
        Self { transport, user_agent: user_agent.into(), ambient }
    }

    /// Time and randomness of this process.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// The same transport under another name.
    pub fn named(&self, user_agent: &str) -> Self {
        Self { user_agent: user_agent.into(), ..self.clone() }
    }

    /// GET of one object.
    pub async fn get<T: DeserializeOwned>(&self, _api: &ApiRef, _namespace: &str, _name: &str) -> Result<T, ClientError> {
        todo!()
    }

    /// GET of a collection: one page.
    pub async fn list<T: DeserializeOwned>(&self, _api: &ApiRef, _options: &ListOptions) -> Result<Page<T>, ClientError> {
        todo!()
    }

    /// POST to a collection. kind and apiVersion are filled in where the body lacks them.
    pub async fn create<T: DeserializeOwned>(
        &self, _api: &ApiRef, _namespace: &str, _body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        todo!()
    }

    /// POST to a subresource of one object (`binding`, `eviction`).
    pub async fn post<T: DeserializeOwned>(
        &self, _api: &ApiRef, _namespace: &str, _name: &str, _subresource: &str, _body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        todo!()
    }

    /// PUT of one object, or of its subresource where that is not empty.
    pub async fn update<T: DeserializeOwned>(
        &self, _api: &ApiRef, _namespace: &str, _name: &str, _subresource: &str, _body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        todo!()
    }

    /// PATCH of one object, or of its subresource where that is not empty.
    pub async fn patch<T: DeserializeOwned>(
        &self, _api: &ApiRef, _namespace: &str, _name: &str, _subresource: &str, _kind: PatchType,
        _body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        todo!()
    }

    /// DELETE of one object, with a metav1.DeleteOptions body (`Value::Null` for none).
    pub async fn delete(&self, _api: &ApiRef, _namespace: &str, _name: &str, _options: &Value) -> Result<Value, ClientError> {
        todo!()
    }

    /// DELETE of a collection.
    pub async fn delete_collection(&self, _api: &ApiRef, _options: &ListOptions) -> Result<(), ClientError> {
        todo!()
    }

    /// Opens a watch.
    pub async fn watch<T: DeserializeOwned + Send + 'static>(
        &self, _api: &ApiRef, _options: &WatchOptions,
    ) -> Result<WatchStream<T>, ClientError> {
        todo!()
    }

    /// GET of any path as text (discovery, logs, metrics).
    pub async fn raw_get(&self, _path: &str) -> Result<bytes::Bytes, ClientError> {
        todo!()
    }
}
