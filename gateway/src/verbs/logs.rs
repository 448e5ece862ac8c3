//! pods/log: asked of the kubelet on the pod's node, and passed on as it comes.

use std::time::Duration;

use api::document::Document;
use api::{Causes, Status, Value, time};
use axum::body::Body;
use futures_util::StreamExt;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyDataStream, BodyExt, Limited};
use hyper::body::Incoming;

use super::Call;
use super::connect::container_of;
use crate::forward::exchange;
use crate::kubelets::Kubelet;
use crate::query::{Query, encode};

/// How long a kubelet may take to begin its answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What is read of an answer that is no log.
const REFUSAL: usize = 50_000;

pub(super) async fn serve(call: Call) -> Result<Response<Body>, Status> {
    if call.info.verb != "get" {
        return Err(call.not_allowed());
    }
    let query = &call.info.query;
    let options = LogOptions::read(query)?;
    options.validate(query, &call.info.name)?;
    let pod = call.fetch(&call.resource, &call.namespace, &call.info.name).await?.document();
    let container = container_of(&pod, query.text("container"))?;
    let node = pod.text(&["spec", "nodeName"]);
    if node.is_empty() {
        let mut nothing = Response::new(Body::empty());
        *nothing.status_mut() = StatusCode::NO_CONTENT;
        return Ok(nothing);
    }
    let kubelet = Kubelet::of_node(&call, node).await?;
    let unchecked = query.flag("insecureSkipTLSVerifyBackend") == Some(true);
    let backend = kubelet.backend(&call, unchecked).await?;
    let target = format!("/containerLogs/{}/{}/{container}{}", call.namespace, call.info.name, options.query());
    let failed = |error: &dyn std::fmt::Display| {
        Status::said(500, "", format!("Get \"https://{}{target}\": {error}", backend.authority()))
    };
    let asking = async {
        let link = backend.connect().await.map_err(|error| failed(&error))?;
        let request = Request::get(&target).header(HOST, backend.authority()).body(Body::empty());
        exchange(link, request.map_err(Status::internal)?).await.map_err(|error| failed(&error))
    };
    let stopping = call.gateway.stopping.clone();
    let answer = tokio::select! {
        () = stopping.cancelled() => return Err(Status::unavailable("the server is shutting down")),
        answer = tokio::time::timeout(PATIENCE, asking) => answer,
    };
    let answer = answer.unwrap_or_else(|_| Err(failed(&"context deadline exceeded")))?;
    if !(200..=206).contains(&answer.status().as_u16()) {
        return Err(refused(&call.info.name, answer).await);
    }
    let body = BodyDataStream::new(answer.into_body()).take_until(stopping.cancelled_owned());
    let mut response = Response::new(Body::from_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    Ok(response)
}

/// PodLogOptions, as far as kubelets are told of them.
#[derive(Debug, Default, PartialEq, Eq)]
struct LogOptions {
    follow: bool,
    previous: bool,
    timestamps: bool,
    since_seconds: Option<i64>,
    /// Microseconds since 1970.
    since_time: Option<i64>,
    tail_lines: Option<i64>,
    limit_bytes: Option<i64>,
}

impl LogOptions {
    /// 400 for what cannot be read.
    fn read(query: &Query) -> Result<Self, Status> {
        let flag = |key| query.flag(key) == Some(true);
        let number = |key| query.get(key).map(number).transpose().map_err(Status::bad_request);
        let since_time = match query.text("sinceTime") {
            "" => None,
            text => Some(time::parse(text).ok_or_else(|| {
                let quoted = Value::from(text);
                let message = format!(
                    "parsing time {quoted} as \"2006-01-02T15:04:05Z07:00\": cannot parse {quoted} as \"2006\""
                );
                Status::bad_request(message)
            })?),
        };
        Ok(Self {
            follow: flag("follow"),
            previous: flag("previous"),
            timestamps: flag("timestamps"),
            since_seconds: number("sinceSeconds")?,
            since_time,
            tail_lines: number("tailLines")?,
            limit_bytes: number("limitBytes")?,
        })
    }

    /// 422 for what can be read and cannot be meant.
    fn validate(&self, query: &Query, pod: &str) -> Result<(), Status> {
        let mut causes = Causes::default();
        if let Some(lines) = self.tail_lines.filter(|lines| *lines < 0) {
            causes.invalid("tailLines", &lines.into(), "must be greater than or equal to 0");
        }
        if let Some(bytes) = self.limit_bytes.filter(|bytes| *bytes < 1) {
            causes.invalid("limitBytes", &bytes.into(), "must be greater than 0");
        }
        if self.since_seconds.is_some() && self.since_time.is_some() {
            causes.forbidden("[]", "at most one of `sinceTime` or `sinceSeconds` may be specified");
        } else if let Some(seconds) = self.since_seconds.filter(|seconds| *seconds < 1) {
            causes.invalid("sinceSeconds", &seconds.into(), "must be greater than 0");
        }
        if query.get("stream").is_some() {
            // An alpha feature, and off.
            causes.forbidden("stream", "may not be specified");
        }
        if causes.is_empty() { Ok(()) } else { Err(Status::invalid("", "PodLogOptions", pod, causes)) }
    }

    /// The query for the kubelet.
    fn query(&self) -> String {
        let flag = |on: bool| on.then(|| "true".to_owned());
        let number = |number: Option<i64>| number.map(|number| number.to_string());
        let pairs = [
            ("follow", flag(self.follow)),
            ("limitBytes", number(self.limit_bytes)),
            ("previous", flag(self.previous)),
            ("sinceSeconds", number(self.since_seconds)),
            ("sinceTime", self.since_time.map(time::format_seconds)),
            ("tailLines", number(self.tail_lines)),
            ("timestamps", flag(self.timestamps)),
        ];
        encode(pairs.iter().filter_map(|(key, value)| Some((*key, value.as_deref()?))))
    }
}

/// A number as the reference reads one, and its words for what is none.
fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|error: std::num::ParseIntError| {
        use std::num::IntErrorKind::{NegOverflow, PosOverflow};
        let why = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("strconv.ParseInt: parsing {}: {why}", Value::from(text))
    })
}

/// What a kubelet said instead of a log.
async fn refused(pod: &str, answer: Response<Incoming>) -> Status {
    let code = answer.status().as_u16();
    let body = Limited::new(answer.into_body(), REFUSAL).collect();
    let said = match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => String::from_utf8_lossy(&body.to_bytes()).trim().to_owned(),
        _ => String::new(),
    };
    if code == 500 {
        return Status::said(500, "InternalError", format!("Internal error occurred: {said}"));
    }
    let (reason, message) = match code {
        400 => return Status::bad_request(said),
        401 => ("Unauthorized", "the server has asked for the client to provide credentials".to_owned()),
        403 => ("Forbidden", said),
        404 => ("NotFound", "the server could not find the requested resource".to_owned()),
        405 => ("MethodNotAllowed", "the server does not allow this method on the requested resource".to_owned()),
        422 => ("Invalid", "the server rejected our request due to an error in our request".to_owned()),
        429 => {
            let busy = "the server has received too many requests and has asked us to try again later";
            ("TooManyRequests", busy.to_owned())
        }
        503 => ("ServiceUnavailable", "the server is currently unable to handle the request".to_owned()),
        501..=502 | 504.. => {
            let said = Value::from(said);
            ("InternalError", format!("an error on the server ({said}) has prevented the request from succeeding"))
        }
        _ => ("", format!("the server responded with the status code {code} but did not return more information")),
    };
    Status::said(code, reason, format!("{message} ( pods/log {pod})")).about("", "pods/log", pod)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<LogOptions, Status> {
        let query = Query::parse(Some(query));
        let options = LogOptions::read(&query)?;
        options.validate(&query, "web").map(|()| options)
    }

    #[test]
    fn only_known_options_are_passed_on() {
        let options = read("follow=true&container=a&sinceTime=2026-01-01T00%3A00%3A00Z&evil=1&previous=false").unwrap();
        assert_eq!(options.query(), "?follow=true&sinceTime=2026-01-01T00%3A00%3A00Z");
        assert_eq!(read("").unwrap().query(), "");
    }

    #[test]
    fn what_cannot_be_is_refused_in_the_references_words() {
        let refusal = |query: &str| {
            let status = read(query).unwrap_err();
            (status.code(), status.message().to_owned())
        };
        let message = "strconv.ParseInt: parsing \"x\": invalid syntax";
        assert_eq!(refusal("tailLines=x"), (400, message.to_owned()));
        assert_eq!(refusal("limitBytes=99999999999999999999").1.split(": ").last(), Some("value out of range"));
        let message = "parsing time \"x\" as \"2006-01-02T15:04:05Z07:00\": cannot parse \"x\" as \"2006\"";
        assert_eq!(refusal("sinceTime=x"), (400, message.to_owned()));
        let message = "PodLogOptions \"web\" is invalid: [tailLines: Invalid value: -1: must be greater than or equal to 0, \
                       limitBytes: Invalid value: 0: must be greater than 0, sinceSeconds: Invalid value: 0: must be \
                       greater than 0]";
        assert_eq!(refusal("tailLines=-1&limitBytes=0&sinceSeconds=0"), (422, message.to_owned()));
        let message = "PodLogOptions \"web\" is invalid: []: Forbidden: at most one of `sinceTime` or `sinceSeconds` may be \
                       specified";
        assert_eq!(refusal("sinceSeconds=1&sinceTime=2026-01-01T00:00:00Z"), (422, message.to_owned()));
        assert_eq!(refusal("stream=Stdout").0, 422);
    }
}
