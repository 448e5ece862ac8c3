//! One request until it has an answer: deadline, attempts, Retry-After, and `Status` errors read.
//!
//! Reads are tried again after 429, 503, whatever carries Retry-After, and a failed connection. Writes only after 429
//! (which is refused before it is executed) and when the transport says that the server cannot have seen the request.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Method, header};
use serde::Deserialize;
use tokio::time::{Instant, sleep, timeout_at};

use crate::backoff::Backoff;
use crate::{BodyStream, Client, ClientError, TransportError};

/// How often one call is attempted.
const ATTEMPTS: u32 = 5;
/// The longest Retry-After that is obeyed inside a call; longer ones are the caller's to wait.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// The largest answer: far above every list that a server of sense sends in one page.
const LARGEST_ANSWER: usize = 1 << 30;
/// What is read of an error's body.
const LARGEST_ERROR: usize = 1 << 20;

pub(crate) struct Outgoing {
    pub(crate) method: Method,
    /// Path and query.
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Bytes,
}

impl Outgoing {
    pub(crate) fn get(path: String) -> Self {
        Self { method: Method::GET, path, content_type: "", body: Bytes::new() }
    }
}

impl Client {
    /// Sends until there is an answer or the deadline has passed.
    pub(crate) async fn execute(&self, outgoing: &Outgoing, deadline: Duration) -> Result<Bytes, ClientError> {
        let until = Instant::now() + deadline;
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let late = || ClientError::Deadline { path: outgoing.path.clone(), seconds: deadline.as_secs() };
            let attempt = timeout_at(until, self.attempt(outgoing)).await;
            let error = match attempt.unwrap_or_else(|_| Err(late())) {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            if !may_try_again(&outgoing.method, &error) || backoff.failures() + 1 >= ATTEMPTS {
                return Err(error);
            }
            let pause = backoff.next(&*self.ambient.entropy).max(error.retry_after().unwrap_or_default());
            if pause > LONGEST_PAUSE || Instant::now() + pause >= until {
                return Err(error);
            }
            sleep(pause).await;
        }
    }

    async fn attempt(&self, outgoing: &Outgoing) -> Result<Bytes, ClientError> {
        let body = self.open(outgoing).await?;
        collect(body, LARGEST_ANSWER).await
    }

    /// Sends once and returns the body of a 2xx answer.
    pub(crate) async fn open(&self, outgoing: &Outgoing) -> Result<BodyStream, ClientError> {
        let mut request = http::Request::builder()
            .method(outgoing.method.clone())
            .uri(&outgoing.path)
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, &*self.user_agent);
        if !outgoing.content_type.is_empty() {
            request = request.header(header::CONTENT_TYPE, outgoing.content_type);
        }
        let request = request.body(outgoing.body.clone()).map_err(|error| {
            let message = format!("{} cannot be asked for: {error}", outgoing.path);
            ClientError::Transport(TransportError { message, sent: false })
        })?;
        let (head, body) = self.transport.send(request).await?.into_parts();
        if head.status.is_success() {
            return Ok(body);
        }
        // A body that breaks off says no less than the status alone.
        let text = collect(body, LARGEST_ERROR).await.unwrap_or_default();
        let after = head.headers.get(header::RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        Err(status_error(head.status.as_u16(), after, &text))
    }
}

fn may_try_again(method: &Method, error: &ClientError) -> bool {
    match error {
        ClientError::Status { code: 429, .. } => true,
        ClientError::Transport(error) if !error.sent => true,
        _ if method != Method::GET => false,
        ClientError::Status { code: 503, .. } | ClientError::Transport(_) => true,
        ClientError::Status { code, retry_after, .. } => *code >= 500 && retry_after.is_some(),
        ClientError::Decode { .. } | ClientError::Deadline { .. } => false,
    }
}

async fn collect(mut body: BodyStream, limit: usize) -> Result<Bytes, ClientError> {
    let Some(first) = body.next().await else { return Ok(Bytes::new()) };
    let first = first?;
    let Some(second) = body.next().await else { return Ok(first) };
    let mut whole = Vec::with_capacity(2 * first.len());
    whole.extend_from_slice(&first);
    let mut next = Some(second);
    while let Some(chunk) = next {
        let chunk = chunk?;
        if whole.len() + chunk.len() > limit {
            let message = format!("an answer of more than {limit} bytes was cut off");
            return Err(ClientError::Transport(TransportError { message, sent: true }));
        }
        whole.extend_from_slice(&chunk);
        next = body.next().await;
    }
    Ok(whole.into())
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireStatus {
    kind: String,
    code: Option<u16>,
    reason: Option<String>,
    message: Option<String>,
    details: Option<WireDetails>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct WireDetails {
    retry_after_seconds: Option<u32>,
}

/// The error that an answer is. What is no `Status` gets the reason that client-go would give its code.
pub(crate) fn status_error(code: u16, retry_after: Option<u32>, body: &[u8]) -> ClientError {
    let status: WireStatus = serde_json::from_slice(body).unwrap_or_default();
    if status.kind == "Status" {
        let in_body = status.details.and_then(|details| details.retry_after_seconds).filter(|seconds| *seconds > 0);
        return ClientError::Status {
            code: status.code.filter(|code| *code != 0).unwrap_or(code),
            reason: status.reason.unwrap_or_default(),
            message: status.message.unwrap_or_default(),
            retry_after: retry_after.or(in_body),
        };
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(300)]);
    let message = format!("the server answered {code}: {}", text.trim());
    ClientError::Status { code, reason: reason_of(code).to_owned(), message, retry_after }
}

fn reason_of(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        405 => "MethodNotAllowed",
        406 => "NotAcceptable",
        409 => "Conflict",
        410 => "Gone",
        413 => "RequestEntityTooLarge",
        415 => "UnsupportedMediaType",
        422 => "Invalid",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use api::Value;
    use serde_json::json;

    use super::*;
    use crate::fake::{FakeApi, manual_ambient};
    use crate::{ListOptions, known};

    const NODE: &str = "/api/v1/nodes/a";

    fn server() -> (FakeApi, Client) {
        let server = FakeApi::new();
        server.put(NODE, json!({"kind": "Node", "apiVersion": "v1", "metadata": {"name": "a"}}));
        let client = server.client(manual_ambient());
        (server, client)
    }

    #[tokio::test(start_paused = true)]
    async fn reads_are_tried_again_and_obey_retry_after() {
        let (server, client) = server();
        for (code, after) in [(429, 2), (503, 0), (500, 1)] {
            let start = Instant::now();
            server.fail_next(2, "GET", NODE, code, after);
            let node: Value = client.get(&known::NODES, "", "a").await.unwrap();
            assert_eq!(node["metadata"]["name"], "a");
            assert!(start.elapsed() >= Duration::from_secs(2 * u64::from(after)), "{code}");
        }
        server.fail_next(1, "GET", NODE, 500, 0);
        let error = client.get::<Value>(&known::NODES, "", "a").await.unwrap_err();
        assert!(matches!(error, ClientError::Status { code: 500, .. }), "an answer without Retry-After stands");
        server.fail_next(1, "GET", NODE, 503, 3600);
        let error = client.get::<Value>(&known::NODES, "", "a").await.unwrap_err();
        assert_eq!(error.retry_after(), Some(Duration::from_secs(3600)), "so long is the caller's to wait");
    }

    #[tokio::test(start_paused = true)]
    async fn writes_are_tried_again_only_when_they_cannot_have_been_executed() {
        let (server, client) = server();
        let pod = json!({"metadata": {"name": "p"}});
        server.fail_next(1, "POST", "pods", 429, 1);
        let made: Value = client.create(&known::PODS, "default", &pod).await.unwrap();
        assert_eq!((&made["kind"], &made["apiVersion"]), (&json!("Pod"), &json!("v1")));
        server.fail_next(1, "POST", "pods", 503, 1);
        assert!(client.create::<Value>(&known::PODS, "default", &pod).await.is_err());
        assert_eq!(server.count("POST", "pods"), 3);
        assert!(client.create::<Value>(&known::PODS, "default", &pod).await.unwrap_err().is_already_exists());
        server.disconnect(true);
        let before = server.count("POST", "pods");
        assert!(client.create::<Value>(&known::PODS, "default", &pod).await.is_err());
        assert_eq!(server.count("POST", "pods") - before, ATTEMPTS as usize);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_has_a_deadline() {
        let (server, client) = server();
        server.fail_next(9, "GET", NODE, 429, 9);
        let start = Instant::now();
        assert!(client.get::<Value>(&known::NODES, "", "a").await.is_err());
        assert!(start.elapsed() <= Duration::from_secs(30));
        let page = client.list::<Value>(&known::NODES, &ListOptions::default()).await.unwrap();
        assert_eq!((page.items.len(), page.continue_token.as_str()), (1, ""));
    }

    #[test]
    fn a_status_is_read_and_anything_else_gets_its_codes_reason() {
        let body = json!({"kind": "Status", "code": 409, "reason": "AlreadyExists", "message": "m",
            "details": {"retryAfterSeconds": 4}});
        let error = status_error(409, None, body.to_string().as_bytes());
        assert!(error.is_already_exists() && error.to_string() == "m");
        assert_eq!(error.retry_after(), Some(Duration::from_secs(4)));
        assert!(status_error(404, None, b"404 page not found").is_not_found());
        assert!(status_error(410, None, b"").is_expired());
    }
}
