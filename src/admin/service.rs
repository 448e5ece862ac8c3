//! The gateway's own paths (`/shardplane/v1`), as these commands ask for them.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use client::https::{HttpsOptions, HttpsTransport};
use client::kubeconfig::Target;
use client::{BodyStream, Transport};
use futures_util::StreamExt;
use http::{Method, Request, StatusCode};
use serde_json::Value;

use crate::{Failure, ambient};

/// How long an answer may take: a creation waits for a few commits.
const DEADLINE: Duration = Duration::from_secs(60);

/// A gateway.
pub(super) struct Service {
    transport: Arc<dyn Transport>,
}

impl Service {
    pub(super) fn at(target: &Target) -> Result<Self, Failure> {
        Ok(Self { transport: HttpsTransport::new(target, HttpsOptions::new(ambient::machine()))? })
    }

    /// Sends one request; an answer that is no success is an error in its own words.
    pub(super) async fn ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Failure> {
        let body = if body.is_null() { Bytes::new() } else { Bytes::from(body.to_string()) };
        let (code, bytes) = self.try_ask(method, path, body).await?;
        if code.is_success() {
            return Ok(serde_json::from_slice(&bytes).unwrap_or_default());
        }
        Err(refused(code, &bytes))
    }

    /// The same, whatever the answer is.
    pub(super) async fn try_ask(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(StatusCode, Bytes), Failure> {
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body)?;
        let answered = async {
            let (head, body) = self.transport.send(request).await?.into_parts();
            Ok::<_, Failure>((head.status, whole(body).await?))
        };
        let answered = tokio::time::timeout(DEADLINE, answered).await;
        answered.map_err(|_| format!("no answer within {} s", DEADLINE.as_secs()))?
    }

    /// The body of a GET, as it comes.
    pub(super) async fn open(&self, path: &str) -> Result<BodyStream, Failure> {
        let sent = tokio::time::timeout(DEADLINE, self.transport.send(Request::get(path).body(Bytes::new())?)).await;
        let (head, body) = sent.map_err(|_| format!("no answer within {} s", DEADLINE.as_secs()))??.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        Err(refused(head.status, &whole(body).await?))
    }
}

/// What a refusal says.
pub(super) fn refused(code: StatusCode, answer: &[u8]) -> Failure {
    let value: Value = serde_json::from_slice(answer).unwrap_or_default();
    match value["message"].as_str() {
        Some(message) => message.into(),
        None => format!("the server answered {code}: is it a gateway of Shardplane?").into(),
    }
}

async fn whole(mut body: BodyStream) -> Result<Bytes, Failure> {
    let mut bytes = BytesMut::new();
    while let Some(piece) = body.next().await {
        bytes.extend_from_slice(&piece?);
    }
    Ok(bytes.freeze())
}
