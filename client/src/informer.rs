//! A reflector with a cache: lists, watches, resumes, relists, and tells what changed.
//!
//! Invariants: handlers and subscribers see every object's changes in order, without gap or repeat, whatever breaks in
//! between; the cache holds what the last list and the events since then say; a position that the server has forgotten
//! (410) costs a new list, of which only the differences are told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use parking_lot::{Mutex, RwLock};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

use crate::backoff::Backoff;
use crate::{ApiRef, Client, ClientError, Kept, Key, ListOptions, Meta, WatchEvent, WatchOptions};

/// Objects per page of a list.
const PAGE: usize = 5000;
/// Failures in a row that are nobody's business yet: a server that restarts is back by then.
const QUIET_FAILURES: u32 = 5;
/// A watch that delivers nothing for less than this before it ends counts as failed.
const SHORTEST_WATCH: Duration = Duration::from_secs(1);

/// What changed in the cache, in the order of the watch.
#[derive(Debug)]
pub enum Change<T> {
    /// New to the cache.
    Added(Arc<T>),
    /// Replaced: old, new.
    Updated(Arc<T>, Arc<T>),
    /// Gone: the last known state.
    Deleted(Arc<T>),
}

impl<T> Clone for Change<T> {
    fn clone(&self) -> Self {
        match self {
            Self::Added(new) => Self::Added(new.clone()),
            Self::Updated(old, new) => Self::Updated(old.clone(), new.clone()),
            Self::Deleted(old) => Self::Deleted(old.clone()),
        }
    }
}

impl<T> Change<T> {
    /// The newest known state.
    pub fn object(&self) -> &Arc<T> {
        match self {
            Self::Added(object) | Self::Updated(_, object) | Self::Deleted(object) => object,
        }
    }
}

/// What to follow.
#[derive(Clone, Debug, Default)]
pub struct InformerOptions {
    /// Empty for all namespaces.
    pub namespace: String,
    /// labelSelector
    pub labels: String,
    /// fieldSelector
    pub fields: String,
}

type Handler<T> = Box<dyn Fn(&Change<T>) + Send + Sync>;

struct Subscriber<T> {
    id: u64,
    sender: mpsc::Sender<Change<T>>,
    /// What it has not been sent yet: its initial state, or the changes of one list or event.
    pending: VecDeque<Change<T>>,
}

struct Outlets<T> {
    handlers: Vec<Handler<T>>,
    subscribers: Vec<Subscriber<T>>,
    next_id: u64,
}

/// A cache of one resource that follows the server. Shared by everyone in the process who needs that resource.
///
/// An object that was deleted and made anew under the same name is told as Deleted and Added, even if the deletion itself
/// was missed.
pub struct Informer<T> {
    cache: RwLock<BTreeMap<Key, Arc<T>>>,
    /// Held while the cache changes and while the change is told, so that who subscribes misses and repeats nothing.
    /// Taken before `cache`.
    outlets: Mutex<Outlets<T>>,
    /// A new subscriber waits for its initial state.
    subscribed: Notify,
    synced: watch::Sender<bool>,
    shutdown: CancellationToken,
}

impl<T: Kept> Informer<T> {
    /// Starts following. The task ends with `shutdown`.
    pub fn start(client: Client, api: ApiRef, options: InformerOptions, shutdown: CancellationToken) -> Arc<Self> {
        let informer = Arc::new(Self {
            cache: RwLock::default(),
            outlets: Mutex::new(Outlets { handlers: Vec::new(), subscribers: Vec::new(), next_id: 0 }),
            subscribed: Notify::new(),
            synced: watch::Sender::new(false),
            shutdown: shutdown.clone(),
        });
        let reflector = Reflector { client, api, options, informer: informer.clone() };
        tokio::spawn(async move { shutdown.run_until_cancelled(reflector.run()).await });
        informer
    }

    /// Waits until the first list is in the cache, or the informer is shut down.
    pub async fn synced(&self) {
        let mut synced = self.synced.subscribe();
        // The sender lives in `self`, so the wait ends with a value or with the shutdown.
        let _ = self.shutdown.run_until_cancelled(synced.wait_for(|synced| *synced)).await;
    }

    /// Whether the first list is in the cache.
    pub fn is_synced(&self) -> bool {
        *self.synced.borrow()
    }

    /// One object.
    pub fn get(&self, key: &Key) -> Option<Arc<T>> {
        self.cache.read().get(key).cloned()
    }

    /// Every object, in key order.
    pub fn list(&self) -> Vec<Arc<T>> {
        self.cache.read().values().cloned().collect()
    }

    /// The objects of one namespace, in key order.
    pub fn namespace(&self, namespace: &str) -> Vec<Arc<T>> {
        let first = Key { namespace: namespace.into(), name: "".into() };
        let cache = self.cache.read();
        let inside = cache.range(first..).take_while(|(key, _)| key.namespace == namespace);
        inside.map(|(_, object)| object.clone()).collect()
    }

    /// Number of objects.
    pub fn len(&self) -> usize {
        self.cache.read().len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `handler` for what is in the cache now (as Added, before this returns) and then for every change, in order,
    /// from the informer's own task: it must be quick and must not block (put a key into a [`crate::WorkQueue`]). It may
    /// read the informer but not add handlers or subscribers to it.
    pub fn on_change(&self, handler: impl Fn(&Change<T>) + Send + Sync + 'static) {
        let mut outlets = self.outlets.lock();
        for object in self.list() {
            handler(&Change::Added(object));
        }
        outlets.handlers.push(Box::new(handler));
    }

    /// The same through a bounded channel: a subscriber that does not keep up slows the informer down, so drain it.
    pub fn subscribe(&self, capacity: usize) -> mpsc::Receiver<Change<T>> {
        let (sender, receiver) = mpsc::channel(capacity.max(1));
        let mut outlets = self.outlets.lock();
        let pending = self.list().into_iter().map(Change::Added).collect();
        let id = outlets.next_id;
        outlets.next_id += 1;
        outlets.subscribers.push(Subscriber { id, sender, pending });
        drop(outlets);
        self.subscribed.notify_one();
        receiver
    }

    /// Takes one event of the watch in.
    fn apply(&self, event: Event<T>) {
        let mut outlets = self.outlets.lock();
        let mut changes = Vec::with_capacity(1);
        {
            let mut cache = self.cache.write();
            match event {
                Event::Is(new) => {
                    let key = new.meta().key();
                    let old = cache.get(&key);
                    if old.is_some_and(|old| is_as_new(old.meta(), new.meta())) {
                        return;
                    }
                    let new = Arc::new(new);
                    differ(&mut changes, old, &new);
                    cache.insert(key, new);
                }
                Event::Gone(last) => {
                    if cache.remove(&last.meta().key()).is_some() {
                        changes.push(Change::Deleted(Arc::new(last)));
                    }
                }
            }
        }
        outlets.tell(&changes);
    }

    /// Takes a whole list in and tells the differences.
    fn replace(&self, mut list: BTreeMap<Key, Arc<T>>) {
        let mut outlets = self.outlets.lock();
        let mut changes = Vec::new();
        {
            let mut cache = self.cache.write();
            for (key, old) in cache.iter() {
                if !list.contains_key(key) {
                    changes.push(Change::Deleted(old.clone()));
                }
            }
            for (key, new) in &mut list {
                match cache.get(key) {
                    Some(old) if old.meta().resource_version == new.meta().resource_version => *new = old.clone(),
                    old => differ(&mut changes, old, new),
                }
            }
            *cache = list;
        }
        outlets.tell(&changes);
        self.synced.send_replace(true);
    }

    /// Sends subscribers what they have not got yet.
    async fn flush(&self) {
        loop {
            let next = self
                .outlets
                .lock()
                .subscribers
                .iter()
                .find(|subscriber| !subscriber.pending.is_empty())
                .map(|subscriber| (subscriber.id, subscriber.sender.clone()));
            let Some((id, sender)) = next else { return };
            let permit = sender.reserve().await;
            let mut outlets = self.outlets.lock();
            let Some(at) = outlets.subscribers.iter().position(|subscriber| subscriber.id == id) else { continue };
            match permit {
                Ok(permit) => {
                    if let Some(change) = outlets.subscribers[at].pending.pop_front() {
                        permit.send(change);
                    }
                }
                Err(_) => drop(outlets.subscribers.swap_remove(at)),
            }
        }
    }
}

impl<T> Outlets<T> {
    fn tell(&mut self, changes: &[Change<T>]) {
        for change in changes {
            for handler in &self.handlers {
                handler(change);
            }
            for subscriber in &mut self.subscribers {
                subscriber.pending.push_back(change.clone());
            }
        }
    }
}

/// Whether the cached object is the same state or a later one. Versions are compared as numbers, which Kubernetes allows
/// since v1.35; those of other servers only for equality.
fn is_as_new(old: &Meta, new: &Meta) -> bool {
    match (old.resource_version.parse::<u64>(), new.resource_version.parse::<u64>()) {
        (Ok(old), Ok(new)) => old >= new,
        _ => old.resource_version == new.resource_version,
    }
}

fn differ<T: Kept>(changes: &mut Vec<Change<T>>, old: Option<&Arc<T>>, new: &Arc<T>) {
    match old {
        Some(old) if old.meta().uid == new.meta().uid => changes.push(Change::Updated(old.clone(), new.clone())),
        Some(old) => changes.extend([Change::Deleted(old.clone()), Change::Added(new.clone())]),
        None => changes.push(Change::Added(new.clone())),
    }
}

enum Event<T> {
    Is(T),
    Gone(T),
}

/// The task that follows the server.
struct Reflector<T> {
    client: Client,
    api: ApiRef,
    options: InformerOptions,
    informer: Arc<Informer<T>>,
}

impl<T: Kept> Reflector<T> {
    async fn run(&self) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(30));
        // Where to resume; empty: with a list.
        let mut position = String::new();
        loop {
            let outcome = if position.is_empty() {
                self.list(&mut position).await
            } else {
                self.watch(&mut position, &mut backoff).await
            };
            let Err(error) = outcome else { continue };
            if error.is_expired() && !position.is_empty() {
                debug!(resource = self.api.plural, position, "the server has forgotten the position, listing again");
                position.clear();
                if backoff.failures() == 0 {
                    backoff.next(&*self.client.ambient.entropy);
                    continue;
                }
            }
            let pause = backoff.next(&*self.client.ambient.entropy).max(error.retry_after().unwrap_or_default());
            if backoff.failures() == QUIET_FAILURES {
                warn!(resource = self.api.plural, %error, "cannot follow the server, trying on");
            } else {
                debug!(resource = self.api.plural, %error, ?pause, "list or watch failed");
            }
            sleep(pause).await;
        }
    }

    async fn list(&self, position: &mut String) -> Result<(), ClientError> {
        let mut options = ListOptions {
            namespace: self.options.namespace.clone(),
            labels: self.options.labels.clone(),
            fields: self.options.fields.clone(),
            limit: PAGE,
            ..ListOptions::default()
        };
        let mut list = BTreeMap::new();
        let version = loop {
            let page = match self.client.list::<T>(&self.api, &options).await {
                // The list outlived its snapshot: take it in one piece.
                Err(error) if error.is_expired() && !options.continue_token.is_empty() => {
                    options.continue_token.clear();
                    options.limit = 0;
                    list.clear();
                    continue;
                }
                page => page?,
            };
            list.extend(page.items.into_iter().map(|object| (object.meta().key(), Arc::new(object))));
            if page.continue_token.is_empty() {
                break page.version;
            }
            options.continue_token = page.continue_token;
        };
        self.informer.replace(list);
        self.informer.flush().await;
        *position = version;
        Ok(())
    }

    /// Follows from `position` until the watch ends.
    async fn watch(&self, position: &mut String, backoff: &mut Backoff) -> Result<(), ClientError> {
        let options = WatchOptions {
            namespace: self.options.namespace.clone(),
            labels: self.options.labels.clone(),
            fields: self.options.fields.clone(),
            version: position.clone(),
            initial_events: false,
        };
        let start = Instant::now();
        let mut events = self.client.watch::<T>(&self.api, &options).await?;
        let mut count = 0u64;
        loop {
            let event = tokio::select! {
                event = events.next() => event,
                () = self.informer.subscribed.notified() => {
                    self.informer.flush().await;
                    continue;
                }
            };
            let Some(event) = event else { break };
            let event = match event? {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => Event::Is(object),
                WatchEvent::Deleted(object) => Event::Gone(object),
                WatchEvent::Bookmark { version, .. } => {
                    *position = version;
                    backoff.reset();
                    continue;
                }
            };
            let (Event::Is(object) | Event::Gone(object)) = &event;
            let version = object.meta().resource_version.to_string();
            self.informer.apply(event);
            self.informer.flush().await;
            *position = version;
            count += 1;
            backoff.reset();
        }
        if count == 0 && start.elapsed() < SHORTEST_WATCH {
            sleep(backoff.next(&*self.client.ambient.entropy)).await;
        } else {
            backoff.reset();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
