//! A client that keeps up with a scope, as a reflector does: it lists, watches, resumes, and lists anew when it must.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use api::Version;
use client::{Client, ClientError, WatchEvent, WatchOptions, WatchStream};
use futures_util::StreamExt;
use serde_json::value::RawValue;
use tokio::time::{Instant, timeout_at};

use super::lister::{options, pages, scope};
use super::object::{Seen, version};
use super::{Random, Resource, Shared};
use crate::history::{At, Change, ClientLog, End, OpenWatch, Scope, Start};

pub(super) struct Watcher {
    shared: Arc<Shared>,
    client: Client,
    log: ClientLog,
    random: Random,
    resource: Resource,
    scope: Scope,
    reached: Arc<AtomicU64>,
}

impl Watcher {
    pub(super) fn new(shared: Arc<Shared>, client: Client, number: usize) -> Self {
        let mut random = shared.random(3000 + number);
        let resource = shared.plan.resources[number % shared.plan.resources.len()];
        // The first of each resource see everything, so that a loss that all others share is noticed.
        let whole = number < 2 * shared.plan.resources.len();
        let scope = if whole { shared.scope(resource) } else { scope(&shared, resource, &mut random) };
        let log = shared.recorder.client();
        Self { shared, client, log, random, resource, scope, reached: Arc::default() }
    }

    pub(super) fn scope(&self) -> &Scope {
        &self.scope
    }

    /// The version up to which it has been told everything.
    pub(super) fn reached(&self) -> Arc<AtomicU64> {
        self.reached.clone()
    }

    pub(super) async fn run(mut self) {
        let mut start = None;
        while !self.shared.over.load(Ordering::Relaxed) {
            let from = match start {
                Some(version) => Start::Resume(version),
                None if self.random.below(3) == 0 => Start::Initial,
                None => match self.list().await {
                    Ok(version) => Start::List(version),
                    Err(error) => {
                        self.shared.pause_after(&error, &mut self.random).await;
                        continue;
                    }
                },
            };
            start = self.watch(from).await;
        }
    }

    async fn list(&mut self) -> Result<Version, ClientError> {
        let open = self.log.list(self.scope.clone(), At::Latest);
        let what = (self.resource, &self.scope, At::Latest, 0);
        pages(&self.shared, &self.client, &mut self.log, open, what).await
    }

    /// One watch; the version from which the next one goes on, or `None` when there is none.
    async fn watch(&mut self, start: Start) -> Option<Version> {
        let mut seen = match start {
            Start::List(version) | Start::Resume(version) => Some(version),
            Start::Initial => None,
        };
        let list = options(&self.scope);
        let options = WatchOptions {
            namespace: list.namespace,
            labels: list.labels,
            fields: list.fields,
            version: seen.map(|version| version.to_string()).unwrap_or_default(),
            initial_events: start == Start::Initial,
        };
        if matches!(start, Start::Resume(_)) {
            self.shared.resumptions.fetch_add(1, Ordering::Relaxed);
        }
        let open = self.log.watch(self.scope.clone(), start);
        let mut stream = match self.client.watch::<Box<RawValue>>(self.resource.api(), &options).await {
            Ok(stream) => stream,
            Err(error) => return self.refused(&open, &error, seen).await,
        };
        let until = Instant::now() + self.shared.plan.watch_for / 4 + self.random.up_to(self.shared.plan.watch_for);
        match self.follow(&open, &mut stream, &mut seen, until).await {
            Ok(end) => self.log.ended(&open, end),
            Err(error) => return self.refused(&open, &error, seen).await,
        }
        seen
    }

    /// Reads until the end, or until the watcher has had enough.
    async fn follow(
        &mut self,
        open: &OpenWatch,
        stream: &mut WatchStream<Box<RawValue>>,
        seen: &mut Option<Version>,
        until: Instant,
    ) -> Result<End, ClientError> {
        loop {
            let Ok(line) = timeout_at(until, stream.next()).await else { return Ok(End::Open) };
            let Some(line) = line else { return Ok(End::Closed) };
            let told = self.told(open, line?, seen.is_some());
            let told = told.map_err(|message| ClientError::Decode { path: self.scope.to_string(), message })?;
            if let Some(version) = told {
                self.reached.fetch_max(version.0, Ordering::Relaxed);
                *seen = Some(version);
            }
        }
    }

    /// Records a line; the version from which the watch could be resumed behind it.
    fn told(
        &mut self,
        open: &OpenWatch,
        line: WatchEvent<Box<RawValue>>,
        after_state: bool,
    ) -> Result<Option<Version>, String> {
        let (change, object) = match line {
            WatchEvent::Added(object) => (Change::Added, object),
            WatchEvent::Modified(object) => (Change::Modified, object),
            WatchEvent::Deleted(object) => (Change::Deleted, object),
            WatchEvent::Bookmark { version: at, initial_end } => {
                let at = version(&at)?;
                self.log.bookmark(open, at, initial_end);
                return Ok((after_state || initial_end).then_some(at));
            }
        };
        let Seen { namespace, name, version, state } = Seen::read(&object)?;
        let key = self.log.key(&self.shared.key(self.resource, &namespace, &name));
        self.log.event(open, change, key, version, state);
        Ok(after_state.then_some(version))
    }

    /// After an error: from where to go on.
    async fn refused(&mut self, open: &OpenWatch, error: &ClientError, seen: Option<Version>) -> Option<Version> {
        self.log.ended(open, if error.is_expired() { End::Refused } else { End::Broken });
        if error.is_expired() {
            self.shared.relists.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if matches!(error, ClientError::Decode { .. }) {
            self.shared.odd(error);
        }
        self.shared.pause_after(error, &mut self.random).await;
        seen
    }
}
