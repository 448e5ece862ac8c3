//! What can be done with each resource: paths and their operations, under the reference's operation ids.
//!
//! [`Paths`] collects those of one document. [`resource`] knows which a resource has, built in or custom, [`discovery`] those
//! that show what there is; [`operation`] writes them, [`parameters`] says what they take, [`names`] how they are called.

mod discovery;
pub(crate) mod names;
mod operation;
mod parameters;
mod resource;

use std::collections::BTreeMap;

use api::resource::{Resource, Served};
use operation::{Answer, Body, Operation, Writer};
use parameters::Parameter;

use crate::Dialect;
use crate::schemas::{Base, META, Schemas};
use names::Names;

/// The paths of one document.
pub(crate) struct Paths<'a, 'b> {
    base: &'a Base,
    dialect: Dialect,
    /// The types that they mention.
    pub(crate) schemas: &'b mut Schemas<'a>,
    done: BTreeMap<String, String>,
    shared: BTreeMap<String, String>,
}

impl<'a, 'b> Paths<'a, 'b> {
    pub(crate) fn new(base: &'a Base, dialect: Dialect, schemas: &'b mut Schemas<'a>) -> Self {
        Self { base, dialect, schemas, done: BTreeMap::new(), shared: BTreeMap::new() }
    }

    /// What can be done with a resource in one of its versions. `object` and `list` are the full names of its types.
    pub(crate) fn resource(&mut self, resource: &Resource, served: &Served, object: &str, list: &str) {
        resource::write(self, resource, served, (object, list));
    }

    /// What can be done with a built-in resource.
    pub(crate) fn builtin(&mut self, resource: &Resource, served: &Served) {
        let object = resource.shape(served).name();
        self.resource(resource, served, object, &format!("{object}List"));
    }

    /// `/apis/apps/v1/`: which resources a version has.
    pub(crate) fn version(&mut self, group: &str, version: &str) {
        discovery::version(self, group, version);
    }

    /// `/api/`, `/apis/`, and `/apis/apps/` for each group.
    pub(crate) fn groups<'n>(&mut self, groups: impl IntoIterator<Item = &'n str>) {
        discovery::core(self);
        discovery::list(self);
        groups.into_iter().for_each(|group| discovery::group(self, group));
    }

    /// The path that a document of its own is about: `api`, `apis`, `apis/apps`, `version`.
    pub(crate) fn only(&mut self, path: &str) {
        match path.strip_prefix("apis/") {
            Some(group) => discovery::group(self, group),
            None if path == "api" => discovery::core(self),
            None if path == "apis" => discovery::list(self),
            None => discovery::program(self),
        }
    }

    /// Makes every parameter part of the document that custom kinds share with others.
    pub(crate) fn share_parameters(&mut self) {
        let mut writer = Writer { dialect: self.dialect, tag: "", shared: &mut self.shared };
        writer.path(resource::shared_parameters(&self.base.words), Vec::new());
        for (kind, required) in [("DeleteOptions", false), ("Patch", true)] {
            writer.share_body(&Body { of: format!("{META}.{kind}"), required });
        }
    }

    /// Adds a path, where something can be done there.
    fn add(&mut self, path: String, names: &Names, own: Vec<Parameter>, operations: Vec<Operation>) {
        if operations.is_empty() {
            return;
        }
        for operation in &operations {
            let sent = operation.body.as_ref().map(|body| body.of.clone());
            let answered = match &operation.answer {
                Answer::Type(name) => Some(name.clone()),
                Answer::Text => None,
            };
            sent.iter().chain(&answered).for_each(|name| self.schemas.mention(name));
        }
        let mut writer = Writer { dialect: self.dialect, tag: &names.tag, shared: &mut self.shared };
        let text = writer.path(own, operations);
        self.done.insert(path, text);
    }

    /// The paths, and the parameters that they share.
    pub(crate) fn finish(self) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
        (self.done, self.shared)
    }
}
