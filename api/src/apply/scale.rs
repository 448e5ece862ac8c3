//! Ownership through the subresource `scale`: what is owned there is the number of replicas, which the object keeps
//! elsewhere.

use std::borrow::Cow;

use smol_str::SmolStr;

use super::attempt::Applied;
use super::element::Element;
use super::managers::{Manager, Managers};
use super::set::Set;
use super::track::{Sent, Tracking};
use super::versions::Versions;
use crate::document::{Document, Value};
use crate::resource::{Resource, Served};
use crate::schema::Shape;
use crate::status::Status;

/// Of the documents.
pub(super) const VERSION: &str = "autoscaling/v1";

/// A write through `scale` of an object.
#[derive(Clone, Copy, Debug)]
pub struct ScaleTracking<'a> {
    /// What the object is.
    pub resource: &'a Resource,
    /// Its version in the request.
    pub served: &'a Served,
    /// Where it keeps its number of replicas.
    pub replicas: &'a [SmolStr],
    /// The shape of a Scale.
    pub shape: Shape<'a>,
    /// Who writes.
    pub manager: &'a str,
    /// metav1.Time
    pub now: &'a str,
}

impl<'a> ScaleTracking<'a> {
    /// Who owns what of the object after its Scale was replaced; from and to the text of its managedFields.
    pub fn update(&self, before: &str, old: &Value, new: &Value) -> String {
        let after = self.tracking().update(&self.of_scale(before), old, new, Sent::Nothing);
        self.of_object(before, &after)
    }

    /// Applies a Scale to the object's, `old`.
    pub fn apply(&self, before: &str, old: &Value, config: &Value, force: bool) -> Result<Applied, Status> {
        let mut live = old.clone();
        live.set(&["metadata", "managedFields"], self.of_scale(before));
        let applied = self.tracking().apply(Some(&live), config, force)?;
        Ok(Applied { managers: self.of_object(before, &applied.managers), ..applied })
    }

    fn tracking(&self) -> Tracking<'a> {
        Tracking::of_scale(self.shape, self.served.api_version(), self.manager, self.now)
    }

    fn path(&self) -> Vec<Element> {
        self.replicas.iter().map(|step| Element::Field(step.clone())).collect()
    }

    /// The object's managers in versions that there are.
    fn managers<'t>(&self, text: &'t str) -> Managers<'t> {
        let mut managers = Managers::parse(text).unwrap_or_default();
        managers.0.retain(|manager| Versions::Of(self.resource, None).knows(&manager.api_version));
        managers
    }

    fn owns_replicas(&self, manager: &Manager<'_>) -> bool {
        let path = self.path();
        manager.set().has(&path.iter().collect::<Vec<_>>())
    }

    /// The managers of the object's replicas, as those of its Scale.
    fn of_scale(&self, before: &str) -> String {
        let mut managers = self.managers(before);
        managers.0.retain(|manager| self.owns_replicas(manager));
        for manager in &mut managers.0 {
            manager.own(replicas_of_scale());
        }
        managers.text()
    }

    /// The object's managers, given those of its Scale.
    fn of_object(&self, before: &str, scale: &str) -> String {
        let mut managers = self.managers(before);
        let mut of_scale = Managers::parse(scale).unwrap_or_default();
        for manager in &mut managers.0 {
            if !self.owns_replicas(manager) {
                continue;
            }
            match of_scale.0.iter().position(|other| other.is_same(manager)) {
                Some(at) => manager.time = Cow::Owned(of_scale.0.remove(at).time.into_owned()),
                None => {
                    let left = manager.set().difference(&[self.path()].into_iter().collect());
                    manager.own(left);
                }
            }
        }
        for mut new in of_scale.0 {
            let mut set = managers.find(&new).map(|own| own.set().into_owned()).unwrap_or_default();
            set.insert(self.path());
            new.own(set);
            managers.insert(new.into_owned());
        }
        managers.drop_idle();
        managers.text()
    }
}

fn replicas_of_scale() -> Set {
    [vec![Element::Field("spec".into()), Element::Field("replicas".into())]].into_iter().collect()
}
