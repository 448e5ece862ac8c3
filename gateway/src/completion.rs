//! What is done once per request, when it is over: one line in the log, and the counters.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::Status;
use axum::body::Body;
use bytes::Bytes;
use http::{HeaderMap, Response};
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use shards::service::UserInfo;
use tokio::sync::oneshot;

use crate::Inner;
use crate::metrics::{ClusterLabel, KindLabels, RequestLabels};
use crate::request::RequestInfo;

/// Where the lines go, so that a filter can choose them.
const ACCESS: &str = "gateway::access";

/// Why an answer is what it is; travels in the answer's extensions to the line in the log.
#[derive(Clone)]
pub(crate) struct Failure(pub(crate) Status);

/// Who answers with an upgrade takes the request's completion along, and drops it when the stream has ended; travels in the
/// answer's extensions.
#[derive(Clone)]
pub(crate) struct Lasting(Arc<Mutex<Option<oneshot::Sender<Completion>>>>);

impl Lasting {
    /// What goes into the answer, and where the completion will come out.
    pub(crate) fn new() -> (Self, oneshot::Receiver<Completion>) {
        let (sender, receiver) = oneshot::channel();
        (Self(Arc::new(Mutex::new(Some(sender)))), receiver)
    }
}

/// A request that is under way. Dropping it counts it, so that one whose client went away is counted too.
pub(crate) struct Completion {
    inner: Arc<Inner>,
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) user: Option<Arc<UserInfo>>,
    pub(crate) audit_id: String,
    /// Time of this boot.
    started: Duration,
    labels: RequestLabels,
    /// Lasts as long as the client wants.
    long: bool,
    outcome: Option<(u16, Option<Status>)>,
}

impl Completion {
    pub(crate) fn begin(inner: &Arc<Inner>, info: Arc<RequestInfo>, headers: &HeaderMap) -> Self {
        let given =
            headers.get("audit-id").and_then(|id| id.to_str().ok()).filter(|id| !id.is_empty() && id.len() <= 64);
        let audit_id = given.map(str::to_owned).unwrap_or_else(|| {
            let random = inner.ambient.entropy.next_u128().to_be_bytes();
            uuid::Builder::from_random_bytes(random).into_uuid().to_string()
        });
        let labels = labels_of(inner, &info);
        let long = info.verb == "watch" || is_connect(&info) || info.path == crate::backup::PATH;
        if long {
            inner.metrics.longrunning.get_or_create(&labels).inc();
        } else {
            inner.metrics.inflight.get_or_create(&kind_of(&info)).inc();
        }
        let started = inner.ambient.clock.boot();
        Self { inner: inner.clone(), info, user: None, audit_id, started, labels, long, outcome: None }
    }

    /// Whether the answer lasts as long as the client wants.
    pub(crate) fn is_stream(&self) -> bool {
        self.long
    }

    /// Takes note of the answer; what lasts is completed when its body ends.
    pub(crate) fn finish(mut self, mut response: Response<Body>) -> Response<Body> {
        let failure = response.extensions_mut().remove::<Failure>();
        self.outcome = Some((response.status().as_u16(), failure.map(|Failure(status)| status)));
        if let Some(Lasting(taker)) = response.extensions_mut().remove::<Lasting>() {
            if let Some(taker) = taker.lock().take() {
                // Who does not want it any more has ended already.
                let _ = taker.send(self);
            }
            return response;
        }
        if self.long && response.status().is_success() {
            return response.map(|body| Body::new(Followed { body, _completion: self }));
        }
        response
    }
}

impl Drop for Completion {
    fn drop(&mut self) {
        let metrics = &self.inner.metrics;
        if self.long {
            metrics.longrunning.get_or_create(&self.labels).dec();
        } else {
            metrics.inflight.get_or_create(&kind_of(&self.info)).dec();
        }
        // 499: the client went away before there was an answer.
        let (code, failure) = self.outcome.take().unwrap_or((499, None));
        let took = self.inner.ambient.clock.boot().saturating_sub(self.started);
        metrics.count(&self.labels, code, (!self.long).then_some(took));
        self.log(code, took, failure);
    }
}

impl Completion {
    fn log(&self, code: u16, took: Duration, failure: Option<Status>) {
        let RequestInfo { cluster, verb, path, resource, .. } = &*self.info;
        let (id, user) = (&self.audit_id, self.user.as_ref().map_or("", |user| user.name.as_str()));
        let error = failure.as_ref().map(|status| status.message()).unwrap_or_default();
        let millis = took.as_secs_f64() * 1e3;
        // What another server did wrong is said through this one, and no fault of its own.
        let own = failure.as_ref().is_none_or(|status| status.parts().said.is_none());
        if code == 500 && own {
            tracing::error!(target: ACCESS, id, %cluster, user, verb, %resource, path, code, millis, error, "request");
        } else {
            tracing::info!(target: ACCESS, id, %cluster, user, verb, %resource, path, code, millis, error, "request");
        }
    }
}

/// Whether a request is passed on to somebody else, for as long as its client wants.
fn is_connect(info: &RequestInfo) -> bool {
    info.is_resource && matches!(info.subresource.as_str(), "attach" | "exec" | "log" | "portforward" | "proxy")
}

fn kind_of(info: &RequestInfo) -> KindLabels {
    let reads = matches!(info.verb, "get" | "list" | "watch" | "head");
    let request_kind = if reads { "readOnly" } else { "mutating" };
    KindLabels { logical_cluster: ClusterLabel::of(&info.cluster), request_kind }
}

fn labels_of(inner: &Inner, info: &RequestInfo) -> RequestLabels {
    let verb = match info.verb {
        _ if is_connect(info) => "CONNECT",
        "get" | "head" => "GET",
        "list" => "LIST",
        "watch" => "WATCH",
        "create" | "post" => "POST",
        "update" | "put" => "PUT",
        "patch" => "PATCH",
        "delete" => "DELETE",
        "deletecollection" => "DELETECOLLECTION",
        _ => "other",
    };
    let scope = info.scope();
    let logical_cluster = ClusterLabel::of(&info.cluster);
    let mut labels = RequestLabels { logical_cluster, verb, scope, ..RequestLabels::default() };
    let known = info
        .is_resource
        .then(|| inner.registry.resolve_in(&info.cluster, &info.group, &info.version, &info.resource))
        .flatten();
    if let Some((resource, served)) = known {
        let served = &resource.served[served];
        labels.group = (&served.group).into();
        labels.version = (&served.version).into();
        labels.resource = (&resource.plural).into();
        labels.subresource = served.subresource(&info.subresource).map_or("", |subresource| subresource.name);
    }
    labels
}

/// A body whose end is the request's.
struct Followed {
    body: Body,
    _completion: Completion,
}

impl http_body::Body for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
