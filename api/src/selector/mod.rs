//! Label and field selectors: their syntax, and whether an object is selected.

use crate::document::Value;
use crate::resource::Resource;

/// What a selector looks at.
pub trait Selectable {
    /// The value of a label.
    fn label(&self, key: &str) -> Option<&str>;
    /// The value of the resource's selectable field number `at` (see [`Resource::selectable`]).
    fn field(&self, at: usize) -> &str;
    /// metadata.name
    fn name(&self) -> &str;
    /// metadata.namespace
    fn namespace(&self) -> &str;
}

/// A parsed label selector: all of its requirements must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LabelSelector {}

impl LabelSelector {
    /// Parses `a=b,c!=d,e in (f,g),h,!i`. The error is worded for a 400.
    pub fn parse(_text: &str) -> Result<Self, String> {
        todo!()
    }

    /// Reads a metav1.LabelSelector (`matchLabels`, `matchExpressions`). An absent or null one selects nothing, an
    /// empty one everything.
    pub fn from_value(_value: &Value) -> Result<Self, String> {
        todo!()
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        todo!()
    }

    /// Whether it selects the object.
    pub fn matches(&self, _object: &dyn Selectable) -> bool {
        todo!()
    }

    /// Whether it selects labels given by a look-up.
    pub fn matches_with<'a>(&self, _label: impl Fn(&str) -> Option<&'a str>) -> bool {
        todo!()
    }
}

/// A parsed field selector of one resource.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {}

impl FieldSelector {
    /// Parses `a=b,c!=d` (and `==`) against the fields that the resource offers. The error is worded for a 400:
    /// `field label not supported: spec.foo`.
    pub fn parse(_text: &str, _resource: &Resource) -> Result<Self, String> {
        todo!()
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        todo!()
    }

    /// Whether it selects the object.
    pub fn matches(&self, _object: &dyn Selectable) -> bool {
        todo!()
    }

    /// The value that metadata.name must equal, if it must.
    pub fn name(&self) -> Option<&str> {
        todo!()
    }

    /// The value that metadata.namespace must equal, if it must.
    pub fn namespace(&self) -> Option<&str> {
        todo!()
    }

    /// The value that selectable field number `at` must equal, if it must.
    pub fn equals(&self, _at: usize) -> Option<&str> {
        todo!()
    }
}

/// Both selectors of a list or a watch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selector {
    /// labelSelector
    pub labels: LabelSelector,
    /// fieldSelector
    pub fields: FieldSelector,
}

impl Selector {
    /// Whether both select the object.
    pub fn matches(&self, object: &dyn Selectable) -> bool {
        self.fields.matches(object) && self.labels.matches(object)
    }

    /// Whether it selects everything.
    pub fn is_everything(&self) -> bool {
        self.fields.is_everything() && self.labels.is_everything()
    }
}
