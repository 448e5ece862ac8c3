//! What an apply takes away: what its manager applied the last time and does not any more, where nobody else owns it.

use std::collections::BTreeMap;

use super::field_set::field_set;
use super::managers::Managers;
use super::named::with_named_fields;
use super::place::Place;
use super::remove::remove;
use super::set::Set;
use super::track::Tracking;
use crate::document::Value;

impl Tracking<'_> {
    /// The merged document (in the request's version) without what its manager has given up. `set` is what it owns now,
    /// `last` what it owned before, and in which version.
    pub(super) fn prune(
        &self,
        merged: Value,
        managers: &Managers<'_>,
        set: &Set,
        (version, last): (&str, &Set),
    ) -> Result<Value, String> {
        // Nothing was given up.
        if last.is_empty() || (self.versions.are_alike(version, &self.version) && last.is_subset(set)) {
            return Ok(merged);
        }
        let Some(place) = self.versions.place(version) else { return Ok(merged) };
        let before = self.versions.convert(&merged, &self.version, version)?.into_owned();
        let last = with_named_fields(Some(place), last);
        let pruned = remove(place, &before, &last);
        let (pruned, at) = self.with_owned(&before, pruned, version, managers)?;
        let pruned = self.versions.convert(&pruned, &at, version)?;
        let gone = named(place, &before).difference(&named(place, &pruned));
        // Not what nobody owned, nor what only updates own.
        let left = remove(place, &before, &gone.intersection(&last));
        Ok(self.versions.convert(&left, version, &self.version)?.into_owned())
    }

    /// Gives back what somebody owns, each in the version in which they own it. Answers the document and its version.
    fn with_owned(
        &self,
        before: &Value,
        pruned: Value,
        version: &str,
        managers: &Managers<'_>,
    ) -> Result<(Value, String), String> {
        let mut owned: BTreeMap<String, Set> = BTreeMap::new();
        for manager in &managers.0 {
            let alike = owned.keys().find(|version| self.versions.are_alike(version, &manager.api_version)).cloned();
            let all = owned.entry(alike.unwrap_or_else(|| manager.api_version.to_string())).or_default();
            *all = all.union(&manager.set());
        }
        // First in the version at hand: a conversion may rely on what was pruned.
        let mut versions: Vec<&String> = owned.keys().collect();
        versions.sort_by_key(|other| !self.versions.are_alike(other, version));
        let (mut before, mut pruned, mut at) = (before.clone(), pruned, version.to_owned());
        for version in versions {
            let Some(place) = self.versions.place(version) else { continue };
            before = self.versions.convert(&before, &at, version)?.into_owned();
            let now = self.versions.convert(&pruned, &at, version)?;
            let kept = named(place, &now).union(&with_named_fields(Some(place), &owned[version]));
            pruned = remove(place, &before, &named(place, &before).difference(&kept));
            at.clone_from(version);
        }
        Ok((pruned, at))
    }
}

fn named(place: Place<'_>, document: &Value) -> Set {
    with_named_fields(Some(place), &field_set(place, document))
}
