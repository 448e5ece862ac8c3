//! /healthz, /livez, /readyz, with their named checks.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, Path, State};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};

use crate::{Inner, Ticket};

/// A check's name and what it looks at.
struct Check {
    name: &'static str,
    passes: fn(&Inner) -> bool,
}

const PING: Check = Check { name: "ping", passes: |_| true };
/// Every slot has an owner.
const SHARDS: Check = Check { name: "shards", passes: |inner| inner.topology.current().is_complete() };
/// Not told to stop.
const SHUTDOWN: Check = Check { name: "shutdown", passes: |inner| !inner.stopping.is_cancelled() };

fn checks(path: &str) -> &'static [Check] {
    const LIVE: [Check; 1] = [PING];
    const READY: [Check; 3] = [PING, SHARDS, SHUTDOWN];
    if path.starts_with("/livez") { &LIVE } else { &READY }
}

/// All checks of an endpoint; `?verbose` lists them, `?exclude` leaves some out.
pub(super) async fn all(State(inner): State<Arc<Inner>>, Extension(ticket): Extension<Ticket>) -> Response<Body> {
    let info = &ticket.info;
    let mut excluded: Vec<&str> = info.query.all("exclude").collect();
    let (mut report, mut failed) = (String::new(), false);
    for Check { name, passes } in checks(&info.path) {
        if let Some(at) = excluded.iter().position(|have| have == name) {
            excluded.remove(at);
            report.push_str(&format!("[+]{name} excluded: ok\n"));
        } else if passes(&inner) {
            report.push_str(&format!("[+]{name} ok\n"));
        } else {
            failed = true;
            report.push_str(&format!("[-]{name} failed: reason withheld\n"));
        }
    }
    if !excluded.is_empty() {
        let unknown: Vec<String> = excluded.iter().map(|name| format!("{name:?}")).collect();
        report.push_str("warn: some health checks cannot be excluded: no matches for ");
        report.push_str(&format!("{}\n", unknown.join(",")));
    }
    let endpoint = info.path.trim_matches('/');
    if failed {
        return text(StatusCode::INTERNAL_SERVER_ERROR, format!("{report}{endpoint} check failed\n"));
    }
    match info.query.get("verbose") {
        None => text(StatusCode::OK, "ok".to_owned()),
        Some(_) => text(StatusCode::OK, format!("{report}{endpoint} check passed\n")),
    }
}

/// One check by its name.
pub(super) async fn one(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path(name): Path<String>,
) -> Response<Body> {
    match checks(&ticket.info.path).iter().find(|check| check.name == name) {
        None => text(StatusCode::NOT_FOUND, "404 page not found\n".to_owned()),
        Some(check) if (check.passes)(&inner) => text(StatusCode::OK, "ok".to_owned()),
        Some(_) => text(StatusCode::INTERNAL_SERVER_ERROR, format!("internal server error: {name} failed\n")),
    }
}

fn text(code: StatusCode, body: String) -> Response<Body> {
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = code;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert("x-content-type-options", HeaderValue::from_static("nosniff"));
    response
}
