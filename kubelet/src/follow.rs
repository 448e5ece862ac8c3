//! A watch without a cache: the state first, then what changes, for ever. An informer would keep every object twice, and
//! thousands of kubelets cannot afford that.

use std::time::Duration;

use api::ambient::Entropy;
use client::{ApiRef, Client, ClientError, ListOptions, WatchEvent, WatchOptions, WatchStream};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use serde::de::DeserializeOwned;
use smol_str::SmolStr;
use tokio::time::{Instant, sleep_until};
use tracing::{debug, warn};

/// What can be followed: it must know its version, so that the watch can be resumed behind it.
pub(crate) trait Versioned: DeserializeOwned + Send + 'static {
    /// metadata.resourceVersion
    fn version(&self) -> &SmolStr;
}

/// What happened.
#[derive(Debug)]
pub(crate) enum Followed<T> {
    /// The whole state follows as [`Followed::Is`], then [`Followed::Synced`]; what is not in it is gone.
    Restarted,
    /// The state is complete.
    Synced,
    /// An object is in this state.
    Is(T),
    /// An object is gone.
    Gone(T),
}

/// Failures in a row before somebody should know.
const QUIET_FAILURES: u32 = 8;
const LONGEST_PAUSE: Duration = Duration::from_secs(30);
/// A watch that ends sooner without any event counts as failed.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

enum Link<T> {
    /// Wait, then open.
    Closed(Instant),
    Opening(BoxFuture<'static, Result<Opened<T>, ClientError>>),
    Open {
        events: WatchStream<T>,
        since: Instant,
        silent: bool,
    },
    /// A list that is being told, newest last, and its version.
    Listed(std::vec::IntoIter<T>, String),
}

enum Opened<T> {
    Watch(WatchStream<T>),
    List(Vec<T>, String),
}

/// A watch that repairs itself.
pub(crate) struct Follow<T> {
    client: Client,
    api: ApiRef,
    fields: String,
    link: Link<T>,
    /// Where to resume; empty: with the whole state.
    position: SmolStr,
    /// Whether the server knows sendInitialEvents.
    streams_state: bool,
    failures: u32,
}

impl<T: Versioned> Follow<T> {
    pub(crate) fn new(client: Client, api: ApiRef, fields: String) -> Self {
        let link = Link::Closed(Instant::now());
        Self { client, api, fields, link, position: SmolStr::default(), streams_state: true, failures: 0 }
    }

    /// What happened next. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Followed<T> {
        loop {
            match &mut self.link {
                Link::Closed(until) => {
                    sleep_until(*until).await;
                    self.link = Link::Opening(self.open());
                }
                Link::Opening(opening) => match opening.await {
                    Ok(Opened::Watch(events)) => {
                        self.link = Link::Open { events, since: Instant::now(), silent: true };
                        if self.position.is_empty() {
                            return Followed::Restarted;
                        }
                    }
                    Ok(Opened::List(items, version)) => {
                        self.link = Link::Listed(items.into_iter(), version);
                        return Followed::Restarted;
                    }
                    Err(error) => self.failed(&error),
                },
                Link::Listed(items, version) => {
                    if let Some(item) = items.next() {
                        return Followed::Is(item);
                    }
                    self.position = version.as_str().into();
                    self.link = Link::Closed(Instant::now());
                    return Followed::Synced;
                }
                Link::Open { events, since, silent } => {
                    let (since, was_silent) = (*since, *silent);
                    match events.next().await {
                        Some(Ok(event)) => {
                            *silent = false;
                            if let Some(followed) = self.take(event) {
                                return followed;
                            }
                        }
                        Some(Err(error)) => self.failed(&error),
                        None if was_silent && since.elapsed() < SHORTEST_WATCH => self.pause(),
                        None => self.link = Link::Closed(Instant::now()),
                    }
                }
            }
        }
    }

    fn take(&mut self, event: WatchEvent<T>) -> Option<Followed<T>> {
        self.failures = 0;
        // The versions of initial events are no positions: resuming behind one would skip its successors in key order.
        let in_state = self.position.is_empty();
        match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                if !in_state {
                    self.position = object.version().clone();
                }
                Some(Followed::Is(object))
            }
            WatchEvent::Deleted(object) => {
                if !in_state {
                    self.position = object.version().clone();
                }
                Some(Followed::Gone(object))
            }
            WatchEvent::Bookmark { version, initial_end } => {
                if !in_state || initial_end {
                    self.position = version.into();
                }
                (in_state && initial_end).then_some(Followed::Synced)
            }
        }
    }

    fn open(&self) -> BoxFuture<'static, Result<Opened<T>, ClientError>> {
        let (client, api, fields) = (self.client.clone(), self.api, self.fields.clone());
        if self.position.is_empty() && !self.streams_state {
            return Box::pin(async move {
                let options = ListOptions { fields, ..ListOptions::default() };
                let page = client.list(&api, &options).await?;
                Ok(Opened::List(page.items, page.version))
            });
        }
        let version = self.position.to_string();
        let options = WatchOptions { fields, initial_events: version.is_empty(), version, ..WatchOptions::default() };
        Box::pin(async move { Ok(Opened::Watch(client.watch(&api, &options).await?)) })
    }

    fn failed(&mut self, error: &ClientError) {
        if let ClientError::Status { code: 400 | 422, .. } = error
            && self.position.is_empty()
            && self.streams_state
        {
            debug!(resource = self.api.plural, %error, "the server does not stream its state, listing instead");
            self.streams_state = false;
        }
        if error.is_expired() {
            self.position = SmolStr::default();
        }
        if self.failures + 1 == QUIET_FAILURES {
            warn!(resource = self.api.plural, fields = self.fields, %error, "cannot follow the server, trying on");
        }
        self.pause();
    }

    fn pause(&mut self) {
        let full = Duration::from_millis(50).saturating_mul(1 << self.failures.min(12)).min(LONGEST_PAUSE);
        self.failures += 1;
        self.link = Link::Closed(Instant::now() + jittered(full, 0.5, &*self.client.ambient().entropy));
    }
}

/// `full`, shorter by up to the share `spread` of it.
pub(crate) fn jittered(full: Duration, spread: f64, entropy: &dyn Entropy) -> Duration {
    let unit = (entropy.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    full.mul_f64(1.0 - spread * unit)
}
