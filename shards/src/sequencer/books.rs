//! The accounts of namespaces that have quotas, kept where the order of writes is decided ([`crate::quota`]).
//!
//! An account is settled while it has a ledger. While it has none, its namespace takes no writes: whoever proposes one is told
//! to derive it again, and waits for the account to be drawn up. Every write to a namespace with an account passes here in the
//! critical section that gives it its place, so a ledger is always about the newest objects, pending or not; a batch that is
//! lost unsettles all of them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use api::Object;
use api::resource::Durability;
use api::slot::{Slot, SlotSet};
use api::version::EPOCH_UNIX_MICROS;
use hashbrown::HashMap;
use smol_str::SmolStr;

use super::{Change, Inner, Proposal, Sequencer, TableId, Ticket};
use crate::log::Operation;
use crate::quota::ID_NAME;
use crate::quota::ledger::{Charge, Exceeded, Ledger, Of, Rules};
use crate::quota::statement::{self, Form};
use crate::table::Key;

/// Position of a cluster, and a namespace in it.
pub(crate) type Place = (u16, SmolStr);

/// What a quota's statement may count for in a batch.
const STATEMENT: usize = 4096;

/// What is known of the quotas of a namespace.
pub(crate) enum Known {
    /// There are none.
    None,
    /// There are some, or were: the account has to be drawn up first.
    Unsettled,
    /// These, as of a revision of them.
    Drawn(u64, Arc<Rules>),
}

/// What an object takes, under which rules.
#[derive(Clone, Debug)]
pub(crate) struct Charged {
    pub(crate) revision: u64,
    pub(crate) rules: Arc<Rules>,
    pub(crate) charge: Charge,
    /// Whether it has to fit.
    pub(crate) may_refuse: bool,
}

/// What a write does to a quota itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Revision {
    /// It is no quota.
    None,
    /// What it limits stays as it was.
    Form,
    /// What it limits changes.
    Rules,
}

/// The account of one namespace.
struct Account {
    slot: Slot,
    /// Another one whenever the rules may be others, or the ledger was lost.
    revision: u64,
    ledger: Option<Ledger>,
    /// Somebody draws it up.
    is_drawing: bool,
    /// The last batch that changed it.
    last: u64,
    /// By the name of the quota.
    forms: HashMap<SmolStr, Form>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Books {
    accounts: HashMap<Place, Account>,
    revisions: u64,
    /// Where quotas have to say something else than they do.
    due: BTreeSet<Place>,
    /// How many accounts there are, for who does not want to wait.
    count: Arc<AtomicUsize>,
}

impl Books {
    fn next(&mut self) -> u64 {
        self.revisions += 1;
        self.revisions
    }

    /// See [`Sequencer::has_books`].
    pub(super) fn counter(&self) -> Arc<AtomicUsize> {
        self.count.clone()
    }

    fn count(&self) {
        self.count.store(self.accounts.len(), Ordering::Release);
    }

    /// The account has to be drawn up, again or for the first time.
    fn unsettle(&mut self, place: Place, slot: Slot, last: u64) {
        let revision = self.next();
        let new = || Account { slot, revision, ledger: None, is_drawing: false, last, forms: HashMap::new() };
        let account = self.accounts.entry(place).or_insert_with(new);
        (account.revision, account.ledger, account.last) = (revision, None, last);
        account.forms.clear();
        self.count();
    }

    /// All of them have to be.
    pub(super) fn unsettle_all(&mut self) {
        let places: Vec<_> = self.accounts.iter().map(|(place, account)| (place.clone(), account.slot)).collect();
        for (place, slot) in places {
            self.unsettle(place, slot, 0);
        }
        self.due.clear();
    }

    pub(super) fn clear(&mut self) {
        self.accounts.clear();
        self.due.clear();
        self.count();
    }

    fn retain(&mut self, keep: impl Fn(&Place, Slot) -> bool) {
        self.accounts.retain(|place, account| keep(place, account.slot));
        let accounts = &self.accounts;
        self.due.retain(|place| accounts.contains_key(place));
        self.count();
    }

    pub(super) fn close(&mut self, slots: &SlotSet) {
        self.retain(|_, slot| !slots.contains(slot));
    }

    /// Whether a write may be given its place: its account is settled, and it was derived from the rules that hold and fits.
    pub(super) fn allows(&mut self, proposal: &Proposal, now: i64) -> bool {
        let Some(account) = proposal.place.as_ref().and_then(|place| self.accounts.get_mut(place)) else { return true };
        let Some(ledger) = &mut account.ledger else { return false };
        match (&proposal.change, &proposal.charged) {
            (Change::Delete, _) => true,
            (Change::Put(_), Some(charged)) if charged.revision == account.revision => {
                if ledger.end(now) {
                    self.due.extend(proposal.place.clone());
                }
                let of = (proposal.table, proposal.key.clone());
                !charged.may_refuse || ledger.exceeded(Some(&of), &charged.charge).is_none()
            }
            (Change::Put(_), _) => false,
        }
    }
}

/// What the books have to know of a write that was given its place.
pub(super) struct Entry {
    place: Place,
    of: Of,
    slot: Slot,
    /// `None`: it is gone.
    charge: Option<Charge>,
    revision: Revision,
}

impl Entry {
    /// `None` where there is nothing to know.
    pub(super) fn of(proposal: &Proposal) -> Option<Self> {
        let charge = match proposal.change {
            Change::Put(_) => Some(proposal.charged.as_ref().map(|charged| charged.charge.clone()).unwrap_or_default()),
            Change::Delete => None,
        };
        let (of, slot, revision) = ((proposal.table, proposal.key.clone()), proposal.slot, proposal.revision);
        Some(Self { place: proposal.place.clone()?, of, slot, charge, revision })
    }
}

/// A proposal may not be given its place.
pub(super) struct NotAllowed;

impl Inner {
    /// Microseconds since 1970.
    fn wall(&self) -> i64 {
        self.clock.now().micros() as i64 + EPOCH_UNIX_MICROS
    }
}

impl Sequencer {
    /// What the books have to know of a proposal, if they allow it.
    pub(super) fn entry(&self, inner: &mut Inner, proposal: &Proposal) -> Result<Option<Entry>, NotAllowed> {
        if !self.has_books() && proposal.revision == Revision::None {
            return Ok(None);
        }
        let now = inner.wall();
        if inner.books.allows(proposal, now) { Ok(Entry::of(proposal)) } else { Err(NotAllowed) }
    }

    /// Takes note of a write that has its place in the open batch.
    pub(super) fn enter(&self, inner: &mut Inner, entry: Entry) {
        let Entry { place, of, slot, charge, revision } = entry;
        let (number, books) = (inner.open.number, &mut inner.books);
        if revision == Revision::Rules {
            books.unsettle(place, slot, number);
            self.unsettled.notify_one();
            return;
        }
        let Some(account) = books.accounts.get_mut(&place) else { return };
        if revision == Revision::Form {
            account.forms.remove(&of.1.1);
        }
        let Some(ledger) = &mut account.ledger else { return };
        let changed = match charge {
            Some(charge) => ledger.set(of, charge),
            None => ledger.remove(&of),
        };
        if changed {
            account.last = number;
        }
        if (changed || revision == Revision::Form) && books.due.insert(place) {
            inner.open.bytes += STATEMENT * ledger.rules.quotas.len();
        }
    }

    /// What was pending is lost, and so is what was added up of it.
    pub(super) fn lose_books(&self, inner: &mut Inner) {
        if inner.lost {
            inner.books.clear();
        } else {
            inner.books.unsettle_all();
        }
        self.drawn.notify_waiters();
        self.unsettled.notify_one();
    }

    /// Whether any namespace has quotas.
    pub(crate) fn has_books(&self) -> bool {
        self.accounts.load(Ordering::Acquire) > 0
    }

    pub(crate) fn known(&self, place: &Place) -> Known {
        let inner = self.inner.lock();
        let Some(account) = inner.books.accounts.get(place) else { return Known::None };
        match &account.ledger {
            Some(ledger) => Known::Drawn(account.revision, ledger.rules.clone()),
            None => Known::Unsettled,
        }
    }

    /// Which quota an object would pass, new or (`of`) by what it takes more, and the batch that the answer must wait for.
    pub(crate) fn exceeded(
        &self,
        place: &Place,
        of: Option<Of>,
        charged: &Charged,
    ) -> (Option<Exceeded>, Option<Ticket>) {
        let mut inner = self.inner.lock();
        let now = inner.wall();
        let Some(account) = inner.books.accounts.get_mut(place) else { return (None, None) };
        let (revision, last) = (account.revision, account.last);
        let Some(ledger) = account.ledger.as_mut().filter(|_| revision == charged.revision) else {
            return (None, None);
        };
        let ended = ledger.end(now);
        let exceeded = ledger.exceeded(of.as_ref(), &charged.charge);
        if ended {
            inner.books.due.insert(place.clone());
        }
        (exceeded, inner.ticket_of(last))
    }

    /// The newest state of every object of a namespace in a table, in order of names, and the batch that an answer derived
    /// from it must wait for.
    pub(crate) fn newest_in(&self, table: TableId, namespace: &str) -> (Vec<Arc<Object>>, Option<Ticket>) {
        let inner = self.inner.lock();
        let firsts = [Some(&inner.open.first), inner.in_flight.as_ref().map(|batch| &batch.first)];
        let is_pending = firsts.into_iter().flatten().any(|first| first.contains_key(&table));
        if !is_pending {
            drop(inner);
            return (self.layout.table(table).in_namespace(namespace), None);
        }
        let (mut last, mut pending) = (0, HashMap::new());
        for ((of, (at, name)), (object, number)) in &inner.overlay {
            if *of == table && at == namespace {
                last = last.max(*number);
                pending.insert(name, object);
            }
        }
        let mut objects = self.layout.table(table).in_namespace(namespace);
        objects.retain(|object| !pending.contains_key(&object.name));
        objects.extend(pending.values().filter_map(|object| (*object).clone()));
        objects.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let ticket = inner.ticket_of(last);
        (objects, ticket)
    }

    /// Accounts that have to be drawn up.
    pub(crate) fn unsettled_places(&self) -> Vec<Place> {
        let inner = self.inner.lock();
        let unsettled = inner.books.accounts.iter().filter(|(_, account)| account.ledger.is_none());
        let mut places: Vec<Place> = unsettled.map(|(place, _)| place.clone()).collect();
        places.sort_unstable();
        places
    }

    /// Begins to draw up an account; `None` where there is nothing to do, or somebody does it already.
    pub(crate) fn begin_drawing(&self, place: &Place) -> Option<Drawing<'_>> {
        let mut inner = self.inner.lock();
        let account = inner.books.accounts.get_mut(place)?;
        if account.is_drawing || account.ledger.is_some() {
            return None;
        }
        account.is_drawing = true;
        Some(Drawing { sequencer: self, place: place.clone(), revision: account.revision })
    }

    /// Opens accounts, which have to be drawn up, for namespaces with quotas in slots that are answered for from now on.
    pub(super) fn open_books(&self, inner: &mut Inner, slots: &SlotSet) {
        for cluster in 0..self.layout.clusters() {
            let Some(table) = self.layout.named(cluster, ID_NAME).map(|id| self.layout.table(id)) else { continue };
            for namespace in table.namespaces() {
                let slot = table.resource.slot(&table.cluster, &namespace, "");
                if slots.contains(slot) {
                    inner.books.unsettle((cluster as u16, namespace), slot, 0);
                }
            }
        }
        self.unsettled.notify_one();
    }

    /// Where there are accounts.
    #[cfg(test)]
    pub(crate) fn places(&self) -> Vec<Place> {
        self.inner.lock().books.accounts.keys().cloned().collect()
    }

    /// Complains where a settled account, or what its quotas say, is not what it should be. Nothing may be pending.
    #[cfg(test)]
    pub(crate) fn compare(&self, place: &Place, fresh: Option<Ledger>) {
        let mut inner = self.inner.lock();
        let now = inner.wall();
        let account = inner.books.accounts.get_mut(place).expect("it was listed");
        let Some(ledger) = &mut account.ledger else { return };
        let mut fresh = fresh.expect("there are quotas");
        fresh.end(now);
        let ended = ledger.end(now);
        ledger.assert_like(&fresh);
        if !ended && !inner.books.due.contains(place) {
            let unsaid = self.statements(&mut inner, place, now);
            assert!(unsaid.is_empty(), "what the quotas of {place:?} say is not what is so");
        }
    }

    /// Forgets the accounts of a cluster that is gone.
    pub(crate) fn close_books(&self, cluster: u16) {
        self.inner.lock().books.retain(|place, _| place.0 != cluster);
        self.drawn.notify_waiters();
    }

    /// Has quotas say what they have to, though nothing else is written.
    pub(crate) fn state_due(&self) {
        let mut inner = self.inner.lock();
        let now = inner.wall();
        let Inner { books, .. } = &mut *inner;
        for (place, account) in &mut books.accounts {
            if account.ledger.as_mut().is_some_and(|ledger| ledger.end(now)) {
                books.due.insert(place.clone());
            }
        }
        let any = self.state(&mut inner);
        drop(inner);
        if any {
            self.filled.notify_one();
        }
    }

    /// Appends what quotas have to say by now to the open batch. Answers whether that was anything.
    pub(super) fn state(&self, inner: &mut Inner) -> bool {
        // What there may be no room for waits: deletions go on meanwhile.
        if inner.books.due.is_empty() || inner.full.is_some() || inner.lost {
            return false;
        }
        let now = inner.wall();
        let mut any = false;
        for place in std::mem::take(&mut inner.books.due) {
            let Some(account) = inner.books.accounts.get_mut(&place) else { continue };
            if let Some(ledger) = &mut account.ledger {
                ledger.end(now);
            }
            // Nothing is written any more where slots leave, but to a batch that they wait for.
            if inner.leaving.contains(account.slot) && !inner.open.slots.contains(&account.slot) {
                inner.books.due.insert(place);
                continue;
            }
            for (key, slot, table, draft, base) in self.statements(inner, &place, now) {
                any = true;
                let proposal = Proposal {
                    table,
                    key,
                    slot,
                    durability: Durability::Strict,
                    base: Some(base.version),
                    guards: Vec::new(),
                    change: Change::Put(draft),
                    request: 0,
                    code: 200,
                    operation: Operation::Put,
                    place: None,
                    charged: None,
                    revision: Revision::None,
                };
                inner.append(proposal, Some(base));
            }
        }
        any
    }

    fn statements(&self, inner: &mut Inner, place: &Place, now: i64) -> Vec<Statement> {
        let Some(table) = self.layout.named(usize::from(place.0), ID_NAME) else { return Vec::new() };
        let Some(Account { slot, ledger: Some(ledger), .. }) = inner.books.accounts.get(place) else {
            return Vec::new();
        };
        let slot = *slot;
        let quotas = ledger.rules.quotas.iter().enumerate();
        let stated: Vec<_> = quotas.map(|(at, quota)| (quota.name.clone(), statement::status(ledger, at))).collect();
        let mut statements = Vec::new();
        for (name, status) in stated {
            let key = (place.1.clone(), name.clone());
            let Some(base) = self.newest_locked(inner, table, &key) else { continue };
            let account = inner.books.accounts.get_mut(place).expect("it was there just above");
            let form = account.forms.entry(name).or_insert_with(|| {
                let resource = &self.layout.table(table).resource;
                Form::of(resource, &base, &status, &api::time::format_seconds(now))
            });
            statements.extend(form.restate(status).map(|draft| (key, slot, table, draft, base)));
        }
        statements
    }
}

/// A quota's key, slot and table, what it is to say, and what that replaces.
type Statement = (Key, Slot, TableId, api::object::Draft, Arc<Object>);

/// An account that somebody draws up. Dropped, it is left to others.
pub(crate) struct Drawing<'a> {
    sequencer: &'a Sequencer,
    place: Place,
    revision: u64,
}

impl Drawing<'_> {
    /// It is drawn up; `None`: there are no quotas any more. Where the rules have changed since, or a batch was lost, it has
    /// to be drawn up again.
    pub(crate) fn finish(self, ledger: Option<Ledger>) {
        let mut inner = self.sequencer.inner.lock();
        let books = &mut inner.books;
        // Nothing was written meanwhile: while there is no ledger nothing is.
        let is_same = |account: &&mut Account| account.revision == self.revision && account.ledger.is_none();
        let Some(account) = books.accounts.get_mut(&self.place).filter(is_same) else { return };
        if ledger.is_some() {
            account.ledger = ledger;
            books.due.insert(self.place.clone());
        } else {
            books.accounts.remove(&self.place);
            books.count();
        }
    }
}

impl Drop for Drawing<'_> {
    fn drop(&mut self) {
        if let Some(account) = self.sequencer.inner.lock().books.accounts.get_mut(&self.place) {
            account.is_drawing = false;
        }
        self.sequencer.drawn.notify_waiters();
        self.sequencer.unsettled.notify_one();
    }
}
