//! /openapi/v3: an index of group versions, and a document for each. /openapi/v2 does not exist.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use api::{Status, Value};
use axum::body::Body;
use axum::extract::{Path, State};
use bytes::Bytes;
use http::{HeaderMap, Response};
use serde_json::json;

use super::etag::Tagged;
use super::refusal;
use crate::Inner;

/// Made once: hashes of all documents, and those documents that somebody wanted.
#[derive(Default)]
pub(crate) struct Documents {
    index: OnceLock<Tagged>,
    by_path: OnceLock<BTreeMap<String, OnceLock<Tagged>>>,
}

impl Documents {
    fn of<'a>(&'a self, inner: &Inner, path: &str) -> Option<&'a Tagged> {
        let paths = || api::openapi::group_versions(&inner.registry).into_iter().map(|path| (path, OnceLock::new()));
        let place = self.by_path.get_or_init(|| paths().collect()).get(path)?;
        if let Some(made) = place.get() {
            return Some(made);
        }
        let made = make(inner, path)?;
        Some(place.get_or_init(|| made))
    }

    fn index(&self, inner: &Inner) -> &Tagged {
        self.index.get_or_init(|| {
            let paths = api::openapi::group_versions(&inner.registry);
            let entries = paths.iter().filter_map(|path| {
                let hash = &make(inner, path)?.hash;
                Some((path.clone(), json!({ "serverRelativeURL": format!("/openapi/v3/{path}?hash={hash}") })))
            });
            let entries: Value = entries.collect::<serde_json::Map<_, _>>().into();
            Tagged::new(Bytes::from(json!({ "paths": entries }).to_string()))
        })
    }
}

fn make(inner: &Inner, path: &str) -> Option<Tagged> {
    let (group, version) = match path.split('/').collect::<Vec<_>>()[..] {
        ["api", version] => ("", version),
        ["apis", group, version] => (group, version),
        _ => return None,
    };
    let document = api::openapi::document(&inner.registry, group, version)?;
    Some(Tagged::new(Bytes::from(document.to_string())))
}

/// Which documents there are.
pub(super) async fn index(State(inner): State<Arc<Inner>>, headers: HeaderMap) -> Response<Body> {
    // Hashing all of them takes a moment, once.
    let made = tokio::task::spawn_blocking(move || inner.documents.openapi.index(&inner).clone()).await;
    match made {
        Ok(index) => index.answer(&headers, "application/json"),
        Err(error) => refusal(Status::internal(error)),
    }
}

/// The document of one group version.
pub(super) async fn document(
    State(inner): State<Arc<Inner>>,
    Path(path): Path<String>,
    headers: HeaderMap,
) -> Response<Body> {
    let made = tokio::task::spawn_blocking(move || inner.documents.openapi.of(&inner, &path).cloned()).await;
    match made {
        Ok(Some(document)) => document.answer(&headers, "application/json"),
        Ok(None) => refusal(Status::unknown_path()),
        Err(error) => refusal(Status::internal(error)),
    }
}
