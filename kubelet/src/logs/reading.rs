//! One client, reading one log.

use std::time::Duration;

use bytes::Bytes;
use client::Key;
use tokio::time::sleep;

use super::lines::{BEAT, Lines};
use super::query::LogOptions;
use super::{Life, Logs, Span};

/// Lines per chunk of an answer.
const CHUNK: u64 = 256;

/// One client's place in one log.
pub(crate) struct Reading {
    logs: Logs,
    key: Key,
    life: Life,
    container: usize,
    span: Span,
    options: LogOptions,
    next: u64,
    left: u64,
}

impl Reading {
    pub(crate) fn new(
        logs: Logs,
        key: Key,
        life: Life,
        container: usize,
        span: Span,
        options: LogOptions,
        now: i64,
    ) -> Self {
        let left = options.limit_bytes.unwrap_or(u64::MAX);
        let mut reading = Self { logs, key, life, container, span, options, next: 0, left };
        let lines = reading.lines();
        let count = lines.count(now);
        let by_tail = options.tail.map_or(0, |tail| count.saturating_sub(tail));
        let by_time = options.since(now).map_or(0, |since| {
            // Lines come at even steps, so the first one that is young enough can be computed, give or take one.
            let guess = u64::try_from((since - span.start) / BEAT).unwrap_or(0).min(count);
            (guess..count).find(|at| lines.time(*at) >= since).unwrap_or(count)
        });
        reading.next = by_tail.max(by_time);
        reading
    }

    fn lines(&self) -> Lines<'_> {
        let pod = (self.key.namespace.as_str(), self.key.name.as_str());
        Lines { life: &self.life, pod, container: self.container, span: self.span }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        let mut changes = self.logs.changes();
        // What has changed before is not told any more.
        self.look_again();
        loop {
            let now = self.logs.now();
            let lines = self.lines();
            let count = lines.count(now);
            if self.left == 0 {
                return None;
            }
            if self.next < count {
                let until = count.min(self.next + CHUNK);
                let mut chunk: String = (self.next..until).map(|at| lines.text(at, self.options.timestamps)).collect();
                self.next = until;
                if chunk.len() as u64 > self.left {
                    // Everything in a line is ASCII but names of images may not be.
                    let cut = usize::try_from(self.left).unwrap_or(usize::MAX);
                    chunk.truncate(chunk.floor_char_boundary(cut));
                    self.left = 0;
                } else {
                    self.left -= chunk.len() as u64;
                }
                return Some(chunk.into());
            }
            if !self.options.follow || lines.is_over(now) {
                return None;
            }
            let wait = u64::try_from(lines.time(self.next) - now).unwrap_or(0).max(1000);
            tokio::select! {
                () = sleep(Duration::from_micros(wait)) => {}
                // The sender lives as long as `self.logs`.
                _ = changes.changed() => self.look_again(),
            }
        }
    }

    /// Something about some life changed: this one may be over.
    fn look_again(&mut self) {
        let end = match self.logs.get(&self.key).filter(|life| life.uid == self.life.uid) {
            Some(life) if life.span.start == self.span.start => life.span.end,
            Some(life) => life.previous.filter(|previous| previous.start == self.span.start).and_then(|span| span.end),
            // The Pod has gone: so has its log.
            None => Some(self.logs.now()),
        };
        self.span.end = self.span.end.or(end);
    }
}
