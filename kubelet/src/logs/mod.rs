//! Logs of containers in which nothing runs: when a container started, and that it still does. The lines follow from the
//! times alone, so they cost nothing until somebody reads them.

mod lines;
mod query;
mod server;

use std::sync::{Arc, OnceLock};

use api::ambient::Ambient;
use client::Key;
use hashbrown::HashMap;
use parking_lot::RwLock;
use smol_str::SmolStr;
use tokio::sync::watch;

use crate::pod::view::Plan;

pub use server::{LogIdentity, LogServer, LogServerError, LogServerOptions};

/// The lives of all containers of a fleet. Cheap to clone: kubelets write it, a [`LogServer`] reads it.
#[derive(Clone, Default)]
pub struct Logs {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    lives: RwLock<HashMap<Key, Life>>,
    clock: OnceLock<Ambient>,
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
