//! Requests in, answers out.

use api::Value;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::once;
use http::{Request, Response};

use super::FakeApi;
use super::path::{Path, parameters};
use super::state::{Answer, failure, not_found};
use super::watching::{Selection, open};
use crate::{BodyStream, Transport, TransportError};

impl Transport for FakeApi {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<BodyStream>, TransportError>> {
        let api = self.clone();
        Box::pin(async move {
            // An answer takes a turn of the scheduler, as a real one does.
            tokio::task::yield_now().await;
            api.respond(&request)
        })
    }
}

impl FakeApi {
    fn respond(&self, request: &Request<Bytes>) -> Result<Response<BodyStream>, TransportError> {
        let method = request.method().as_str();
        {
            let mut state = self.state.lock();
            state.requests.push(format!("{method} {}", request.uri()));
            if state.down {
                return Err(TransportError { message: "connection refused".into(), sent: false });
            }
            let path = request.uri().path_and_query().map_or("", |path| path.as_str());
            let hit = |fault: &&mut super::state::Fault| {
                fault.times > 0 && fault.method == method && path.contains(&fault.part)
            };
            if let Some(fault) = state.faults.iter_mut().find(hit) {
                fault.times -= 1;
                let answer = failure(fault.code, "", "a fault was asked for");
                return Ok(response(answer, fault.retry_after));
            }
        }
        let Some(path) = Path::parse(request.uri().path()) else {
            return Ok(response(failure(404, "NotFound", "no such path"), 0));
        };
        let query = parameters(request.uri().query().unwrap_or_default());
        let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, v)| v.clone()).unwrap_or_default();
        if get("watch") == "true" {
            let selection = Selection::new(path, &get);
            let opened = open(self, selection, &get("resourceVersion"), get("sendInitialEvents") == "true");
            return Ok(match opened {
                Ok(body) => Response::new(body),
                Err(answer) => response(answer, 0),
            });
        }
        let media = request.headers().get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
        let answer = self.execute(method, path, &get, &body, media);
        if method != "GET" {
            self.wake();
        }
        Ok(response(answer, 0))
    }

    fn execute(&self, method: &str, path: Path, get: &impl Fn(&str) -> String, body: &Value, media: &str) -> Answer {
        let mut state = self.state.lock();
        match (method, path.name.is_empty()) {
            ("GET", true) => {
                let selection = Selection::new(path, get);
                let limit = get("limit").parse().unwrap_or(0);
                // A limited list of a version is of exactly that version.
                let version = get("resourceVersion").parse().ok().filter(|version| limit > 0 && *version > 0);
                state.list(&selection, limit, version, &get("continue"))
            }
            ("GET", false) => match state.objects.get(&path.object(&path.name)) {
                Some(object) => (200, object.clone()),
                None => not_found(&path),
            },
            ("POST", true) => state.create(&path, body.clone()),
            ("POST", false) => state.post(&path, body),
            ("PUT", false) => state.update(&path, body.clone()),
            ("PATCH", false) => state.patch(&path, body, media.contains("strategic")),
            ("DELETE", false) => state.delete(&path, body),
            _ => failure(405, "MethodNotAllowed", "the method is not allowed"),
        }
    }
}

fn response((code, body): Answer, retry_after: u32) -> Response<BodyStream> {
    let bytes = Bytes::from(body.to_string());
    let mut builder = Response::builder().status(code);
    if retry_after > 0 {
        builder = builder.header("retry-after", retry_after);
    }
    builder.body(once(async move { Ok(bytes) }).boxed()).expect("a status and a number are a valid head")
}
