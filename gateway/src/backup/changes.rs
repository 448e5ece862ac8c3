//! What happens to one kind while a backup is written: of each object that changes, the newest state up to the cut.

use std::sync::Arc;
use std::time::Duration;

use api::Version;
use api::slot::SlotSet;
use hashbrown::HashMap;
use parking_lot::Mutex;
use shards::merge::{Gaps, Item, Merger, Merging, Sink, Sources};
use shards::service::Event;
use smol_str::SmolStr;
use tokio::sync::Notify;

use super::Why;
use crate::list::Scope;

/// Bytes of events that wait for a shard which says nothing: they have been noted, only the order over all slots waits.
const HELD: usize = 1 << 20;
/// How often shards are shown the version of the cut: nobody answers to that, so it may be lost on the way.
const SHOW_AGAIN: Duration = Duration::from_millis(100);

/// See the module.
pub(super) struct Changes {
    /// Positions of cluster and kind in the backup's header.
    pub(super) at: (u16, u16),
    sources: Sources,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    merger: Merger<Arc<Event>>,
    book: Book,
}

/// What was noted.
#[derive(Default)]
pub(super) struct Book {
    gaps: Gaps,
    /// The version of the first page that was read: what happened up to there is in the pages.
    scanned: Option<Version>,
    /// By namespace and name.
    last: HashMap<(SmolStr, SmolStr), Arc<Event>>,
    bytes: usize,
    /// What arrives while the cut is chosen.
    late: Option<Vec<Arc<Event>>>,
    cut: Option<Version>,
}

impl Book {
    fn note(&mut self, event: &Arc<Event>) {
        if self.scanned.is_some_and(|scanned| event.version <= scanned)
            || self.cut.is_some_and(|cut| event.version > cut)
        {
            return;
        }
        let key = (event.object.namespace.clone(), event.object.name.clone());
        self.bytes += event.cost();
        if let Some(before) = self.last.insert(key, event.clone()) {
            self.bytes -= before.cost();
        }
    }
}

impl Sink<Arc<Event>> for Book {
    fn arrived(&mut self, event: &Arc<Event>) {
        match &mut self.late {
            Some(late) => late.push(event.clone()),
            None => self.note(event),
        }
    }

    fn released(&mut self, _: Arc<Event>) {}

    fn opened(&mut self, slots: &SlotSet, floor: Version) {
        self.gaps.opened(slots, floor);
    }

    fn lost(&mut self, _: &SlotSet, floor: Version) {
        self.gaps.lost(floor);
    }

    fn needs_all(&self) -> bool {
        false
    }
}

impl Merging for Changes {
    type Item = Arc<Event>;
    type Sink = Book;

    fn merge<R>(&self, act: impl FnOnce(&mut Merger<Arc<Event>>, &mut Book) -> R) -> R {
        let mut state = self.state.lock();
        let State { merger, book } = &mut *state;
        let answer = act(merger, book);
        merger.shed(HELD);
        drop(state);
        self.changed.notify_one();
        answer
    }

    fn sources(&self) -> &Sources {
        &self.sources
    }
}

impl Changes {
    pub(super) fn new(scope: &Scope, at: (u16, u16)) -> Arc<Self> {
        let state = Mutex::new(State { merger: Merger::default(), book: Book::default() });
        let sources = Sources::new(scope.cluster.clone(), scope.resource.id);
        Arc::new(Self { at, sources, state, changed: Notify::new() })
    }

    /// Waits until every slot is followed. Pages must be of this version at least.
    pub(super) async fn opened(&self) -> Version {
        loop {
            {
                let gaps = &self.state.lock().book.gaps;
                if gaps.are_bounded() {
                    return gaps.needs();
                }
            }
            self.changed.notified().await;
        }
    }

    /// A page was read at that version.
    pub(super) fn scanned(&self, version: Version) {
        let book = &mut self.state.lock().book;
        if book.scanned.is_none() {
            book.scanned = Some(version);
            book.last.retain(|_, event| event.version > version);
            book.bytes = book.last.values().map(|event| event.cost()).sum();
        }
    }

    /// What is noted keeps so many bytes alive.
    pub(super) fn bytes(&self) -> usize {
        self.state.lock().book.bytes
    }

    /// Gives up what was noted, to be written.
    pub(super) fn take(&self) -> Vec<Arc<Event>> {
        let book = &mut self.state.lock().book;
        book.bytes = 0;
        std::mem::take(&mut book.last).into_values().collect()
    }

    /// The cut is about to be chosen: nothing that arrives may take the place of what may be part of it.
    pub(super) fn hold(&self) {
        self.state.lock().book.late.get_or_insert_default();
    }

    /// The cut is this version, which is above everything that had arrived before [`Changes::hold`].
    pub(super) fn cut(&self, version: Version) {
        let book = &mut self.state.lock().book;
        book.cut = Some(version);
        for event in book.late.take().unwrap_or_default() {
            book.note(&event);
        }
    }

    /// Waits until everything at or below the cut has arrived.
    pub(super) async fn passed(&self, version: Version) -> Result<(), Why> {
        loop {
            {
                let State { merger, book } = &*self.state.lock();
                if book.scanned.is_none_or(|scanned| book.gaps.needs() > scanned) {
                    return Err("slots have changed hands, and their past is gone: try again".to_owned());
                }
                if merger.mark() >= version {
                    return Ok(());
                }
            }
            self.sources.advance_all(version);
            drop(tokio::time::timeout(SHOW_AGAIN, self.changed.notified()).await);
        }
    }
}
