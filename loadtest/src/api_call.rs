//! Calls without ceremony: a prepared body in, the status and length of the answer out. What the client crate does for
//! controllers (typed views, retries) would be measured along, so it is not used on the measured path.

use std::sync::Arc;

use bytes::Bytes;
use client::{ClientError, Transport, TransportError};
use futures_util::StreamExt;
use http::{Method, Request, header};

const AGENT: &str = concat!("shardplane-loadtest/", env!("CARGO_PKG_VERSION"));

/// Builds a request with a JSON body (none where it is empty).
pub(crate) fn request(method: Method, path: &str, content_type: &str, body: Bytes) -> Request<Bytes> {
    let mut builder = Request::builder().method(method).uri(path);
    builder = builder.header(header::ACCEPT, "application/json").header(header::USER_AGENT, AGENT);
    if !body.is_empty() {
        builder = builder.header(header::CONTENT_TYPE, content_type);
    }
    builder.body(body).expect("paths are built from names that are valid in URIs")
}

/// Sends it and reads the answer to its end. Returns the body's length; a failure status is an error.
pub(crate) async fn send(transport: &Arc<dyn Transport>, request: Request<Bytes>) -> Result<usize, ClientError> {
    let answer = transport.send(request).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    if status.is_success() {
        let mut length = 0;
        while let Some(chunk) = body.next().await {
            length += chunk?.len();
        }
        return Ok(length);
    }
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk?);
    }
    Err(failure(status.as_u16(), &text))
}

/// Sends it and returns the whole answer.
pub(crate) async fn read(transport: &Arc<dyn Transport>, request: Request<Bytes>) -> Result<Vec<u8>, ClientError> {
    let answer = transport.send(request).await?;
    let status = answer.status();
    let mut body = answer.into_body();
    let mut text = Vec::new();
    while let Some(chunk) = body.next().await {
        text.extend_from_slice(&chunk?);
    }
    if status.is_success() { Ok(text) } else { Err(failure(status.as_u16(), &text)) }
}

/// Sends it and returns the whole answer as JSON.
pub(crate) async fn fetch(transport: &Arc<dyn Transport>, request: Request<Bytes>) -> Result<api::Value, ClientError> {
    let path = request.uri().path().to_owned();
    let text = read(transport, request).await?;
    serde_json::from_slice(&text).map_err(|error| ClientError::Decode { path, message: error.to_string() })
}

fn failure(code: u16, body: &[u8]) -> ClientError {
    let status: api::Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |field: &str| status[field].as_str().unwrap_or_default().to_owned();
    let message = match text("message") {
        empty if empty.is_empty() => format!("the server answered {code}"),
        message => message,
    };
    ClientError::Status { code, reason: text("reason"), message, retry_after: None }
}

/// Opens a watch, says when it is open, and hands each whole line to `line` until it returns false or the stream ends.
pub(crate) async fn watch_lines(
    transport: &Arc<dyn Transport>,
    path: &str,
    opened: impl FnOnce() + Send,
    mut line: impl FnMut(&[u8]) -> bool + Send,
) -> Result<(), ClientError> {
    let answer = transport.send(request(Method::GET, path, "", Bytes::new())).await?;
    let status = answer.status();
    if status.is_success() {
        opened();
    }
    let mut body = answer.into_body();
    let mut rest: Vec<u8> = Vec::new();
    while let Some(chunk) = body.next().await {
        let chunk: Bytes = chunk.map_err(|error: TransportError| ClientError::Transport(error))?;
        if !status.is_success() {
            return Err(failure(status.as_u16(), &chunk));
        }
        let mut from = 0;
        while let Some(end) = chunk[from..].iter().position(|byte| *byte == b'\n') {
            let part = &chunk[from..from + end];
            let more = if rest.is_empty() {
                line(part)
            } else {
                rest.extend_from_slice(part);
                let more = line(&rest);
                rest.clear();
                more
            };
            if !more {
                return Ok(());
            }
            from += end + 1;
        }
        rest.extend_from_slice(&chunk[from..]);
    }
    Ok(())
}
