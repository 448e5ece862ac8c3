//! Server-side apply itself.

use std::borrow::Cow;

use super::conflict::{self, Conflict};
use super::element::same;
use super::field_set::field_set;
use super::last_applied;
use super::managers::{Manager, Managers, Operation};
use super::merge::merge;
use super::place::Place;
use super::reset;
use super::set::Set;
use super::track::Tracking;
use super::validate::validate;
use crate::codec;
use crate::document::{Document, Value};
use crate::status::{Reason, Status};

/// What an apply comes to.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The canonical document in the version of the request, without managedFields.
    pub document: Value,
    /// The text of managedFields, empty for none.
    pub managers: String,
}

/// An apply that nobody objected to.
struct Merged<'t> {
    /// `None` where it changes nothing.
    document: Option<Value>,
    managers: Managers<'t>,
}

/// Why an apply did not come to anything.
enum Obstacle {
    Conflicts(Vec<Conflict>),
    Status(Status),
}

impl From<Status> for Obstacle {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

impl Tracking<'_> {
    /// Applies a document, which is as the client wrote it, to an object: its stored document, in which managedFields are
    /// text, or nothing. 409 where others own fields that it would change, unless it is forced.
    pub fn apply(&self, live: Option<&Value>, config: &Value, force: bool) -> Result<Applied, Status> {
        self.check_type(config)?;
        if config.at(&["metadata"]).get("managedFields").is_some_and(|list| !list.is_null()) {
            return Err(Status::bad_request("metadata.managedFields must be nil"));
        }
        let text = live.map_or("", |live| live.text(&["metadata", "managedFields"]));
        let mut old = match live {
            Some(live) => {
                let mut old = live.clone();
                old.remove(&["metadata", "managedFields"]);
                self.served(&old).into_owned()
            }
            None => self.empty(),
        };
        old.set(&["kind"], self.kind);
        old.set(&["apiVersion"], &*self.version);
        let place = self.place()?;
        validate(place, config).map_err(|why| {
            Status::bad_request(format!("failed to create typed patch object ({}): {why}", self.said_of(config)))
        })?;
        let mut managers = Managers::parse(text)
            .map_err(|error| Status::internal(format!("failed to decode managed fields: {error}")))?;
        if managers.is_empty() {
            let before = self.updater("before-first-apply");
            self.give(&mut managers, &self.empty_object(), &old, before);
        }
        let merged = match self.attempt(place, &old, config, managers.clone(), force) {
            Err(Obstacle::Conflicts(conflicts)) if self.manager == last_applied::KUBECTL => {
                let left = last_applied::not_its_own(self, place, &old, conflicts);
                if !left.is_empty() {
                    return Err(conflict::refusal(left));
                }
                self.attempt(place, &old, config, managers, true)
            }
            other => other,
        };
        match merged {
            Ok(merged) => self.finish(old, config, merged),
            Err(Obstacle::Conflicts(conflicts)) => Err(conflict::refusal(conflicts)),
            Err(Obstacle::Status(status)) => Err(status),
        }
    }

    fn place(&self) -> Result<Place<'_>, Status> {
        self.versions.place(&self.version).ok_or_else(Status::unknown_path)
    }

    fn empty_object(&self) -> Value {
        let mut empty = self.empty();
        empty.set(&["kind"], self.kind);
        empty.set(&["apiVersion"], &*self.version);
        empty
    }

    fn check_type(&self, config: &Value) -> Result<(), Status> {
        let (kind, version) = (config.text(&["kind"]), config.text(&["apiVersion"]));
        if kind == self.kind && version == self.version {
            return Ok(());
        }
        Err(Status::bad_request(format!("invalid object type: {}", type_text(version, kind))))
    }

    /// `namespace/name; group/version, Kind=kind`
    fn said_of(&self, config: &Value) -> String {
        format!("{}/{}; {}", config.namespace(), config.name(), type_text(&self.version, self.kind))
    }

    fn attempt<'t>(
        &self,
        place: Place<'_>,
        old: &Value,
        config: &Value,
        mut managers: Managers<'t>,
        force: bool,
    ) -> Result<Merged<'t>, Obstacle> {
        self.reconcile(&mut managers);
        let mut own = Manager::new(self.manager, Operation::Apply, &self.owned_in, self.subresource);
        let last = managers.find(&own).map(|last| (last.api_version.to_string(), last.set().into_owned()));
        own.time = managers.find(&own).map_or(Cow::Borrowed(""), |last| Cow::Owned(last.time.to_string()));
        let set = self.filter.keep(field_set(place, config));
        own.own(set.clone());
        managers.insert(own.clone());
        let merged = merge(place, old, config);
        let merged = match last {
            Some((version, last)) => self.prune(merged, &managers, &set, (&version, &last)).map_err(unreadable)?,
            None => merged,
        };
        self.take(&mut managers, old, &merged, &own, force)?;
        // What the server keeps itself was compared, and is not owned.
        own.own(reset::without_system_fields(set));
        let is_same = same(old, &merged);
        if !is_same {
            own.time = Cow::Owned(self.now.to_owned());
        }
        managers.insert(own);
        managers.drop_idle();
        Ok(Merged { document: (!is_same).then_some(merged), managers })
    }

    /// Brings every manager's fields up to today's schema, and drops those of versions that are gone.
    fn reconcile(&self, managers: &mut Managers<'_>) {
        managers.0.retain(|manager| self.versions.knows(&manager.api_version));
        for manager in &mut managers.0 {
            let changed = {
                let set = manager.set();
                match self.reconciled(manager, &set) {
                    Cow::Owned(changed) => Some(changed),
                    Cow::Borrowed(_) => None,
                }
            };
            if let Some(changed) = changed {
                manager.own(changed);
            }
        }
    }

    /// Takes what the apply changes from all others, or tells who minds.
    fn take(
        &self,
        managers: &mut Managers<'_>,
        old: &Value,
        new: &Value,
        own: &Manager<'_>,
        force: bool,
    ) -> Result<(), Obstacle> {
        let comparison = self.compare(&self.version, old, new);
        let changes = self.changes(managers, old, new, comparison).map_err(unreadable)?;
        let mut conflicts = Vec::new();
        let mut left: Vec<Option<Set>> = Vec::with_capacity(managers.0.len());
        for other in &managers.0 {
            if other.is_same(own) {
                left.push(None);
                continue;
            }
            let change = changes.of(self, &other.api_version);
            let set = other.set();
            if change.is_apart(&set) {
                left.push(None);
                continue;
            }
            let wanted = set.intersection(&change.modified).union(&set.intersection(&change.added));
            left.push(Some(set.difference(&wanted).difference(&change.removed)));
            if !wanted.is_empty() {
                let version = if self.version == self.owned_in { &*other.api_version } else { &*self.version };
                conflicts.push(Conflict::new(other, version, wanted));
            }
        }
        if !conflicts.is_empty() && !force {
            return Err(Obstacle::Conflicts(conflicts));
        }
        for (other, left) in managers.0.iter_mut().zip(left) {
            if let Some(left) = left {
                other.own(left);
            }
        }
        Ok(())
    }

    fn finish(&self, old: Value, config: &Value, merged: Merged<'_>) -> Result<Applied, Status> {
        let mut document = match (merged.document, self.versions.shape(&self.version)) {
            (Some(document), Some(shape)) => {
                let decoded = codec::conform(shape, document).map_err(|error| {
                    Status::bad_request(format!(
                        "failed to convert new object ({}) to proper version: {}",
                        self.said_of(config),
                        error.message
                    ))
                })?;
                decoded.value
            }
            _ => old,
        };
        last_applied::renew(self, &mut document, config);
        Ok(Applied { document, managers: merged.managers.text() })
    }
}

fn unreadable(why: String) -> Obstacle {
    Obstacle::Status(Status::new(Reason::BadRequest, format!("failed to convert the applied object: {why}")))
}

/// As Go prints a GroupVersionKind.
fn type_text(version: &str, kind: &str) -> String {
    match version.split_once('/') {
        Some(_) => format!("{version}, Kind={kind}"),
        None => format!("/{version}, Kind={kind}"),
    }
}
