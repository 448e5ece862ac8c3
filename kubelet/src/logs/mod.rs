//! Logs of containers in which nothing runs: when a container started, and that it still does. The lines follow from the
//! times alone, so they cost nothing until somebody reads them.

pub(crate) mod lines;
mod query;
mod reading;

use std::sync::{Arc, OnceLock};

use api::ambient::Ambient;
use client::{Client, ClientError, Key, known};
use hashbrown::HashMap;
use parking_lot::{Mutex, RwLock};
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::container::{Files, PodFacts, Spent};
use crate::pod::view::Plan;

pub(crate) use query::LogOptions;
pub(crate) use reading::Reading;

/// A client under the identity of a node.
pub(crate) type ClientFor = Arc<dyn Fn(&str) -> Client + Send + Sync>;

/// Containers whose files are kept before those that are gone are looked for.
const KEPT: usize = 256;

/// The lives of all containers of a fleet. Cheap to clone: kubelets write it, a [`crate::Server`] reads it.
#[derive(Clone, Default)]
pub struct Logs {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    lives: RwLock<HashMap<Key, Life>>,
    clock: OnceLock<Ambient>,
    clients: OnceLock<ClientFor>,
    /// By Pod and container, of the life that began then.
    files: Mutex<HashMap<(Key, SmolStr), (i64, Files)>>,
    spent: Spent,
    /// Raised when a life ends, so that who follows it stops.
    ended: watch::Sender<u64>,
}

/// One Pod's life on a node. Its containers start and end together.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) node: SmolStr,
    pub(crate) uid: SmolStr,
    /// Name and image, init containers first.
    pub(crate) containers: Arc<[(SmolStr, SmolStr)]>,
    /// How many of them are init containers.
    pub(crate) inits: usize,
    pub(crate) span: Span,
    /// The one before the last restart.
    pub(crate) previous: Option<Span>,
}

/// From start to end, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) start: i64,
    pub(crate) end: Option<i64>,
}

impl Life {
    /// Whether a container runs: all do from start to end, but those that end at once.
    pub(crate) fn runs(&self, container: &str, now: i64) -> bool {
        let at = self.containers.iter().position(|(name, _)| name == container);
        let alive = self.span.start <= now && self.span.end.is_none_or(|end| end > now);
        alive && at.is_some_and(|at| at >= self.inits)
    }

    pub(crate) fn new(node: &SmolStr, plan: &Plan, start: i64) -> Self {
        let all = plan.init_containers.iter().chain(plan.containers.iter());
        Self {
            node: node.clone(),
            uid: plan.uid.clone(),
            containers: all.map(|container| (container.name.clone(), container.image.clone())).collect(),
            inits: plan.init_containers.len(),
            span: Span { start, end: None },
            previous: None,
        }
    }
}

impl Logs {
    /// The time that lines are told by; the first one stays.
    pub(crate) fn set_clock(&self, ambient: Ambient) {
        let _ = self.inner.clock.set(ambient);
    }

    /// How kubelets reach the server; the first way stays.
    pub(crate) fn set_clients(&self, clients: ClientFor) {
        let _ = self.inner.clients.set(clients);
    }

    /// Time and randomness; `None` before a fleet has started.
    pub(crate) fn ambient(&self) -> Option<&Ambient> {
        self.inner.clock.get()
    }

    /// What the server says of a Pod that has this life; `None` where nobody is there to ask, or it is another Pod by now.
    pub(crate) async fn facts(&self, key: &Key, life: &Life) -> Result<Option<PodFacts>, ClientError> {
        let Some(clients) = self.inner.clients.get() else { return Ok(None) };
        let facts: PodFacts = clients(&life.node).get(&known::PODS, &key.namespace, &key.name).await?;
        Ok(Some(facts).filter(|facts| facts.uid() == life.uid))
    }

    /// The files of a container in its present life.
    pub(crate) fn files(&self, key: &Key, container: &str, life: &Life) -> Files {
        let mut files = self.inner.files.lock();
        if files.len() >= KEPT {
            let lives = self.inner.lives.read();
            files.retain(|(key, _), (start, _)| lives.get(key).is_some_and(|life| life.span.start == *start));
        }
        let (start, own) = files
            .entry((key.clone(), container.into()))
            .or_insert_with(|| (life.span.start, Files::new(self.inner.spent.clone())));
        if *start != life.span.start {
            (*start, *own) = (life.span.start, Files::new(self.inner.spent.clone()));
        }
        own.clone()
    }

    /// Now, in microseconds since 1970; 0 before a fleet has started.
    pub(crate) fn now(&self) -> i64 {
        self.inner.clock.get().map_or(0, |ambient| ambient.clock.wall_micros())
    }

    pub(crate) fn begin(&self, key: &Key, life: Life) {
        self.inner.lives.write().insert(key.clone(), life);
    }

    pub(crate) fn restart(&self, key: &Key, now: i64) {
        if let Some(life) = self.inner.lives.write().get_mut(key) {
            let end = life.span.end.unwrap_or(now);
            life.previous = Some(Span { end: Some(end), ..life.span });
            life.span = Span { start: now, end: None };
        }
        self.wake();
    }

    pub(crate) fn finish(&self, key: &Key, now: i64) {
        if let Some(life) = self.inner.lives.write().get_mut(key) {
            life.span.end.get_or_insert(now);
        }
        self.wake();
    }

    /// The Pod is no longer on its node.
    pub(crate) fn end(&self, key: &Key, uid: &str) {
        let mut lives = self.inner.lives.write();
        if lives.get(key).is_some_and(|life| life.uid == uid) {
            lives.remove(key);
            drop(lives);
            self.wake();
        }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<Life> {
        self.inner.lives.read().get(key).cloned()
    }

    pub(crate) fn all(&self) -> Vec<(Key, Life)> {
        self.inner.lives.read().iter().map(|(key, life)| (key.clone(), life.clone())).collect()
    }

    /// Changes whenever a life ends or begins anew.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.inner.ended.subscribe()
    }

    fn wake(&self) {
        self.inner.ended.send_modify(|count| *count += 1);
    }
}
