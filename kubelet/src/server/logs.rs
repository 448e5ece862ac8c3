//! `/containerLogs`

use client::Key;
use futures_util::stream::unfold;
use http::{HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;

use super::{Answered, Serving};
use crate::logs::{LogOptions, Reading};

impl Serving {
    pub(super) fn container_logs(&self, key: Key, container: &str, query: &str) -> Answered {
        let bad = |message| (StatusCode::BAD_REQUEST, message);
        let options = LogOptions::parse(query).map_err(bad)?;
        let life =
            self.logs.get(&key).ok_or_else(|| (StatusCode::NOT_FOUND, format!("pod {:?} does not exist", key.name)))?;
        let at = life.containers.iter().position(|(name, _)| name == container).ok_or_else(|| {
            (StatusCode::NOT_FOUND, format!("container {container:?} not found in pod {:?}", key.name))
        })?;
        let span = if options.previous {
            let message = || format!("previous terminated container {container:?} in pod {:?} not found", key.name);
            life.previous.ok_or_else(|| bad(message()))?
        } else {
            life.span
        };
        let now = self.logs.now();
        let reading = Reading::new(self.logs.clone(), key, life, at, span, options, now);
        let stream = unfold(reading, |mut reading| async {
            let chunk = reading.next().await?;
            Some((Ok(Frame::data(chunk)), reading))
        });
        let mut response = Response::new(BodyExt::boxed_unsync(StreamBody::new(stream)));
        response.headers_mut().insert("content-type", HeaderValue::from_static("text/plain"));
        Ok(response)
    }
}
