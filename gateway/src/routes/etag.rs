//! Documents that clients may keep: ETag and If-None-Match.

use api::codec::yaml;
use api::{Status, Value};
use axum::body::Body;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use ring::digest::{SHA512, digest};

use crate::media::Encoding;
use crate::render;

/// A finished document and the hash that names its contents.
#[derive(Clone, Debug)]
pub(super) struct Tagged {
    pub(super) text: Bytes,
    /// SHA-512, hexadecimal in upper case.
    pub(super) hash: String,
}

impl Tagged {
    pub(super) fn new(text: Bytes) -> Self {
        Self { hash: hash(&text), text }
    }

    /// A document in one of its forms. The hash is the same for all of them.
    pub(super) fn in_form(document: &Value, encoding: Encoding) -> Result<Self, Status> {
        let text = Bytes::from(document.to_string());
        let hash = Self::new(text.clone()).hash;
        let text = match encoding {
            Encoding::Json => text,
            Encoding::Yaml => yaml::write(document).into(),
            Encoding::Protobuf => render::protobuf::document(document)?,
        };
        Ok(Self { text, hash })
    }

    /// The document, or 304 where the client has it.
    pub(super) fn answer(&self, headers: &HeaderMap, content_type: &str) -> Response<Body> {
        answer(headers, &self.hash, content_type, || Body::from(self.text.clone()))
    }
}

/// SHA-512, hexadecimal in upper case.
pub(super) fn hash(text: &[u8]) -> String {
    digest(&SHA512, text).as_ref().iter().map(|byte| format!("{byte:02X}")).collect()
}

/// A body under its hash, or 304 where the client has it.
pub(super) fn answer(
    headers: &HeaderMap,
    hash: &str,
    content_type: &str,
    body: impl FnOnce() -> Body,
) -> Response<Body> {
    let tag = format!("\"{hash}\"");
    let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|have| have.to_str().ok()).any(|have| {
        // A tag that is weak is as good here.
        have.split(',').map(str::trim).any(|have| have == "*" || have.strip_prefix("W/").unwrap_or(have) == tag)
    });
    let mut response = Response::new(if known { Body::empty() } else { body() });
    if known {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
    }
    let headers = response.headers_mut();
    headers.insert(ETAG, HeaderValue::from_str(&tag).expect("hexadecimal digits in quotes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_str(content_type).expect("a media type is ASCII"));
    headers.insert(VARY, HeaderValue::from_static("Accept"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("public"));
    response
}
