//! What a write makes of who owns what.

use std::borrow::Cow;

use super::compare::{Comparison, compare};
use super::managers::{Manager, Managers, Operation};
use super::named::reconciled;
use super::reset::{self, Filter};
use super::set::Set;
use super::versions::{Convert, Converter, Versions};
use crate::document::Value;
use crate::resource::{Conversion, Resource, Served};
use crate::schema::Shape;

/// What ownership depends on, beside the documents: through what a request writes, and who sends it.
#[derive(Clone, Debug)]
pub struct Tracking<'a> {
    pub(super) versions: Versions<'a>,
    /// Of the documents: `apps/v1`.
    pub(super) version: Cow<'a, str>,
    /// The version that managers own fields in. Another one only where the documents are no objects.
    pub(super) owned_in: Cow<'a, str>,
    /// From the stored version to that of the request.
    convert: Option<Conversion>,
    pub(super) kind: &'a str,
    pub(super) subresource: &'a str,
    pub(super) manager: &'a str,
    /// metav1.Time
    pub(super) now: &'a str,
    pub(super) filter: Filter,
}

/// The managedFields that a client sent with an object.
#[derive(Clone, Copy, Debug)]
pub enum Sent<'a> {
    /// None: it may not know that there are any.
    Nothing,
    /// An empty list, or one with an empty entry: nobody is to own anything.
    Reset,
    /// A list, which counts where it can be read.
    List(&'a Value),
}

impl<'a> Sent<'a> {
    /// What a decoded document says. An empty list is not there any more: whoever has seen one says so.
    pub fn of(list: &'a Value) -> Self {
        match list.as_array().map(Vec::as_slice) {
            None => Self::Nothing,
            Some([]) => Self::Reset,
            Some([Value::Object(only)]) if only.is_empty() => Self::Reset,
            Some(_) => Self::List(list),
        }
    }
}

impl<'a> Tracking<'a> {
    /// A write of `manager` in a version of a resource, at the time `now`, which managedFields may show.
    pub fn of(
        resource: &'a Resource,
        served: &'a Served,
        subresource: &'a str,
        manager: &'a str,
        now: &'a str,
    ) -> Self {
        let version = match served.group.as_str() {
            "" => Cow::Borrowed(served.version.as_str()),
            _ => Cow::Owned(served.api_version()),
        };
        Self {
            versions: Versions::Of(resource, None),
            owned_in: version.clone(),
            version,
            convert: served.convert,
            kind: &resource.kind,
            subresource,
            manager,
            now,
            filter: reset::of(resource, served, subresource),
        }
    }

    /// The same where documents of a custom kind are converted by somebody who may have to ask for it.
    #[must_use]
    pub fn converted_by(self, converter: &'a dyn Convert) -> Self {
        let versions = match self.versions {
            Versions::Of(resource, _) => Versions::Of(resource, Some(Converter(converter))),
            other => other,
        };
        Self { versions, ..self }
    }

    /// A write through `scale`, whose documents are autoscaling/v1 Scales of that shape.
    pub(super) fn of_scale(shape: Shape<'a>, owned_in: String, manager: &'a str, now: &'a str) -> Self {
        Self {
            versions: Versions::One(shape),
            version: Cow::Borrowed(super::scale::VERSION),
            owned_in: Cow::Owned(owned_in),
            convert: None,
            kind: "Scale",
            subresource: "scale",
            manager,
            now,
            filter: Filter::Without(&[]),
        }
    }

    /// Who owns what of a new object: its canonical document in the stored version, without managedFields. Answers the
    /// text of managedFields, empty for none.
    pub fn create(&self, document: &Value, sent: Sent<'_>) -> String {
        let mut managers = match sent {
            Sent::List(list) => Managers::of_value(list).unwrap_or_default(),
            Sent::Nothing | Sent::Reset => Managers::default(),
        };
        let document = self.served(document);
        self.give(&mut managers, &self.empty(), &document, self.updater(self.manager));
        managers.cap();
        managers.text()
    }

    /// Who owns what after an update: the canonical documents before and after it, in the stored version and without
    /// managedFields, and the text of these before. Answers it as it is now, empty for none.
    pub fn update(&self, before: &str, old: &Value, new: &Value, sent: Sent<'_>) -> String {
        let live = || Managers::parse(before).unwrap_or_default();
        let mut managers = match sent {
            _ if !self.subresource.is_empty() => live(),
            Sent::Nothing => live(),
            Sent::Reset => Managers::default(),
            Sent::List(list) => match Managers::of_value(list) {
                Ok(managers) if !managers.is_empty() => managers,
                _ => live(),
            },
        };
        // Nobody's fields were tracked, and nothing but an apply begins to.
        if managers.is_empty() {
            return String::new();
        }
        let (old, new) = (self.served(old), self.served(new));
        self.give(&mut managers, &old, &new, self.updater(self.manager));
        managers.cap();
        managers.text()
    }

    pub(super) fn updater(&self, name: &str) -> Manager<'static> {
        Manager::new(name, Operation::Update, &self.owned_in, self.subresource)
    }

    /// A stored document in the version of the request.
    pub(super) fn served<'d>(&self, document: &'d Value) -> Cow<'d, Value> {
        let Some(convert) = self.convert else { return Cow::Borrowed(document) };
        let mut document = document.clone();
        (convert.from_stored)(&mut document);
        Cow::Owned(document)
    }

    /// What is there before an object is: the zero value of its type.
    pub(super) fn empty(&self) -> Value {
        Value::Object(self.versions.shape(&self.version).map(|shape| shape.zero().clone()).unwrap_or_default())
    }

    /// What changed, as far as the request may change it.
    pub(super) fn compare(&self, version: &str, old: &Value, new: &Value) -> Comparison {
        let Some(place) = self.versions.place(version) else { return Comparison::default() };
        let comparison = compare(place, old, new);
        if comparison.is_same() { comparison } else { comparison.filtered(|set| self.filter.keep(set)) }
    }

    /// Takes what changed from everybody else and gives it to `manager`. The documents are in the request's version.
    pub(super) fn give(&self, managers: &mut Managers<'_>, old: &Value, new: &Value, manager: Manager<'static>) {
        managers.0.retain(|other| self.versions.knows(&other.api_version));
        let comparison = self.compare(&self.version, old, new);
        let Ok(changes) = self.changes(managers, old, new, comparison) else { return };
        let taken = reset::without_system_fields(changes.own.changed());
        for other in &mut managers.0 {
            let change = changes.of(self, &other.api_version);
            if change.is_same() {
                continue;
            }
            let left = {
                let set = other.set();
                let set = self.reconciled(other, &set);
                // Who writes keeps what it writes.
                let is_own = other.is_same(&manager);
                let same = if is_own { set.is_disjoint(&change.removed) } else { change.is_apart(&set) };
                (!same || matches!(set, Cow::Owned(_))).then(|| {
                    let left = set.difference(&change.removed);
                    if is_own { left } else { left.difference(&change.modified).difference(&change.added) }
                })
            };
            if let Some(left) = left {
                other.own(left);
            }
        }
        if !taken.is_empty() {
            self.add(managers, manager, taken);
        }
        managers.drop_idle();
    }

    /// Adds what a manager took to what it has.
    fn add(&self, managers: &mut Managers<'_>, mut manager: Manager<'static>, taken: Set) {
        let now = || Cow::Owned(self.now.to_owned());
        match managers.0.iter_mut().find(|other| other.is_same(&manager)) {
            Some(own) => {
                own.time = now();
                let all = Some(own.set()).filter(|set| !taken.is_subset(set)).map(|set| set.union(&taken));
                if let Some(all) = all {
                    own.own(all);
                }
            }
            None => {
                manager.own(taken);
                manager.time = now();
                managers.insert(manager);
            }
        }
    }

    /// A manager's fields, as they are called by today's schema.
    pub(super) fn reconciled<'s>(&self, manager: &Manager<'_>, set: &'s Set) -> Cow<'s, Set> {
        let place = self.versions.place(&manager.api_version);
        match place.and_then(|place| reconciled(place, set)) {
            Some(set) => Cow::Owned(set),
            None => Cow::Borrowed(set),
        }
    }

    /// What changed in each version that somebody owns fields in.
    pub(super) fn changes(
        &self,
        managers: &Managers<'_>,
        old: &Value,
        new: &Value,
        own: Comparison,
    ) -> Result<Changes, String> {
        let mut others: Vec<(String, Comparison)> = Vec::new();
        for version in managers.0.iter().map(|manager| &*manager.api_version) {
            let is_there = others.iter().any(|(other, _)| other == version);
            if is_there || !self.versions.knows(version) || self.versions.are_alike(&self.version, version) {
                continue;
            }
            let old = self.versions.convert(old, &self.version, version)?;
            let new = self.versions.convert(new, &self.version, version)?;
            let comparison = self.compare(version, &old, &new);
            others.push((version.to_owned(), comparison));
        }
        Ok(Changes { own, others })
    }
}

/// One change, in the versions in which it looks different.
pub(super) struct Changes {
    pub(super) own: Comparison,
    others: Vec<(String, Comparison)>,
}

impl Changes {
    /// The change as managers of a version see it.
    pub(super) fn of(&self, tracking: &Tracking<'_>, version: &str) -> &Comparison {
        let other = self.others.iter().find(|(other, _)| other == version);
        debug_assert!(other.is_some() || tracking.versions.are_alike(&tracking.version, version));
        other.map_or(&self.own, |(_, comparison)| comparison)
    }
}
