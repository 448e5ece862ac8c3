//! The lines of a watch: framing over chunks of any size, then events.

use std::marker::PhantomData;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::unfold;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use crate::request::status_error;
use crate::{BodyStream, ClientError, TransportError, WatchEvent, WatchStream};

/// The longest line that is read: several times the largest object that a Kubernetes API stores.
const LONGEST_LINE: usize = 16 << 20;

struct Lines<T> {
    body: BodyStream,
    path: String,
    /// When the server must have closed the watch.
    until: Instant,
    /// What has arrived and was not read: a chunk as it came, which usually holds whole lines.
    chunk: Bytes,
    /// The beginning of a line that goes on in `chunk` or later; given back as soon as the line is whole, because
    /// thousands of quiet watches should not keep the room of their longest line.
    buffer: BytesMut,
    over: bool,
    marker: PhantomData<fn() -> T>,
}

/// The events of a watch's body. It ends with the body, after an error, or after `limit` at the latest.
pub(crate) fn events<T: DeserializeOwned + Send + 'static>(
    body: BodyStream,
    path: String,
    limit: Duration,
) -> WatchStream<T> {
    let until = Instant::now() + limit;
    let lines =
        Lines { body, path, until, chunk: Bytes::new(), buffer: BytesMut::new(), over: false, marker: PhantomData };
    unfold(lines, |mut lines| async {
        let event = lines.next().await?;
        lines.over |= event.is_err();
        Some((event, lines))
    })
    .boxed()
}

impl<T: DeserializeOwned> Lines<T> {
    async fn next(&mut self) -> Option<Result<WatchEvent<T>, ClientError>> {
        loop {
            if self.over {
                return None;
            }
            if let Some(line) = self.take_line() {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                return Some(read_event(&line, &self.path));
            }
            if self.buffer.len() > LONGEST_LINE {
                let message = format!("a line of more than {LONGEST_LINE} bytes");
                return Some(Err(ClientError::Decode { path: self.path.clone(), message }));
            }
            match timeout_at(self.until, self.body.next()).await {
                Ok(Some(Ok(chunk))) => self.chunk = chunk,
                Ok(Some(Err(error))) => return Some(Err(error.into())),
                Ok(None) | Err(_) if self.buffer.is_empty() => return None,
                Ok(None) | Err(_) => {
                    let message = format!("the watch of {} broke off inside a line", self.path);
                    return Some(Err(TransportError { message, sent: true }.into()));
                }
            }
        }
    }

    /// The next whole line. Without one, all that has arrived is in `buffer` and `chunk` is empty.
    fn take_line(&mut self) -> Option<Bytes> {
        match memchr::memchr(b'\n', &self.chunk) {
            Some(at) => {
                let rest = self.chunk.split_to(at);
                self.chunk.advance(1);
                if self.buffer.is_empty() {
                    return Some(rest);
                }
                self.buffer.extend_from_slice(&rest);
                Some(std::mem::take(&mut self.buffer).freeze())
            }
            None => {
                self.buffer.extend_from_slice(&self.chunk);
                self.chunk = Bytes::new();
                None
            }
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BookmarkObject {
    metadata: BookmarkMeta,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct BookmarkMeta {
    resource_version: String,
    annotations: Option<std::collections::BTreeMap<String, String>>,
}

fn read_event<T: DeserializeOwned>(line: &[u8], path: &str) -> Result<WatchEvent<T>, ClientError> {
    let unreadable =
        |error: serde_json::Error| ClientError::Decode { path: path.to_owned(), message: error.to_string() };
    let (kind, object) = split(line).map_err(unreadable)?;
    match kind {
        "ADDED" => serde_json::from_slice(object).map(WatchEvent::Added).map_err(unreadable),
        "MODIFIED" => serde_json::from_slice(object).map(WatchEvent::Modified).map_err(unreadable),
        "DELETED" => serde_json::from_slice(object).map(WatchEvent::Deleted).map_err(unreadable),
        "BOOKMARK" => {
            let BookmarkObject { metadata } = serde_json::from_slice(object).map_err(unreadable)?;
            let marks = metadata.annotations.unwrap_or_default();
            let initial_end = marks.get("k8s.io/initial-events-end").is_some_and(|value| value == "true");
            Ok(WatchEvent::Bookmark { version: metadata.resource_version, initial_end })
        }
        "ERROR" => Err(status_error(500, None, object)),
        other => {
            let message = format!("an event of unknown type {other:?}");
            Err(ClientError::Decode { path: path.to_owned(), message })
        }
    }
}

/// Type and object of a line. Every known server writes the type first and nothing behind the object, which saves a scan.
fn split(line: &[u8]) -> Result<(&str, &[u8]), serde_json::Error> {
    for kind in ["ADDED", "MODIFIED", "DELETED", "BOOKMARK"] {
        let rest = line.strip_prefix(b"{\"type\":\"").and_then(|rest| rest.strip_prefix(kind.as_bytes()));
        let object =
            rest.and_then(|rest| rest.strip_prefix(b"\",\"object\":")).and_then(|rest| rest.strip_suffix(b"}"));
        if let Some(object) = object {
            return Ok((kind, object));
        }
    }
    let line: Line<'_> = serde_json::from_slice(line)?;
    Ok((line.kind, line.object.get().as_bytes()))
}

#[cfg(test)]
mod tests {
    use futures_util::stream::iter;
    use serde_json::{Value, json};

    use super::*;

    const TEXT: &str = concat!(
        "{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n\n",
        "{ \"object\": {\"a\":2}, \"type\": \"MODIFIED\"}\n",
        "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"7\",",
        "\"annotations\":{\"k8s.io/initial-events-end\":\"true\"}}}}\n",
        "{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"reason\":\"Expired\",\"message\":\"old\"}}\n",
        "{\"type\":\"ADDED\",\"object\":{\"a\":3}}\n",
    );

    fn watch(text: &str, chunk: usize) -> WatchStream<Value> {
        let chunks: Vec<_> = text.as_bytes().chunks(chunk).map(|part| Ok(Bytes::copy_from_slice(part))).collect();
        events(iter(chunks).boxed(), "/x".into(), Duration::from_secs(60))
    }

    #[tokio::test]
    async fn lines_are_found_whatever_the_chunks() {
        for chunk in [1, 2, 3, 7, 50, TEXT.len()] {
            let got: Vec<_> = watch(TEXT, chunk).collect().await;
            assert_eq!(got.len(), 4, "nothing comes after an ERROR: {got:?}");
            assert!(matches!(&got[0], Ok(WatchEvent::Added(value)) if *value == json!({"a": 1})));
            assert!(matches!(&got[1], Ok(WatchEvent::Modified(value)) if *value == json!({"a": 2})));
            assert!(matches!(&got[2], Ok(WatchEvent::Bookmark { version, initial_end: true }) if version == "7"));
            assert!(matches!(&got[3], Err(error) if error.is_expired()));
        }
    }

    #[tokio::test]
    async fn a_line_that_breaks_off_is_an_error() {
        let got: Vec<_> = watch("{\"type\":\"ADDED\",\"object\":{\"a\":1}}\n{\"type\":\"ADD", 5).collect().await;
        assert!(got[0].is_ok() && matches!(&got[1], Err(ClientError::Transport(_))), "{got:?}");
        assert_eq!(got.len(), 2);
    }

    #[tokio::test]
    async fn an_endless_line_is_refused() {
        let chunk = Bytes::from(vec![b' '; 1 << 20]);
        let body = futures_util::stream::repeat_with(move || Ok(chunk.clone())).boxed();
        let mut watch: WatchStream<Value> = events(body, "/x".into(), Duration::from_secs(60));
        assert!(matches!(watch.next().await, Some(Err(ClientError::Decode { .. }))));
        assert!(watch.next().await.is_none());
    }
}
