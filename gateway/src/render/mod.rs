//! Objects as bytes: head and tail where the client gets what is stored, something made for it where it does not.
//!
//! The plain forms are concatenations (DESIGN D2); [`table`] and [`metadata`] take objects apart, [`protobuf`] goes around
//! what [`crate::forms`] keeps. [`list`] makes the body of a list in pieces, while it is sent, and [`gzip`] makes large
//! answers small. [`pretty`] and YAML are for people.

pub(crate) mod gzip;
pub(crate) mod list;
mod metadata;
mod pretty;
pub(crate) mod protobuf;
mod table;
pub(crate) mod warnings;

use std::borrow::Cow;

use api::codec::yaml;
use api::resource::Served;
use api::{Object, Resource, Status, Value};
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Serialize;

use crate::forms::Forms;
use crate::media::{Encoding, Output, Target};
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

/// One event of a watch: a line, or a frame.
pub(crate) fn event(
    kind: &str,
    resource: &Resource,
    served: usize,
    object: &Object,
    shape: Shape,
    encoding: Encoding,
    forms: &Forms,
) -> Bytes {
    if encoding == Encoding::Protobuf {
        return protobuf_event(kind, resource, served, object, shape, forms);
    }
    let served = &resource.served[served];
    let mut line = BytesMut::with_capacity(object.tail().len() + served.head.len() + 40);
    put_event_start(&mut line, kind);
    match shape {
        Shape::Object => {
            line.put_slice(&served.head);
            line.put_slice(&tail(served, object));
        }
        Shape::Metadata(version) => partial(&mut line, version, object),
    }
    line.put_slice(b"}\n");
    line.freeze()
}

fn protobuf_event(
    kind: &str,
    resource: &Resource,
    served: usize,
    object: &Object,
    shape: Shape,
    forms: &Forms,
) -> Bytes {
    let version = &resource.served[served];
    let made = forms.of(resource, served, object).map(|form| match shape {
        Shape::Object => protobuf::enveloped(&version.api_version(), &resource.kind, &form),
        Shape::Metadata(version) => protobuf::partial(version, &form),
    });
    match made {
        Ok(enveloped) => protobuf::event(kind, &enveloped),
        // What is stored is canonical, so this says that it is damaged.
        Err(status) => event_of("ERROR", &status.to_value(), Encoding::Protobuf),
    }
}

/// One event of a watch around a value that was made for it.
pub(crate) fn event_of(kind: &str, value: &Value, encoding: Encoding) -> Bytes {
    if encoding == Encoding::Protobuf {
        return match protobuf::document(value) {
            Ok(enveloped) => protobuf::event(kind, &enveloped),
            Err(_) => Bytes::new(),
        };
    }
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
    forms: &Forms,
) -> Result<Response<Body>, Status> {
    let version = &resource.served[served];
    if output.encoding == Encoding::Protobuf {
        let form = forms.of(resource, served, stored)?;
        let bytes = match output.target {
            Target::Metadata(version) => protobuf::partial(version, &form),
            _ => protobuf::enveloped(&version.api_version(), &resource.kind, &form),
        };
        return Ok(finished(code, bytes, Encoding::Protobuf));
    }
    let text = match output.target {
        Target::Object => object(version, stored),
        Target::Metadata(version) => {
            let mut text = BytesMut::new();
            partial(&mut text, version, stored);
            text.put_u8(b'\n');
            text.freeze()
        }
        Target::Table(table_version, include) => {
            let tables = Tables { resource, served: version, version: table_version, include, now };
            json_bytes(&tables.of_one(stored))
        }
    };
    Ok(response(code, text, output))
}

/// An answer that holds a document of its own: a Status, a Scale, discovery. 406 where it has no form like that.
pub(crate) fn document(code: u16, document: &Value, output: Output) -> Result<Response<Body>, Status> {
    match output.encoding {
        Encoding::Protobuf => Ok(finished(code, protobuf::document(document)?, Encoding::Protobuf)),
        _ => Ok(response(code, json_bytes(document), output)),
    }
}

/// An answer that holds a document whose fields have an order, which JSON keeps.
pub(crate) fn serialized(code: u16, what: &impl Serialize, output: Output) -> Result<Response<Body>, Status> {
    match output.encoding {
        Encoding::Json => Ok(response(code, json_bytes(what), output)),
        _ => document(code, &serde_json::to_value(what).map_err(Status::internal)?, output),
    }
}

/// An answer that holds something of our own, which is JSON whatever the client accepts.
pub(crate) fn value(code: u16, value: &impl Serialize, pretty: bool) -> Response<Body> {
    response(code, json_bytes(value), Output { pretty, ..Output::default() })
}

/// An answer of finished JSON, as text for the client: indented, or YAML.
pub(crate) fn response(code: u16, text: Bytes, output: Output) -> Response<Body> {
    let text = match output.encoding {
        Encoding::Yaml => {
            let value: Value = serde_json::from_slice(&text).expect("it was written as JSON");
            yaml::write(&value).into()
        }
        _ if output.pretty => indent(&text),
        _ => text,
    };
    finished(code, text, output.encoding)
}

fn finished(code: u16, bytes: Bytes, encoding: Encoding) -> Response<Body> {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    response.headers_mut().insert(CONTENT_TYPE, encoding.content_type());
    response
}

fn json_bytes(value: &impl Serialize) -> Bytes {
    let mut text = serde_json::to_vec(value).expect("a document is JSON");
    text.push(b'\n');
    text.into()
}

/// The one place where a failure becomes an answer. Whoever accepts nothing that there is gets indented JSON.
pub(crate) fn failure(status: &Status, output: Option<Output>) -> Response<Body> {
    let (code, document_of) = (status.code(), status.to_value());
    let people = Output { pretty: true, ..Output::default() };
    let made = document(code, &document_of, output.unwrap_or(people));
    let mut response = made.unwrap_or_else(|_| value(code, &document_of, true));
    let headers = response.headers_mut();
    headers.insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    headers.insert("cache-control", HeaderValue::from_static("no-cache, private"));
    if status.retry_after_seconds() > 0 {
        headers.insert("retry-after", HeaderValue::from(status.retry_after_seconds()));
    }
    warnings::add(&mut response, &status.parts().warnings);
    response
}

#[cfg(test)]
mod tests;
