//! What is done for a request on a resource: one file per verb. Start reading at [`dispatch`].

mod create;
mod delete;
mod deletecollection;
mod get;
mod list;
mod logs;
mod patch;
mod update;
mod watch;

use std::sync::Arc;

use api::codec::{self, Format};
use api::resource::Served;
use api::selector::{FieldSelector, LabelSelector, Selector, ShardSelector};
use api::status::Reason;
use api::{Object, Resource, Status, Version};
use axum::body::Body;
use bytes::Bytes;
use futures_util::FutureExt;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, HeaderValue, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use shards::service::{Answer, Outcome, Request, UserInfo, Verb};
use smol_str::SmolStr;

use crate::Inner;
use crate::list::Scope;
use crate::media::{self, Output};
use crate::render;
use crate::request::RequestInfo;

/// One request on a resource, on its way.
pub(crate) struct Call {
    pub(crate) gateway: Arc<Inner>,
    pub(crate) info: Arc<RequestInfo>,
    pub(crate) user: Arc<UserInfo>,
    pub(crate) headers: HeaderMap,
    pub(crate) resource: Arc<Resource>,
    /// Index into `Resource::served`.
    pub(crate) served: usize,
    /// Empty for cluster-scoped kinds, whatever the path says.
    pub(crate) namespace: SmolStr,
    /// What was below it in the cluster is no past of what is there.
    pub(crate) floor: Version,
}

/// Executes a request on a resource.
pub(crate) async fn dispatch(
    gateway: Arc<Inner>,
    info: Arc<RequestInfo>,
    (user, floor): (Arc<UserInfo>, Version),
    headers: HeaderMap,
    body: Body,
) -> Result<Response<Body>, Status> {
    let (resource, served) = gateway.kinds.resolve(&info).await.ok_or_else(Status::unknown_path)?;
    let namespace = if resource.namespaced { info.namespace.clone() } else { SmolStr::default() };
    let call = Call { gateway, info, user, headers, resource, served, namespace, floor };
    call.check()?;
    if call.info.subresource == "log" && call.resource.id_name == "pods" {
        return logs::serve(call).boxed().await;
    }
    // What is large and rare is boxed, so that the others are small.
    match call.info.verb {
        "get" => get::serve(call).await,
        "list" => list::serve(call).boxed().await,
        "watch" => watch::serve(call).boxed().await,
        "create" => create::serve(call, body).await,
        "update" => update::serve(call, body).await,
        "patch" => patch::serve(call, body).await,
        "delete" => delete::serve(call, body).await,
        "deletecollection" => deletecollection::serve(call, body).boxed().await,
        _ => Err(call.not_allowed()),
    }
}

impl Call {
    /// 404 for paths that lead nowhere, 405 for what cannot be done there.
    fn check(&self) -> Result<(), Status> {
        let RequestInfo { name, subresource, namespace, verb, deeper, .. } = &*self.info;
        let own_namespace = !self.resource.namespaced && !namespace.is_empty() && self.resource.id_name != "namespaces";
        if *deeper || own_namespace {
            return Err(Status::unknown_path());
        }
        if self.resource.namespaced && namespace.is_empty() && !matches!(*verb, "list" | "watch") {
            return Err(if name.is_empty() { self.not_allowed() } else { Status::unknown_path() });
        }
        let verbs = match subresource.as_str() {
            "" => &self.served().verbs,
            sub => &self.served().subresource(sub).ok_or_else(Status::unknown_path)?.verbs,
        };
        // Objects are created in a collection, and replaced and patched by name.
        let misplaced = match *verb {
            "create" => subresource.is_empty() && !name.is_empty(),
            "update" | "patch" => name.is_empty(),
            _ => false,
        };
        if misplaced || !verbs.contains(verb) { Err(self.not_allowed()) } else { Ok(()) }
    }

    fn not_allowed(&self) -> Status {
        let message = "the server does not allow this method on the requested resource";
        Status::new(Reason::MethodNotAllowed, message).about(&self.info.group, &self.info.resource, &self.info.name)
    }

    pub(crate) fn served(&self) -> &Served {
        &self.resource.served[self.served]
    }

    pub(crate) fn output(&self) -> Result<Output, Status> {
        Output::negotiate(&self.headers, &self.info.query, &self.resource)
    }

    /// The objects that a list, watch or deletecollection is about.
    fn scope(&self) -> Result<Scope, Status> {
        let query = &self.info.query;
        let labels = LabelSelector::parse(query.text("labelSelector"))
            .map_err(|error| Status::bad_request(format!("unable to parse requirement: {error}")))?;
        let text = query.text("fieldSelector");
        let text = match self.info.name.as_str() {
            "" => text.to_owned(),
            name if text.is_empty() => format!("metadata.name={name}"),
            name => format!("metadata.name={name},{text}"),
        };
        let fields = FieldSelector::parse_in(&text, &self.resource, self.served()).map_err(Status::bad_request)?;
        // The reference says the same with code 500, as if the mistake were its own.
        let shard = ShardSelector::parse(query.text("shardSelector"))
            .map_err(|error| Status::bad_request(format!("invalid shard selector: {error}")))?;
        Ok(Scope {
            cluster: self.info.cluster.clone(),
            resource: self.resource.clone(),
            namespace: self.namespace.clone(),
            selector: Arc::new(Selector { labels, fields, shard }),
        })
    }

    /// The body, whole; 413 where it is too large.
    async fn read(&self, body: Body) -> Result<Bytes, Status> {
        let limits = &self.gateway.config.limits;
        let too_large = || {
            let message = format!("Request entity too large: limit is {}", limits.body);
            Status::new(Reason::RequestEntityTooLarge, message)
        };
        let announced = self.headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        if announced.is_some_and(|length| length > limits.body) {
            return Err(too_large());
        }
        let body = Limited::new(body, limits.body);
        match tokio::time::timeout(limits.arrival, body.collect()).await {
            Ok(Ok(collected)) => Ok(collected.to_bytes()),
            Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
            Ok(Err(error)) => Err(Status::bad_request(format!("unable to read the body of the request: {error}"))),
            Err(_) => Err(Status::new(Reason::Timeout, "the body of the request did not arrive in time")),
        }
    }

    fn format(&self) -> Result<Format, Status> {
        media::body_format(&self.headers)
    }

    /// 400 where a body names another object than the path does.
    fn check_names(&self, body: &[u8], format: Format) -> Result<(), Status> {
        // Other bodies (Scale, Binding, …) have other shapes; their metadata is read alike.
        let shape = self.resource.shape(self.served());
        if format == Format::Yaml && !self.info.subresource.is_empty() {
            return Ok(());
        }
        let sub = self.served().subresource(&self.info.subresource);
        let kind = sub.map_or(&self.resource.kind, |sub| &sub.kind);
        let peek = crate::peek::peek(shape, body, format)
            .map_err(|malformed| codec::refusal(kind, &self.served().version, body, format, &malformed))?;
        if !peek.name.is_empty() && peek.name != self.info.name {
            return Err(Status::bad_request(format!(
                "the name of the object ({}) does not match the name on the URL ({})",
                peek.name, self.info.name
            )));
        }
        self.check_namespace(&peek.namespace)
    }

    fn check_namespace(&self, of_body: &str) -> Result<(), Status> {
        if self.resource.namespaced && !of_body.is_empty() && of_body != self.namespace {
            let message = "the namespace of the provided object does not match the namespace sent on the request";
            return Err(Status::bad_request(message));
        }
        Ok(())
    }

    /// Sends a verb to the owner of an object's slot.
    pub(crate) async fn execute(&self, name: SmolStr, verb: Verb) -> Result<Answer, Status> {
        let request = Request {
            id: self.gateway.ambient.entropy.next_u128(),
            cluster: self.info.cluster.clone(),
            resource: self.resource.id,
            served: self.served,
            subresource: self.info.subresource.clone(),
            namespace: self.namespace.clone(),
            name,
            user: self.user.clone(),
            verb,
        };
        self.send(&self.resource, request).await
    }

    /// Reads an object that the request is not about, but needs.
    async fn fetch(&self, resource: &Arc<Resource>, namespace: &str, name: &str) -> Result<Arc<Object>, Status> {
        let request = Request {
            id: self.gateway.ambient.entropy.next_u128(),
            cluster: self.info.cluster.clone(),
            resource: resource.id,
            served: 0,
            subresource: SmolStr::default(),
            namespace: namespace.into(),
            name: name.into(),
            user: self.user.clone(),
            verb: Verb::Get { version: None },
        };
        match self.send(resource, request).await?.outcome {
            Outcome::Object(object) => Ok(object),
            Outcome::Document(_) => Err(Status::internal("a get of an object was answered with something else")),
        }
    }

    async fn send(&self, resource: &Resource, request: Request) -> Result<Answer, Status> {
        let slot = resource.slot(&request.cluster, &request.namespace, &request.name);
        let answer = self.gateway.topology.execute(slot, request);
        match tokio::time::timeout(self.gateway.config.limits.request, answer).await {
            Ok(answer) => answer,
            Err(_) => {
                let message = "Timeout: request did not complete within the allotted timeout";
                Err(Status::new(Reason::Timeout, message))
            }
        }
    }

    /// A uid for an object that this request may create.
    fn new_uid(&self) -> String {
        let random = self.gateway.ambient.entropy.next_u128();
        uuid::Builder::from_random_bytes(random.to_be_bytes()).into_uuid().to_string()
    }

    fn now(&self) -> i64 {
        self.gateway.ambient.clock.wall_micros()
    }

    /// Objects as the client's version has them.
    async fn read_in(&self, objects: Vec<Arc<Object>>) -> Result<Vec<Arc<Object>>, Status> {
        self.gateway.read_in(&self.info.cluster, &self.resource, self.served, objects).await
    }

    /// A shard's answer, as the client wants it.
    async fn render(&self, answer: Answer, output: Output) -> Result<Response<Body>, Status> {
        let mut response = match &answer.outcome {
            Outcome::Object(object) => {
                let (forms, now) = (&self.gateway.forms, self.now());
                let (caller, object) = (self.gateway.caller(&self.info.cluster), object.clone());
                let object = match self.resource.is_custom() {
                    true => self.gateway.conversions.object(caller, &self.resource, self.served, object).await?,
                    false => object,
                };
                render::answer(answer.code, &self.resource, self.served, &object, output, now, forms)?
            }
            Outcome::Document(document) => render::document(answer.code, document, output)?,
        };
        for warning in &answer.warnings {
            if let Ok(value) = HeaderValue::from_bytes(warning_header(warning).as_bytes()) {
                response.headers_mut().append("warning", value);
            }
        }
        Ok(response)
    }
}

/// RFC 7234's `299 - "text"`. Control characters become spaces.
fn warning_header(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 10);
    out.push_str("299 - \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
