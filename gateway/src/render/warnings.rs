//! Warning headers: what a client is told beside the answer, be it a success or a failure.

use axum::body::Body;
use http::{HeaderValue, Response};

/// Adds a header for each warning.
pub(crate) fn add(response: &mut Response<Body>, warnings: &[String]) {
    for warning in warnings {
        if let Ok(value) = HeaderValue::from_bytes(header(warning).as_bytes()) {
            response.headers_mut().append("warning", value);
        }
    }
}

/// RFC 7234's `299 - "text"`. Control characters become spaces.
fn header(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 10);
    out.push_str("299 - \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}
