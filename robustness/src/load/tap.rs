//! A transport that counts the answers that pass through it, retried ones too.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use client::{BodyStream, Transport, TransportError};
use futures_util::future::BoxFuture;
use http::{Request, Response, header};

/// Answers of all clients, by what they say of service.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) answers: AtomicU64,
    /// 503 and 429 that say when to come again.
    pub(super) unavailable: AtomicU64,
    /// 503 and 429 that do not.
    pub(super) unavailable_without_retry_after: AtomicU64,
    /// Other 5xx.
    pub(super) errors: AtomicU64,
    /// Connections that broke or could not be made.
    pub(super) unanswered: AtomicU64,
}

/// Counts what another transport carries.
pub(super) struct Tap {
    pub(super) inner: Arc<dyn Transport>,
    pub(super) counts: Arc<Counts>,
}

impl Transport for Tap {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<BodyStream>, TransportError>> {
        let (sent, counts) = (self.inner.send(request), self.counts.clone());
        Box::pin(async move {
            let answer = sent.await;
            let counter = match &answer {
                Err(_) => &counts.unanswered,
                Ok(answer) => {
                    let again = answer.headers().contains_key(header::RETRY_AFTER);
                    match answer.status().as_u16() {
                        429 | 503 if again => &counts.unavailable,
                        429 | 503 => &counts.unavailable_without_retry_after,
                        500.. => &counts.errors,
                        _ => &counts.answers,
                    }
                }
            };
            counter.fetch_add(1, Ordering::Relaxed);
            answer
        })
    }
}
