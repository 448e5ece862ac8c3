//! Label, field and shard selectors: their syntax, and whether an object is selected.
//!
//! A selector is parsed once and then only compared: matching allocates nothing. Start reading at [`Selector`].

mod fields;
mod labels;
mod parse;
mod shard;

use std::borrow::Cow;

pub use fields::FieldSelector;
pub use labels::LabelSelector;
pub use shard::ShardSelector;
use smol_str::SmolStr;

use crate::document::{Document, Value};
use crate::resource::{Resource, SelectableField};

/// What a selector looks at.
pub trait Selectable {
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
    /// The value of the resource's selectable field number `at` (see [`Resource::selectable`]).
    fn field(&self, at: usize) -> &str;
    /// The value of a field of a custom kind.
    fn custom_field(&self, field: &SelectableField) -> SmolStr;
    /// metadata.name
    fn name(&self) -> &str;
    /// metadata.namespace
    fn namespace(&self) -> &str;
    /// metadata.uid
    fn uid(&self) -> Cow<'_, str>;
}

/// The selectors of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// labelSelector
    pub labels: LabelSelector,
    /// fieldSelector
    pub fields: FieldSelector,
    /// shardSelector
    pub shard: ShardSelector,
}

impl Selector {
    /// Whether all of them select the object.
    pub fn matches(&self, object: &dyn Selectable) -> bool {
        self.fields.matches(object) && self.labels.matches(object) && self.shard.matches(object)
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.fields.is_everything() && self.labels.is_everything() && self.shard.is_everything()
    }
}

/// A document that is no stored object, to be looked at by a selector.
#[derive(Debug)]
pub struct Bare<'a> {
    document: &'a Value,
    fields: Vec<SmolStr>,
}

impl<'a> Bare<'a> {
    /// A document of a resource's stored version.
    pub fn new(resource: &Resource, document: &'a Value) -> Self {
        Self { document, fields: resource.selectable.iter().map(|field| field.read(document)).collect() }
    }
}

impl Selectable for Bare<'_> {
    fn label(&self, key: &str) -> Option<&str> {
        self.document.at(&["metadata", "labels", key]).as_str()
    }

    fn field(&self, at: usize) -> &str {
        &self.fields[at]
    }

    fn custom_field(&self, field: &SelectableField) -> SmolStr {
        field.read(self.document)
    }

    fn name(&self) -> &str {
        self.document.name()
    }

    fn namespace(&self) -> &str {
        self.document.namespace()
    }

    fn uid(&self) -> Cow<'_, str> {
        self.document.uid().into()
    }
}
