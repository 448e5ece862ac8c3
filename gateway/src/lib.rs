//! The gateway: TLS, authentication, authorization, routing, merging, discovery. It is stateless: what it holds can be
//! had again from the shards.
//!
//! The path of a request is [`Gateway::handle`] (identify, authorize, count) -> a route ([`routes`]) or, for resources,
//! [`verbs`] -> [`shards::service::ShardService`] -> [`render`]. Watches hang on a [`relay`]. [`Gateway::serve`] brings
//! requests in over TLS; within one process they come by function call.
//!
//! Invariants: every failure becomes an answer in one place ([`render::failure`]); every request leaves one line in the
//! log; a client cannot move a clock (DESIGN D4).

mod authn;
mod authz;
mod backup;
mod clusters;
mod completion;
mod config;
mod continuation;
mod forms;
mod impersonation;
mod kinds;
mod list;
mod media;
mod metrics;
mod options;
mod peek;
pub mod pki;
mod query;
mod reading;
mod relay;
mod render;
mod request;
mod routes;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tls;
mod unread;
mod verbs;
mod watch;

use std::sync::{Arc, OnceLock};

use api::ambient::Ambient;
use api::{Registry, Resource, Status};
use axum::body::Body;
use http::{HeaderValue, Method, Request, Response, Uri};
use hyper::service::Service;
use hyper_util::service::TowerToHyperService;
use prometheus_client::registry::Registry as MetricsRegistry;
use shards::Topology;
use shards::conversion::Conversions;
use shards::service::UserInfo;
use smol_str::SmolStr;
use tokio_util::sync::CancellationToken;

pub use authn::{TokenFileError, Tokens};
use clusters::{Cluster, Clusters};
use completion::{Completion, Failure};
pub use config::{GatewayConfig, KubeletAccess, Limits, RelayLimits, VersionInfo};
use forms::Forms;
use kinds::Kinds;
use media::Output;
use metrics::{ClusterLabel, Metrics, ResourceLabels};
use relay::Relays;
use request::RequestInfo;
use shards::authorization::Authorizer;
use unread::Unread;

/// Serves the Kubernetes API over a set of shards.
pub struct Gateway {
    inner: Arc<Inner>,
    routes: TowerToHyperService<axum::Router>,
}

/// What every request may need.
pub(crate) struct Inner {
    pub(crate) config: GatewayConfig,
    pub(crate) topology: Topology,
    pub(crate) registry: Arc<Registry>,
    pub(crate) ambient: Ambient,
    pub(crate) metrics: Metrics,
    pub(crate) relays: Relays,
    pub(crate) forms: Arc<Forms>,
    pub(crate) conversions: Conversions,
    pub(crate) kinds: Kinds,
    pub(crate) clusters: Clusters,
    pub(crate) authorizer: Authorizer,
    pub(crate) documents: routes::Documents,
    /// What `/metrics` shows; the binary hands it in when everything has registered.
    pub(crate) exposed: OnceLock<Arc<MetricsRegistry>>,
    /// Cancelled when the gateway stops: no new watches, and the open ones end.
    pub(crate) stopping: CancellationToken,
}

/// A request that was identified and allowed, as routes find it.
#[derive(Clone)]
pub(crate) struct Ticket {
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) cluster: Arc<Cluster>,
}

impl Gateway {
    /// A gateway to those shards. It does nothing until it is asked.
    pub fn new(
        config: GatewayConfig,
        topology: Topology,
        registry: Arc<Registry>,
        ambient: Ambient,
        metrics: &mut MetricsRegistry,
    ) -> Arc<Self> {
        let forms = Forms::new(config.limits.forms, metrics);
        let conversions = Conversions::new(config.limits.conversions);
        conversions.register(metrics);
        let (metrics, stopping) = (Metrics::register(metrics), CancellationToken::new());
        let counted = metrics.relays.clone();
        let relays = Relays::new(topology.clone(), ambient.clone(), config.relay.clone(), counted, stopping.clone());
        let (id, tokens) = (config.cluster.clone(), config.tokens.clone());
        let clusters = Clusters::new(topology.clone(), registry.clone(), ambient.clone(), id, tokens);
        let kinds = Kinds::new(topology.clone(), registry.clone(), ambient.clock.clone(), stopping.clone());
        let (modes, clock) = (config.authorization.clone(), ambient.clock.clone());
        let authorizer = Authorizer::new(modes, topology.clone(), registry.clone(), clock, stopping.clone());
        let inner = Arc::new(Inner {
            clusters,
            authorizer,
            forms,
            conversions,
            kinds,
            metrics,
            documents: routes::Documents::default(),
            exposed: OnceLock::new(),
            config,
            topology,
            registry,
            ambient,
            relays,
            stopping,
        });
        let routes = TowerToHyperService::new(routes::router(inner.clone()));
        Arc::new(Self { inner, routes })
    }

    /// Lets `/metrics` show a registry; before that it answers 503.
    pub fn expose_metrics(&self, registry: Arc<MetricsRegistry>) {
        // A second one would be a mistake of the caller's, and the first stays.
        let _ = self.inner.exposed.set(registry);
    }

    /// Requests that were answered since the start.
    pub fn requests(&self) -> u64 {
        self.inner.metrics.answered.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Ends open watches and refuses new ones. [`Gateway::serve`] does it when it is told to shut down; who calls
    /// [`Gateway::handle`] itself may want to.
    pub fn stop(&self) {
        self.inner.stopping.cancel();
    }

    /// The whole path of one request. `identity` is who sent it where that is known from the connection; bearer tokens
    /// are looked at otherwise.
    pub fn handle(
        &self,
        request: Request<Body>,
        identity: Option<Arc<UserInfo>>,
    ) -> impl Future<Output = Response<Body>> + Send + use<> {
        let (inner, routes) = (self.inner.clone(), self.routes.clone());
        async move {
            let unread = Unread::default();
            let mut request = without_trailing_slash(request).map(|body| unread.watch(body));
            let cluster = inner.cluster_of(&mut request).await;
            let (uri, nowhere) = (request.uri(), SmolStr::default());
            let id = cluster.as_ref().map_or(&nowhere, |cluster| &cluster.id);
            let info = RequestInfo::new(id, request.method(), uri.path(), uri.query());
            let mut completion = Completion::begin(&inner, Arc::new(info), request.headers());
            let wishes = request.headers().clone();
            let head = request.method() == Method::HEAD;
            let known = async {
                let cluster = cluster?;
                let user = identify(&cluster, &completion.info, &request, identity)?;
                let user = impersonation::apply(&inner.authorizer, &cluster.id, user, request.headers_mut()).await?;
                Ok((cluster, user))
            };
            let mut response = match known.await {
                Ok((cluster, user)) => {
                    completion.user = Some(user.clone());
                    let ticket = Ticket { info: completion.info.clone(), user, cluster };
                    allowed(&inner, &routes, request, ticket).await
                }
                Err(status) => routes::refusal(status),
            };
            if let Some(Failure(status)) = response.extensions().get().cloned() {
                let output = Output::plain(&wishes, &completion.info.query).ok();
                if output != Some(Output::default()) {
                    response = render::failure(&status, output);
                    response.extensions_mut().insert(Failure(status));
                }
            }
            if !completion.is_stream() && media::takes_gzip(&wishes) {
                response = render::gzip::compress(response).await;
            }
            if !response.status().is_success() {
                unread.discard(TAKEN_IN * inner.config.limits.body).await;
            }
            if let Ok(id) = HeaderValue::from_str(&completion.audit_id) {
                response.headers_mut().insert("audit-id", id);
            }
            if head {
                *response.body_mut() = Body::empty();
            }
            completion.finish(response)
        }
    }
}

/// How many times the limit of a body is taken in of one that was refused.
const TAKEN_IN: usize = 4;

/// `/api/` is `/api`.
fn without_trailing_slash(mut request: Request<Body>) -> Request<Body> {
    let path = request.uri().path();
    if path.len() > 1 && path.ends_with('/') {
        let path = path.trim_end_matches('/');
        let path = if path.is_empty() { "/" } else { path };
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        if let Ok(uri) = format!("{path}{query}").parse::<Uri>() {
            *request.uri_mut() = uri;
        }
    }
    request
}

impl Inner {
    /// Now, as metadata's times are written.
    fn now_text(&self) -> String {
        api::time::format_seconds(self.ambient.clock.wall_micros())
    }

    /// The cluster that a request is for, whose name is taken off its path.
    async fn cluster_of(&self, request: &mut Request<Body>) -> Result<Arc<Cluster>, Status> {
        let name = clusters::route::take(request, self.config.cluster_domain.as_deref())?;
        self.clusters.resolve(&name).await
    }
}

/// Who sends a request; 401 where that must be known and is not.
fn identify(
    cluster: &Cluster,
    info: &RequestInfo,
    request: &Request<Body>,
    identity: Option<Arc<UserInfo>>,
) -> Result<Arc<UserInfo>, Status> {
    let known = match identity.filter(|_| cluster.is_default()) {
        Some(user) => Some(user),
        None => authn::bearer(&cluster.tokens, request.headers())?,
    };
    match known {
        Some(user) => Ok(user),
        None if authz::is_open(&info.path) => Ok(Arc::new(anonymous())),
        None => Err(Status::unauthorized()),
    }
}

fn anonymous() -> UserInfo {
    let groups = vec!["system:unauthenticated".to_owned()];
    UserInfo { name: "system:anonymous".to_owned(), groups, ..UserInfo::default() }
}

async fn allowed(
    inner: &Inner,
    routes: &TowerToHyperService<axum::Router>,
    mut request: Request<Body>,
    ticket: Ticket,
) -> Response<Body> {
    if let Err(status) = authz::authorize(&inner.authorizer, &ticket.user, &ticket.info).await {
        return routes::refusal(status);
    }
    request.extensions_mut().insert(ticket);
    match routes.call(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// The labels of a resource's metrics.
pub(crate) fn resource_labels(cluster: &SmolStr, resource: &Resource, served: usize) -> ResourceLabels {
    let version = &resource.served[served];
    let logical_cluster = ClusterLabel::of(cluster);
    let (group, version) = ((&version.group).into(), (&version.version).into());
    ResourceLabels { logical_cluster, group, version, resource: (&resource.plural).into() }
}
