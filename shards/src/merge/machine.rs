//! The merger itself: what comes from sources goes in, what is known of slots comes out. No clock, no I/O, no tasks.

use std::collections::VecDeque;
use std::sync::Arc;

use api::Version;
use api::slot::{Slot, SlotSet};

use super::groups::{Groups, Place};
use super::sink::{Fetch, FetchId, Item, Sink, SourceId};
use crate::service::{Delivery, Event, History};

struct Source<E> {
    id: SourceId,
    /// The version behind which its stream began.
    origin: Version,
    /// Nothing at or below will follow in it.
    mark: Version,
    /// The highest version that it was shown.
    shown: Version,
    /// The slots that it says it is about.
    claims: Arc<SlotSet>,
    /// Events of slots that are attached to it, not released yet.
    run: VecDeque<E>,
}

/// Merges the streams of all sources of one resource. See the module for its rules.
pub struct Merger<E> {
    sources: Vec<Source<E>>,
    groups: Groups<E>,
    /// More runs of events that are not released yet: history, and what broken sources left. Each is in order.
    extra: Vec<VecDeque<E>>,
    /// Every event at or below was released or given up.
    floor: Version,
    mark: Version,
    /// Bytes that everything which is held keeps alive.
    cost: usize,
    /// Whether some slot is claimed by two sources.
    contested: bool,
    /// Requests that nobody has taken yet.
    wanted: Vec<FetchId>,
    fetches: u64,
}

impl<E: Item> Default for Merger<E> {
    fn default() -> Self {
        Self {
            sources: Vec::new(),
            groups: Groups::default(),
            extra: Vec::new(),
            floor: Version::ZERO,
            mark: Version::ZERO,
            cost: 0,
            contested: false,
            wanted: Vec::new(),
            fetches: 0,
        }
    }
}

impl<E: Item> Merger<E> {
    /// Everything at or below was released, unless it was given up. Zero until every slot is known.
    pub fn mark(&self) -> Version {
        self.mark
    }

    /// Everything of the slot at or below has arrived; `None` while nothing is known of it.
    pub fn covered(&self, slot: Slot) -> Option<Version> {
        match self.groups.of(slot).place {
            Place::Unknown => None,
            ref place => Some(self.reach(place)),
        }
    }

    /// Slots that no source is attached to.
    pub fn unattached(&self) -> SlotSet {
        let alone = self.groups.iter().filter(|group| group.place.source().is_none());
        alone.fold(SlotSet::new(), |all, group| all.union(&group.slots))
    }

    /// The highest version up to which any source has promised everything.
    pub fn newest(&self) -> Version {
        self.sources.iter().map(|source| source.mark).max().unwrap_or_default()
    }

    /// Bytes that events which are not released yet keep alive.
    pub fn cost(&self) -> usize {
        self.cost
    }

    /// Whether events wait for a source that has not passed them.
    pub fn holds(&self) -> bool {
        self.runs().any(|run| !run.is_empty())
    }

    /// Events of one slot behind a version that have arrived and are not released yet, in order.
    pub fn held(&self, slot: Slot, behind: Version) -> Vec<E> {
        let wanted = |item: &&E| item.event().slot == slot && item.event().version > behind;
        let mut held: Vec<E> = self.runs().flatten().filter(wanted).cloned().collect();
        held.sort_unstable_by_key(|item| item.event().version);
        held
    }

    fn runs(&self) -> impl Iterator<Item = &VecDeque<E>> {
        self.sources.iter().map(|source| &source.run).chain(&self.extra)
    }

    /// A source's stream begins: it carries every event of `slots` behind `from`.
    pub fn opened(&mut self, id: SourceId, from: Version, slots: Arc<SlotSet>, sink: &mut impl Sink<E>) {
        self.leave(id);
        let run = VecDeque::new();
        self.sources.push(Source { id, origin: from, mark: from, shown: Version::ZERO, claims: slots, run });
        self.claims_changed(sink);
        self.release(sink);
    }

    /// A source's stream has ended. Its slots stay as far as they are until somebody else, or it again, claims them.
    pub fn broken(&mut self, id: SourceId, sink: &mut impl Sink<E>) {
        self.leave(id);
        self.claims_changed(sink);
        self.release(sink);
    }

    fn leave(&mut self, id: SourceId) {
        let Some(at) = self.position(id) else { return };
        let claims = self.sources[at].claims.clone();
        self.orphan(at, &claims);
        let source = self.sources.remove(at);
        if !source.run.is_empty() {
            self.extra.push(source.run);
        }
    }

    /// Takes in what a source sent.
    pub fn delivered(&mut self, id: SourceId, delivery: Delivery, sink: &mut impl Sink<E>) {
        let Some(at) = self.position(id) else { return };
        let Delivery { events, watermark, slots } = delivery;
        if self.contested {
            self.settle(Some((id, watermark)), sink);
        }
        for event in events {
            self.take(at, event, sink);
        }
        let source = &mut self.sources[at];
        source.mark = source.mark.max(watermark);
        self.groups.catch_up(id, source.mark);
        if let Some(slots) = slots {
            let gone = self.sources[at].claims.difference(&slots);
            self.orphan(at, &gone);
            self.sources[at].claims = slots;
            self.claims_changed(sink);
        }
        self.release(sink);
    }

    fn take(&mut self, at: usize, event: Arc<Event>, sink: &mut impl Sink<E>) {
        let source = &mut self.sources[at];
        let (id, version) = (source.id, event.version);
        match &mut self.groups.of_mut(event.slot).place {
            Place::Attached { source: of } if *of == id && version > source.mark => {}
            Place::Ahead { source: of, covered } if *of == id && version > *covered => {}
            Place::Fetching { source: of, limbo, .. } if *of == id && version > source.mark => {
                let item = E::of(event);
                self.cost += item.cost();
                limbo.push(item);
                return;
            }
            // Another source tells of this slot, or has told.
            _ => return,
        }
        let item = E::of(event);
        sink.arrived(&item);
        if version > self.floor {
            self.cost += item.cost();
            source.run.push_back(item);
        }
    }

    /// The requests for history that have come up since this was last asked.
    pub fn wanted(&mut self) -> Vec<FetchId> {
        std::mem::take(&mut self.wanted)
    }

    /// What to ask for, where the answer is still of use.
    pub fn fetch(&self, id: FetchId) -> Option<Fetch> {
        let group = self.groups.iter().find(|group| group.place.is_fetch(id))?;
        let Place::Fetching { source, covered, .. } = group.place else { return None };
        Some(Fetch { source, slots: Arc::new(group.slots.clone()), from: covered })
    }

    /// A source has told what it was asked for.
    pub fn answered(&mut self, id: FetchId, history: History, sink: &mut impl Sink<E>) {
        let Some(Fetched { source, slots, covered, limbo, .. }) = self.finish(id) else { return };
        let to = history.to.max(covered);
        let mark = self.sources.iter().find(|have| have.id == source).map_or(to, |have| have.mark);
        let past = history.events.into_iter().filter(|event| event.version > covered && event.version <= to);
        let past = past.filter(|event| slots.contains(event.slot)).map(E::of);
        let since = limbo.into_iter().filter(|item| item.event().version > to);
        self.fill(past.chain(since).collect(), sink);
        let place = if to > mark { Place::Ahead { source, covered: to } } else { Place::Attached { source } };
        self.groups.put(&slots, place);
        self.release(sink);
    }

    /// A source no longer holds what it was asked for (410).
    pub fn expired(&mut self, id: FetchId, sink: &mut impl Sink<E>) {
        let Some(Fetched { source, slots, since, limbo, .. }) = self.finish(id) else { return };
        sink.lost(&slots, since);
        self.fill(limbo, sink);
        self.groups.put(&slots, Place::Attached { source });
        self.release(sink);
    }

    /// Takes a request that has come to an end apart. Its slots must be put somewhere at once.
    fn finish(&mut self, id: FetchId) -> Option<Fetched<E>> {
        let group = self.groups.iter_mut().find(|group| group.place.is_fetch(id))?;
        let slots = group.slots.clone();
        let place = std::mem::replace(&mut group.place, Place::Unknown);
        let Place::Fetching { source, covered, since, mut limbo, .. } = place else { return None };
        self.cost -= limbo.iter().map(Item::cost).sum::<usize>();
        limbo.retain(|item| slots.contains(item.event().slot));
        Some(Fetched { source, slots, covered, since, limbo })
    }

    /// Takes in events that came beside a stream, in order.
    fn fill(&mut self, items: Vec<E>, sink: &mut impl Sink<E>) {
        items.iter().for_each(|item| sink.arrived(item));
        let floor = self.floor;
        let run: VecDeque<E> = items.into_iter().filter(|item| item.event().version > floor).collect();
        self.cost += run.iter().map(Item::cost).sum::<usize>();
        if !run.is_empty() {
            self.extra.push(run);
        }
    }

    /// Sources that keep the mark below what others have promised, and have not been told so yet; and up to where.
    pub fn laggards(&mut self) -> (Vec<SourceId>, Version) {
        let newest = self.newest();
        let behind = self.sources.iter_mut().filter(|source| source.mark.max(source.shown) < newest);
        let groups = &self.groups;
        let counts = behind.filter(|source| groups.iter().any(|group| group.place.source() == Some(source.id)));
        let told = counts.map(|source| {
            source.shown = newest;
            source.id
        });
        (told.collect(), newest)
    }

    /// Forgets what sources were shown: it may not have reached them.
    pub fn show_again(&mut self) {
        self.sources.iter_mut().for_each(|source| source.shown = Version::ZERO);
    }

    /// Gives the oldest events up that are not released, until what is left costs no more than `limit`. Answers the last
    /// version that was given up: what is released from then on lies behind it.
    pub fn shed(&mut self, limit: usize) -> Option<Version> {
        let mut last = None;
        while self.cost > limit {
            let runs = self.sources.iter_mut().map(|source| &mut source.run).chain(&mut self.extra);
            let oldest = runs.filter(|run| !run.is_empty()).min_by_key(|run| first(run));
            let Some(item) = oldest.and_then(VecDeque::pop_front) else {
                self.start_fetches_again();
                break;
            };
            self.cost -= item.cost();
            last = Some(item.event().version);
        }
        self.extra.retain(|run| !run.is_empty());
        self.floor = self.floor.max(last.unwrap_or_default());
        last
    }

    /// What waits for history does not fit: it is part of later history, then.
    fn start_fetches_again(&mut self) {
        for group in self.groups.iter_mut() {
            let Place::Fetching { source, since, id, limbo, .. } = &mut group.place else { continue };
            if limbo.is_empty() {
                continue;
            }
            self.cost -= limbo.iter().map(Item::cost).sum::<usize>();
            *limbo = Vec::new();
            *since = self.sources.iter().find(|have| have.id == *source).map_or(*since, |have| have.mark);
            self.fetches += 1;
            *id = FetchId(self.fetches);
            self.wanted.push(*id);
        }
    }

    fn position(&self, id: SourceId) -> Option<usize> {
        self.sources.iter().position(|source| source.id == id)
    }

    /// Up to where everything of a group has arrived.
    fn reach(&self, place: &Place<E>) -> Version {
        match place {
            Place::Unknown => Version::ZERO,
            Place::Orphan { covered } | Place::Ahead { covered, .. } | Place::Fetching { covered, .. } => *covered,
            Place::Attached { source } => {
                self.sources.iter().find(|have| have.id == *source).map_or(Version::ZERO, |have| have.mark)
            }
        }
    }

    /// Detaches slots from a source, as far as they are attached to it.
    fn orphan(&mut self, at: usize, slots: &SlotSet) {
        let id = self.sources[at].id;
        for (covered, part) in self.parts(slots, |place| place.source() == Some(id)) {
            self.move_to(&part, Place::Orphan { covered: covered.unwrap_or_default() });
        }
    }

    /// The slots in question by how far they are known; `None`: not at all.
    fn parts(&self, slots: &SlotSet, which: impl Fn(&Place<E>) -> bool) -> Vec<(Option<Version>, SlotSet)> {
        let mut parts: Vec<(Option<Version>, SlotSet)> = Vec::new();
        for group in self.groups.iter().filter(|group| which(&group.place)) {
            let part = group.slots.intersection(slots);
            if part.is_empty() {
                continue;
            }
            let covered = (!matches!(group.place, Place::Unknown)).then(|| self.reach(&group.place));
            match parts.iter_mut().find(|(have, _)| *have == covered) {
                Some((_, slots)) => *slots = slots.union(&part),
                None => parts.push((covered, part)),
            }
        }
        parts
    }

    fn move_to(&mut self, slots: &SlotSet, place: Place<E>) {
        for limbo in self.groups.put(slots, place) {
            self.cost -= limbo.iter().map(Item::cost).sum::<usize>();
        }
    }

    fn claims_changed(&mut self, sink: &mut impl Sink<E>) {
        let mut all = SlotSet::new();
        self.contested = false;
        for source in &self.sources {
            self.contested |= !all.intersection(&source.claims).is_empty();
            all = all.union(&source.claims);
        }
        self.settle(None, sink);
    }

    /// Attaches each slot to the source that claims it and has promised most: an owner that has lost a slot promises
    /// nothing that its successor could write (see the module). `coming`: how far a source will have come in a moment.
    fn settle(&mut self, coming: Option<(SourceId, Version)>, sink: &mut impl Sink<E>) {
        let standing = |source: &Source<E>| match coming {
            Some((id, version)) if id == source.id => source.mark.max(version),
            _ => source.mark,
        };
        let mut order: Vec<(Version, usize)> =
            self.sources.iter().enumerate().map(|(at, source)| (standing(source), at)).collect();
        order.sort_unstable_by(|a, b| b.cmp(a));
        for (at_mark, at) in &order {
            let mut slots = (*self.sources[*at].claims).clone();
            for group in self.groups.iter() {
                let Some(holder) = group.place.source() else { continue };
                let holds = order.iter().find(|(_, other)| self.sources[*other].id == holder);
                if holds.is_some_and(|(mark, other)| other == at || mark >= at_mark) {
                    slots = slots.difference(&group.slots);
                }
            }
            if !slots.is_empty() {
                self.attach(*at, &slots, sink);
            }
        }
    }

    /// From now on the source tells of these slots: all of theirs behind its mark is still to come in its stream.
    fn attach(&mut self, at: usize, slots: &SlotSet, sink: &mut impl Sink<E>) {
        let Source { id: source, origin, mark, .. } = self.sources[at];
        for (covered, part) in self.parts(slots, |_| true) {
            if covered.is_none() {
                sink.opened(&part, origin);
            }
            let covered = covered.unwrap_or(origin);
            let place = if covered == mark {
                Place::Attached { source }
            } else if covered > mark {
                Place::Ahead { source, covered }
            } else {
                self.fetches += 1;
                let id = FetchId(self.fetches);
                self.wanted.push(id);
                Place::Fetching { source, covered, since: mark, id, limbo: Vec::new() }
            };
            self.move_to(&part, place);
        }
    }

    /// Hands out what every slot has passed.
    fn release(&mut self, sink: &mut impl Sink<E>) {
        let low = self.groups.iter().map(|group| self.reach(&group.place)).min().unwrap_or_default();
        if low <= self.mark {
            return;
        }
        self.mark = low;
        loop {
            let mut runs = self.sources.iter_mut().map(|source| &mut source.run).chain(&mut self.extra);
            let Some((mut least, mut second)) = runs.next().map(|run| (run, low)) else { break };
            for run in runs {
                if first(run) < first(least) {
                    second = second.min(first(least));
                    least = run;
                } else {
                    second = second.min(first(run));
                }
            }
            if first(least) > low {
                break;
            }
            while first(least) <= second
                && let Some(item) = least.pop_front()
            {
                self.cost -= item.cost();
                sink.released(item);
            }
        }
        if !self.extra.is_empty() {
            self.extra.retain(|run| !run.is_empty());
        }
    }

    /// Recomputes what is derived, and complains about the first difference.
    #[cfg(test)]
    pub(crate) fn consistency_check(&self) {
        self.groups.consistency_check();
        let limbo = self.groups.iter().flat_map(|group| group.place.limbo());
        let cost: usize = self.runs().flatten().chain(limbo).map(Item::cost).sum();
        assert_eq!(cost, self.cost);
        for run in self.runs() {
            assert!(run.iter().is_sorted_by(|a, b| a.event().version < b.event().version), "a run is out of order");
            assert!(run.front().is_none_or(|item| item.event().version > self.mark.max(self.floor)));
        }
        for group in self.groups.iter() {
            assert!(self.reach(&group.place) >= self.mark);
            if let Some(id) = group.place.source() {
                let source = self.sources.iter().find(|source| source.id == id).expect("groups hang on sources");
                assert!(group.slots.difference(&source.claims).is_empty(), "attached to who does not claim it");
            }
        }
    }
}

struct Fetched<E> {
    source: SourceId,
    slots: SlotSet,
    covered: Version,
    since: Version,
    limbo: Vec<E>,
}

/// Version of the oldest event of a run; above all others where there is none.
fn first<E: Item>(run: &VecDeque<E>) -> Version {
    run.front().map_or(Version::MAX, |item| item.event().version)
}
