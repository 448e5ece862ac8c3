//! /openapi/v2, and /openapi/v3 with an index of its documents. Documents are made when somebody asks for them, outside of the
//! threads that serve, and stay compressed: [`builtin`] those of what is built in, [`custom`] the parts of custom kinds, and
//! [`fragment`] puts them together. What they say is the crate `openapi`'s business.
//!
//! The index has a hash of each document. Whoever asks for a document by its hash may keep it for ever; with an old hash they
//! are sent on.

mod builtin;
mod custom;
mod fragment;

use std::sync::Arc;

use api::status::Reason;
use api::{Object, Status};
use axum::body::Body;
use axum::extract::{Extension, Path, State};
use bytes::Bytes;
use fragment::Document;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, EXPIRES, LOCATION, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use openapi::{Dialect, Form};
use serde_json::json;
use smol_str::SmolStr;

use super::etag::{self, Tagged};
use super::refusal;
use crate::{Inner, Ticket, media};

/// Everything that was made so far.
#[derive(Default)]
pub(crate) struct Documents {
    builtin: builtin::Builtin,
    custom: custom::Custom,
}

/// A year, as long as anything may be kept.
const FOR_EVER: i64 = 365 * 24 * 60 * 60;

/// A document in one form, under a hash that is the same for all of them.
struct Found {
    document: Document,
    hash: String,
    media: &'static str,
}

/// `/openapi/v2`
pub(super) async fn v2(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    headers: HeaderMap,
) -> Response<Body> {
    let Some((form, media)) = negotiate(&headers, Dialect::V2) else { return not_acceptable() };
    let made = make(&inner, &ticket, move |inner, kinds| {
        let documents = &inner.documents.openapi;
        let program = documents.builtin.program(&inner.registry);
        let hash = etag::hash(format!("{program}{}", kinds.hash()).as_bytes());
        let builtin = documents.builtin.v2(&inner.registry, form);
        Found { document: kinds.v2(&inner.registry, builtin, form), hash, media }
    });
    match made.await {
        Ok(found) => found.answer(&headers),
        Err(error) => refusal(Status::internal(error)),
    }
}

/// `/openapi/v3`: which documents there are.
pub(super) async fn index(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    headers: HeaderMap,
) -> Response<Body> {
    let made = make(&inner, &ticket, |inner, kinds| {
        let builtin = &inner.documents.openapi.builtin;
        let custom = kinds.hashes(builtin.program(&inner.registry));
        // What is built in comes first where a custom kind is in its group.
        let all = custom.iter().chain(builtin.hashes(&inner.registry));
        let entry = |(path, hash): (&String, &String)| {
            (path.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") }))
        };
        let paths: serde_json::Map<_, _> = all.map(entry).collect();
        Tagged::new(Bytes::from(json!({ "paths": paths }).to_string()))
    });
    match made.await {
        Ok(index) => index.answer(&headers, "application/json"),
        Err(error) => refusal(Status::internal(error)),
    }
}

/// `/openapi/v3/apis/apps/v1`: one of them.
pub(super) async fn v3(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let Some((form, media)) = negotiate(&headers, Dialect::V3) else { return not_acceptable() };
    let wanted = ticket.info.query.text("hash").to_owned();
    let made = make(&inner, &ticket, move |inner, kinds| {
        let (builtin, registry) = (&inner.documents.openapi.builtin, &inner.registry);
        if let Some(hash) = builtin.hashes(registry).get(&path) {
            let document = builtin.v3(registry, &path, form)?;
            return Some(Found { document, hash: hash.clone(), media });
        }
        let hash = kinds.hashes(builtin.program(registry)).remove(&path)?;
        Some(Found { document: kinds.v3(registry, &path, form)?, hash, media })
    });
    match made.await {
        Ok(Some(found)) if wanted.is_empty() => found.answer(&headers),
        Ok(Some(found)) if wanted == found.hash => {
            let now = inner.ambient.clock.wall_micros() / 1_000_000;
            let mut response = found.answer(&headers);
            let headers = response.headers_mut();
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
            if let Ok(expires) = HeaderValue::from_str(&api::time::format_http(now + FOR_EVER)) {
                headers.insert(EXPIRES, expires);
            }
            response
        }
        Ok(Some(found)) => found.redirect(),
        Ok(None) => refusal(Status::unknown_path()),
        Err(error) => refusal(Status::internal(error)),
    }
}

/// Makes something that may take a moment, of what there is now.
async fn make<T: Send + 'static>(
    inner: &Arc<Inner>,
    ticket: &Ticket,
    make: impl FnOnce(&Inner, &custom::Kinds) -> T + Send + 'static,
) -> Result<T, tokio::task::JoinError> {
    let cluster = ticket.info.cluster.clone();
    let definitions = inner.kinds.definitions(&cluster).await;
    let inner = inner.clone();
    tokio::task::spawn_blocking(move || {
        let kinds = kinds(&inner, &cluster, definitions);
        make(&inner, &kinds)
    })
    .await
}

fn kinds(inner: &Inner, cluster: &SmolStr, definitions: Vec<Arc<Object>>) -> Arc<custom::Kinds> {
    inner.documents.openapi.custom.of(&inner.registry, cluster, definitions)
}

/// The best form that the client takes, and its media type.
fn negotiate(headers: &HeaderMap, dialect: Dialect) -> Option<(Form, &'static str)> {
    // The older name of each has an @, which is no sign of a media type.
    let (names, media) = match dialect {
        Dialect::V2 => (
            ["com.github.proto-openapi.spec.v2.v1.0+protobuf", "com.github.proto-openapi.spec.v2@v1.0+protobuf"],
            "application/com.github.proto-openapi.spec.v2.v1.0+protobuf",
        ),
        Dialect::V3 => (
            ["com.github.proto-openapi.spec.v3.v1.0+protobuf", "com.github.proto-openapi.spec.v3@v1.0+protobuf"],
            "application/com.github.proto-openapi.spec.v3.v1.0+protobuf",
        ),
    };
    match media::first_of(headers, &["json", names[0], names[1]])? {
        0 => Some((Form::Json, "application/json")),
        _ => Some((Form::Protobuf, media)),
    }
}

fn not_acceptable() -> Response<Body> {
    refusal(Status::new(Reason::NotAcceptable, "only JSON and the protobuf form of OpenAPI are accepted"))
}

impl Found {
    fn answer(&self, headers: &HeaderMap) -> Response<Body> {
        let mut response = etag::answer(headers, &self.hash, self.media, Body::empty);
        if response.status() == StatusCode::OK {
            let gzip = media::takes_gzip(headers);
            let (body, length) = self.document.body(gzip);
            *response.body_mut() = body;
            response.headers_mut().insert(CONTENT_LENGTH, length.into());
            if gzip {
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            }
        }
        let headers = response.headers_mut();
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, private"));
        response
    }

    /// To the same path with the hash of what is there now: relative, since a logical cluster has a path of its own.
    fn redirect(&self) -> Response<Body> {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
        if let Ok(location) = HeaderValue::from_str(&format!("?hash={}", self.hash)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }
}
