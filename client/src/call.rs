//! Calls: one method per verb, typed by the caller's view.

use std::sync::Arc;
use std::time::Duration;

use api::Value;
use api::ambient::Ambient;
use api::patch::PatchType;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use http::Method;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::query::Query;
use crate::request::Outgoing;
use crate::{ApiRef, ClientError, Transport, watch};

/// How long a call may take unless said otherwise.
const DEADLINE: Duration = Duration::from_secs(30);
/// A page of a list may be large, so it has more.
const LIST_FACTOR: u32 = 4;
/// A watch is asked to end after between once and twice so many seconds, as client-go does, so that connections are
/// spread anew over servers.
const WATCH_SECONDS: u64 = 300;
/// What a watch may be late in ending.
const WATCH_GRACE: Duration = Duration::from_secs(30);

/// A client of one API server under one identity. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    pub(crate) transport: Arc<dyn Transport>,
    pub(crate) user_agent: Arc<str>,
    pub(crate) ambient: Ambient,
    deadline: Duration,
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
        Self { transport, user_agent: user_agent.into(), ambient, deadline: DEADLINE }
    }

    /// Time and randomness of this process.
    pub fn ambient(&self) -> &Ambient {
        &self.ambient
    }

    /// The same transport under another name.
    pub fn named(&self, user_agent: &str) -> Self {
        Self { user_agent: user_agent.into(), ..self.clone() }
    }

    /// The same with another deadline for every call: 30 s unless said otherwise. A page of a list has four times it.
    pub fn with_deadline(&self, deadline: Duration) -> Self {
        Self { deadline, ..self.clone() }
    }

    /// GET of one object.
    pub async fn get<T: DeserializeOwned>(&self, api: &ApiRef, namespace: &str, name: &str) -> Result<T, ClientError> {
        self.call(Outgoing::get(api.object(namespace, name, ""))).await
    }

    /// GET of a collection: one page.
    pub async fn list<T: DeserializeOwned>(&self, api: &ApiRef, options: &ListOptions) -> Result<Page<T>, ClientError> {
        let outgoing = Outgoing::get(options.query(api));
        let answer = self.execute(&outgoing, self.deadline * LIST_FACTOR).await?;
        let list: WireList<T> = decode(&outgoing.path, &answer)?;
        Ok(Page {
            version: list.metadata.resource_version,
            continue_token: list.metadata.r#continue,
            items: list.items.unwrap_or_default(),
        })
    }

    /// POST to a collection. kind and apiVersion are filled in where the body lacks them.
    pub async fn create<T: DeserializeOwned>(
        &self,
        api: &ApiRef,
        namespace: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let body = typed(api, body)?;
        self.call(write(Method::POST, api.collection(namespace), JSON, body)).await
    }

    /// POST to a subresource of one object (`binding`, `eviction`).
    pub async fn post<T: DeserializeOwned>(
        &self,
        api: &ApiRef,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let path = api.object(namespace, name, subresource);
        let body = encode(&path, body)?;
        self.call(write(Method::POST, path, JSON, body)).await
    }

    /// PUT of one object, or of its subresource where that is not empty.
    pub async fn update<T: DeserializeOwned>(
        &self,
        api: &ApiRef,
        namespace: &str,
        name: &str,
        subresource: &str,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let path = api.object(namespace, name, subresource);
        // Other subresources (scale) are objects of other kinds.
        let body = if matches!(subresource, "" | "status") { typed(api, body)? } else { encode(&path, body)? };
        self.call(write(Method::PUT, path, JSON, body)).await
    }

    /// PATCH of one object, or of its subresource where that is not empty.
    pub async fn patch<T: DeserializeOwned>(
        &self,
        api: &ApiRef,
        namespace: &str,
        name: &str,
        subresource: &str,
        kind: PatchType,
        body: &(impl Serialize + Sync),
    ) -> Result<T, ClientError> {
        let media = match kind {
            PatchType::Json => "application/json-patch+json",
            PatchType::Merge => "application/merge-patch+json",
            PatchType::Strategic => "application/strategic-merge-patch+json",
            PatchType::Apply => "application/apply-patch+yaml",
        };
        let path = api.object(namespace, name, subresource);
        let body = encode(&path, body)?;
        self.call(write(Method::PATCH, path, media, body)).await
    }

    /// DELETE of one object, with a metav1.DeleteOptions body (`Value::Null` for none).
    pub async fn delete(
        &self,
        api: &ApiRef,
        namespace: &str,
        name: &str,
        options: &Value,
    ) -> Result<Value, ClientError> {
        let path = api.object(namespace, name, "");
        if options.is_null() {
            return self.call(write(Method::DELETE, path, "", Bytes::new())).await;
        }
        let options = typed(&DELETE_OPTIONS, options)?;
        self.call(write(Method::DELETE, path, JSON, options)).await
    }

    /// DELETE of a collection.
    pub async fn delete_collection(&self, api: &ApiRef, options: &ListOptions) -> Result<(), ClientError> {
        let outgoing = write(Method::DELETE, options.query(api), "", Bytes::new());
        self.execute(&outgoing, self.deadline * LIST_FACTOR).await.map(drop)
    }

    /// Opens a watch.
    pub async fn watch<T: DeserializeOwned + Send + 'static>(
        &self,
        api: &ApiRef,
        options: &WatchOptions,
    ) -> Result<WatchStream<T>, ClientError> {
        let seconds = WATCH_SECONDS + self.ambient.entropy.next_u64() % WATCH_SECONDS;
        let mut query = Query::new(api.collection(&options.namespace))
            .set("watch", "true")
            .set("allowWatchBookmarks", "true")
            .set("labelSelector", &options.labels)
            .set("fieldSelector", &options.fields)
            .set("resourceVersion", &options.version)
            .set("timeoutSeconds", &seconds.to_string());
        if options.initial_events {
            query = query.set("sendInitialEvents", "true").set("resourceVersionMatch", "NotOlderThan");
        }
        let outgoing = Outgoing::get(query.finish());
        let body = match tokio::time::timeout(self.deadline, self.open(&outgoing)).await {
            Ok(body) => body?,
            Err(_) => return Err(ClientError::Deadline { path: outgoing.path, seconds: self.deadline.as_secs() }),
        };
        Ok(watch::events(body, outgoing.path, Duration::from_secs(seconds) + WATCH_GRACE))
    }

    /// GET of any path as text (discovery, logs, metrics).
    pub async fn raw_get(&self, path: &str) -> Result<Bytes, ClientError> {
        self.execute(&Outgoing::get(path.to_owned()), self.deadline).await
    }

    async fn call<T: DeserializeOwned>(&self, outgoing: Outgoing) -> Result<T, ClientError> {
        let answer = self.execute(&outgoing, self.deadline).await?;
        decode(&outgoing.path, &answer)
    }
}

impl ListOptions {
    fn query(&self, api: &ApiRef) -> String {
        let limit = if self.limit == 0 { String::new() } else { self.limit.to_string() };
        // A continue token carries its version; a server refuses both at once.
        let version = if self.continue_token.is_empty() { self.version.as_deref().unwrap_or_default() } else { "" };
        Query::new(api.collection(&self.namespace))
            .set("labelSelector", &self.labels)
            .set("fieldSelector", &self.fields)
            .set("limit", &limit)
            .set("continue", &self.continue_token)
            .set("resourceVersion", version)
            .finish()
    }
}

const JSON: &str = "application/json";

/// Names the kind of a DELETE's body.
const DELETE_OPTIONS: ApiRef =
    ApiRef { group: "", version: "v1", plural: "", kind: "DeleteOptions", namespaced: false };

#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct WireList<T> {
    #[serde(default)]
    metadata: WireListMeta,
    items: Option<Vec<T>>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireListMeta {
    resource_version: String,
    r#continue: String,
}

fn write(method: Method, path: String, content_type: &'static str, body: Bytes) -> Outgoing {
    Outgoing { method, path, content_type, body }
}

fn decode<T: DeserializeOwned>(path: &str, answer: &[u8]) -> Result<T, ClientError> {
    serde_json::from_slice(answer)
        .map_err(|error| ClientError::Decode { path: path.to_owned(), message: error.to_string() })
}

fn encode(path: &str, body: &impl Serialize) -> Result<Bytes, ClientError> {
    serde_json::to_vec(body).map(Bytes::from).map_err(|error| unwritable(path, &error))
}

/// The body as JSON, with kind and apiVersion where it lacks them.
fn typed(api: &ApiRef, body: &impl Serialize) -> Result<Bytes, ClientError> {
    let mut body = serde_json::to_value(body).map_err(|error| unwritable(api.plural, &error))?;
    if let Some(fields) = body.as_object_mut() {
        fields.entry("kind").or_insert_with(|| api.kind.into());
        fields.entry("apiVersion").or_insert_with(|| api.api_version().into());
    }
    encode(api.plural, &body)
}

fn unwritable(path: &str, error: &serde_json::Error) -> ClientError {
    ClientError::Decode { path: path.to_owned(), message: format!("the request cannot be written: {error}") }
}
