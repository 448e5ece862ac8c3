//! The body of a watch: what exists, then what happens, then the end.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use api::ambient::Clock;
use api::{Object, Resource, Status, Value, Version};
use axum::body::Body;
use bytes::{Bytes, BytesMut};
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http_body::Frame;
use serde_json::json;
use tokio::time::{Instant, Sleep};

use crate::Inner;
use crate::forms::Forms;
use crate::media::{Encoding, Output, Target};
use crate::metrics::ResourceLabels;
use crate::reading::Reader;
use crate::relay::{End, Feed, Form, Shape};
use crate::render::{self, Tables};

/// Bytes of one piece, more or less.
const PIECE: usize = 64 << 10;
/// Events that are taken from the feed at once.
const BATCH: usize = 64;

/// How a watcher wants its objects.
pub(crate) struct Presenter {
    resource: Arc<Resource>,
    served: usize,
    output: Output,
    forms: Arc<Forms>,
    clock: Arc<dyn Clock>,
    /// A table's columns are sent once.
    columns_sent: bool,
}

impl Presenter {
    pub(crate) fn new(
        resource: Arc<Resource>,
        served: usize,
        output: Output,
        forms: Arc<Forms>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { resource, served, output, forms, clock, columns_sent: false }
    }

    fn existing(&mut self, object: &Object) -> Bytes {
        let shape = match self.output.target {
            Target::Table(..) => return self.table("ADDED", object),
            Target::Object => Shape::Object,
            Target::Metadata(version) => Shape::Metadata(version),
        };
        render::event("ADDED", &self.resource, self.served, object, shape, self.output.encoding, &self.forms)
    }

    fn form(&mut self, form: &Form, feed: &Feed) -> Bytes {
        match self.output.target {
            Target::Table(..) => self.table(form.key.change.name(), &form.object()),
            _ => form.bytes(&self.resource, &feed.relay().encodings, &self.forms).clone(),
        }
    }

    fn table(&mut self, kind: &str, object: &Object) -> Bytes {
        let Target::Table(version, include) = self.output.target else { unreachable!("asked for tables only") };
        let served = &self.resource.served[self.served];
        let tables = Tables { resource: &self.resource, served, version, include, now: self.clock.wall_micros() };
        let first = !std::mem::replace(&mut self.columns_sent, true);
        let table = if first { tables.of_one(object) } else { tables.without_columns(object) };
        render::event_of(kind, &table, Encoding::Json)
    }

    fn bookmark(&self, version: Version, ends_existing: bool) -> Bytes {
        let served = &self.resource.served[self.served];
        let mut metadata = json!({ "resourceVersion": version.to_string(), "creationTimestamp": null });
        if ends_existing {
            metadata["annotations"] = json!({ "k8s.io/initial-events-end": "true" });
        }
        let partial = |version| json!({ "kind": "PartialObjectMetadata", "apiVersion": format!("meta.k8s.io/{version}"), "metadata": metadata });
        let object: Value = match self.output.target {
            Target::Object => {
                json!({ "kind": self.resource.kind, "apiVersion": served.api_version(), "metadata": metadata })
            }
            Target::Metadata(meta_version) => partial(meta_version),
            Target::Table(meta_version, _) => json!({
                "kind": "Table", "apiVersion": format!("meta.k8s.io/{meta_version}"),
                "metadata": { "resourceVersion": version.to_string() }, "columnDefinitions": null,
                "rows": [{ "cells": [], "object": partial(meta_version) }],
            }),
        };
        render::event_of("BOOKMARK", &object, self.output.encoding)
    }
}

/// Where events come from.
pub(crate) enum Stream {
    Live(Feed),
    /// The version is gone: one ERROR, and the end.
    Refused(Status),
}

/// What a watch sends.
pub(crate) struct WatchBody {
    pub(crate) presenter: Presenter,
    pub(crate) reader: Reader,
    pub(crate) stream: Stream,
    /// Sent first, each as ADDED.
    pub(crate) existing: std::vec::IntoIter<Arc<Object>>,
    /// Sent behind them: a bookmark that says so, at this version.
    pub(crate) existing_end: Option<Version>,
    pub(crate) lasts: Duration,
    /// `None` where no bookmarks are wanted.
    pub(crate) bookmark_every: Option<Duration>,
}

impl WatchBody {
    pub(crate) fn into_body(self, gateway: Arc<Inner>, labels: ResourceLabels) -> Body {
        gateway.metrics.watchers.get_or_create(&labels).inc();
        let now = Instant::now();
        let ends = now + self.lasts;
        let first = self.bookmark_every.map_or(ends, |every| ends.min(now + every));
        let timer = Box::pin(tokio::time::sleep_until(first));
        let forms = Vec::new();
        Body::new(Running { watch: self, gateway, labels, ends, timer, forms, at: 0, reading: None, over: false })
    }
}

struct Running {
    watch: WatchBody,
    gateway: Arc<Inner>,
    labels: ResourceLabels,
    ends: Instant,
    timer: Pin<Box<Sleep>>,
    /// Taken from the feed; those before `at` were sent.
    forms: Vec<Arc<Form>>,
    at: usize,
    /// What has to be done before they can be sent.
    reading: Option<BoxFuture<'static, Result<(), Status>>>,
    over: bool,
}

impl Running {
    fn existing(&mut self) -> Option<Bytes> {
        let watch = &mut self.watch;
        if watch.existing.as_slice().is_empty() {
            return Some(watch.presenter.bookmark(watch.existing_end.take()?, true));
        }
        let mut piece = BytesMut::new();
        let mut count = 0;
        while piece.len() < PIECE
            && let Some(object) = watch.existing.next()
        {
            piece.extend_from_slice(&watch.presenter.existing(&object));
            count += 1;
        }
        self.count(count);
        Some(piece.freeze())
    }

    fn count(&self, events: u64) {
        self.gateway.metrics.watch_events.get_or_create(&self.labels).inc_by(events);
    }

    /// The next piece of what was taken from the feed.
    fn events(&mut self) -> Option<Bytes> {
        let Stream::Live(feed) = &self.watch.stream else { return None };
        let left = &self.forms[self.at..];
        let first = self.watch.presenter.form(left.first()?, feed);
        let mut count = 1;
        let piece = if left.len() == 1 {
            first
        } else {
            let mut piece = BytesMut::with_capacity(PIECE.min(first.len() * (left.len() + 1)));
            piece.extend_from_slice(&first);
            while piece.len() < PIECE
                && let Some(form) = left.get(count)
            {
                piece.extend_from_slice(&self.watch.presenter.form(form, feed));
                count += 1;
            }
            piece.freeze()
        };
        self.at += count;
        if self.at == self.forms.len() {
            (self.forms, self.at) = (Vec::new(), 0);
        }
        self.count(count as u64);
        Some(piece)
    }

    /// The last words of a stream that the gateway ends.
    fn finish(&mut self, end: &End) -> Option<Bytes> {
        self.over = true;
        match end {
            End::Expired(status) => {
                let encoding = self.watch.presenter.output.encoding;
                Some(render::event_of("ERROR", &status.to_value(), encoding))
            }
            End::Slow => {
                self.gateway.metrics.slow_watchers.get_or_create(&self.labels).inc();
                None
            }
            End::Closed => None,
        }
    }

    fn bookmark(&self) -> Option<Bytes> {
        let Stream::Live(feed) = &self.watch.stream else { return None };
        self.watch.bookmark_every?;
        Some(self.watch.presenter.bookmark(feed.position()?, false))
    }

    /// Bookmarks and the end, when it is time. `Ready(None)` is the end.
    fn poll_timer(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        loop {
            if self.timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            let now = Instant::now();
            let bookmark = self.bookmark();
            if now >= self.ends {
                self.over = true;
                return Poll::Ready(bookmark);
            }
            let every = self.watch.bookmark_every.unwrap_or(self.watch.lasts);
            let next = now + every;
            self.timer.as_mut().reset(next.min(self.ends));
            if bookmark.is_some() {
                return Poll::Ready(bookmark);
            }
        }
    }

    fn poll_piece(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if self.over {
            return Poll::Ready(None);
        }
        if let Stream::Refused(status) = &self.watch.stream {
            let end = End::Expired(status.clone());
            return Poll::Ready(self.finish(&end));
        }
        if let Some(piece) = self.existing() {
            return Poll::Ready(Some(piece));
        }
        if self.forms.is_empty() {
            let Stream::Live(feed) = &mut self.watch.stream else { unreachable!("the other one was handled above") };
            match feed.poll(context, &mut self.forms, BATCH) {
                Poll::Ready(None) => {}
                Poll::Ready(Some(end)) => return Poll::Ready(self.finish(&end)),
                Poll::Pending => return self.poll_timer(context),
            }
            if self.watch.reader.has_work(&self.forms) {
                self.reading = Some(self.watch.reader.clone().read(self.forms.clone()).boxed());
            }
        }
        if let Some(reading) = &mut self.reading {
            let done = std::task::ready!(reading.poll_unpin(context));
            self.reading = None;
            if let Err(status) = done {
                return Poll::Ready(self.finish(&End::Expired(status)));
            }
        }
        Poll::Ready(self.events())
    }
}

impl http_body::Body for Running {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        self.poll_piece(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.over
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.gateway.metrics.watchers.get_or_create(&self.labels).dec();
    }
}
