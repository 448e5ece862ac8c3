//! Objects as bytes: head and tail where the client gets what is stored, something made for it where it does not.
//!
//! The plain forms are concatenations (DESIGN D2); [`table`] and [`metadata`] take objects apart. [`list`] makes the body
//! of a list in pieces, while it is sent. [`pretty`] is for people.

pub(crate) mod list;
mod metadata;
mod pretty;
mod table;

use std::borrow::Cow;

use api::resource::Served;
use api::{Object, Resource, Status, Value};
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::media::{Output, Target};
use crate::relay::Shape;
pub(crate) use metadata::partial;
pub(crate) use pretty::indent;
pub(crate) use table::Tables;

/// The stored tail, or that of a served version which differs.
pub(crate) fn tail<'a>(served: &Served, object: &'a Object) -> Cow<'a, [u8]> {
    match &served.convert {
        None => Cow::Borrowed(object.tail()),
        Some(conversion) => {
            let mut document = object.document();
            (conversion.from_stored)(&mut document);
            if let Value::Object(fields) = &mut document {
                fields.remove("kind");
                fields.remove("apiVersion");
            }
            let mut text = serde_json::to_vec(&document).expect("a document is JSON");
            text.remove(0);
            Cow::Owned(text)
        }
    }
}

/// A complete object.
pub(crate) fn object(served: &Served, object: &Object) -> Bytes {
    let tail = tail(served, object);
    let mut text = BytesMut::with_capacity(served.head.len() + tail.len() + 1);
    text.put_slice(&served.head);
    text.put_slice(&tail);
    text.put_u8(b'\n');
    text.freeze()
}

/// One line of a watch.
pub(crate) fn event(kind: &str, served: &Served, object: &Object, shape: Shape) -> Bytes {
    let mut line = BytesMut::with_capacity(object.tail().len() + served.head.len() + 40);
    put_event_start(&mut line, kind);
    match shape {
        Shape::Object => {
            line.put_slice(&served.head);
            line.put_slice(&tail(served, object));
        }
        Shape::Metadata => partial(&mut line, "v1", object),
    }
    line.put_slice(b"}\n");
    line.freeze()
}

/// One line of a watch around a value that was made for it.
pub(crate) fn event_of(kind: &str, value: &Value) -> Bytes {
    let mut line = BytesMut::with_capacity(512);
    put_event_start(&mut line, kind);
    serde_json::to_writer((&mut line).writer(), value).expect("a buffer takes every byte");
    line.put_slice(b"}\n");
    line.freeze()
}

fn put_event_start(line: &mut BytesMut, kind: &str) {
    line.put_slice(b"{\"type\":\"");
    line.put_slice(kind.as_bytes());
    line.put_slice(b"\",\"object\":");
}

/// An answer that holds one object, in the form that the client asked for.
pub(crate) fn answer(
    code: u16,
    resource: &Resource,
    served: usize,
    stored: &Object,
    output: Output,
    now: i64,
) -> Response<Body> {
    let served = &resource.served[served];
    let text = match output.target {
        Target::Object => object(served, stored),
        Target::Metadata(version) => {
            let mut text = BytesMut::new();
            partial(&mut text, version, stored);
            text.freeze()
        }
        Target::Table(version, include) => {
            let tables = Tables { resource, served, version, include, now };
            json_bytes(&tables.of_one(stored))
        }
    };
    response(code, text, output.pretty)
}

/// An answer that holds a value which is no stored object.
pub(crate) fn value(code: u16, value: &impl Serialize, pretty: bool) -> Response<Body> {
    response(code, json_bytes(value), pretty)
}

/// An answer of finished JSON.
pub(crate) fn response(code: u16, text: Bytes, pretty: bool) -> Response<Body> {
    let text = if pretty { indent(&text) } else { text };
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn json_bytes(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("a document is JSON");
    text.push(b'\n');
    text.into()
}

/// The one place where a failure becomes an answer.
pub(crate) fn failure(status: &Status) -> Response<Body> {
    let mut response = value(status.code(), &status.to_value(), false);
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
    if status.retry_after_seconds() > 0 {
        headers.insert("retry-after", HeaderValue::from(status.retry_after_seconds()));
    }
    response
}

#[cfg(test)]
mod tests;
