//! Custom kinds: what a CustomResourceDefinition says, as something that can be done to documents.
//!
//! [`definition`] makes a row of the registry out of a definition. A version of it has a [`Props`], its structural schema
//! (KEP-1002), which documents are pruned by ([`prune`]), defaulted by ([`defaults`]) and held against ([`validate`], whose
//! formats are in [`formats`], [`lists`] and [`embedded`]). Its rules in CEL are in [`rules`]; [`columns`] prints tables. What is stored
//! in another version, or by another schema, is brought up to date by [`reading`].
//!
//! Invariants: pruning and defaulting are idempotent; what they do depends on the document and the schema alone. A row is only
//! made of a definition that was validated (`strategy/custom_resource_definition.rs`), so that reading one cannot fail.
//!
//! Start reading at [`props`].

pub mod columns;
mod defaults;
pub mod definition;
mod embedded;
mod finalizers;
pub(crate) mod formats;
mod lists;
mod path;
pub mod props;
mod prune;
pub mod reading;
pub(crate) mod rules;
mod validate;

pub use definition::{Definition, Webhook};
use std::fmt;
use std::sync::Arc;

use expressions::rules::Rules;
pub use props::Props;
pub use reading::Reading;
use smol_str::SmolStr;

use crate::ambient::Clock;
use crate::document::{Document, Value};
use crate::status::Causes;
use crate::strategy::{ScalePaths, Strategy};

/// What one version of a custom kind holds its documents to.
#[derive(Debug)]
pub struct Custom {
    /// Its structural schema.
    pub schema: Props,
    /// Its rules in CEL.
    pub rules: Rules,
    /// How what is stored in it is marked: its apiVersion, and a hash of what its schema keeps and fills in.
    pub mark: String,
    /// kind and apiVersion, which rules may read and stored documents do not have.
    pub identity: (String, String),
    /// What tables show beside the name.
    pub columns: Vec<columns::Column>,
    /// Fields that selectors may name in this version, of those that they may name in any ([`Resource::selectable`]).
    ///
    /// [`Resource::selectable`]: crate::Resource::selectable
    pub selectable: Vec<SmolStr>,
    /// Where its `scale` subresource looks.
    pub scale: Option<ScalePaths>,
    /// What whoever uses the version is told.
    pub warning: Option<String>,
    /// What ends rules that take too long.
    pub clock: Deadline,
}

/// A clock that rules may be ended by.
#[derive(Clone, Default)]
pub struct Deadline(pub Option<Arc<dyn Clock>>);

impl fmt::Debug for Deadline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Deadline")
    }
}

impl Custom {
    /// Takes out what the schema does not know; answers the paths of that, as `spec.foo`.
    pub fn prune(&self, document: &mut Value) -> Vec<String> {
        prune::prune(document, &self.schema)
    }

    /// Reads the metadata of embedded objects as what it is; answers the paths of what that does not know, and why it is none.
    pub fn coerce(&self, document: &mut Value) -> Result<Vec<String>, String> {
        embedded::coerce(document, &self.schema, false)
    }

    /// Complaints about a document; about a change, what did not change is let be (KEP-4008).
    fn hold(&self, document: &Value, old: Option<&Value>, causes: &mut Causes) {
        validate::validate(document, old, &self.schema, causes);
        embedded::validate(document, &self.schema, causes);
        let mut before = Causes::default();
        if let Some(old) = old {
            lists::validate(old, &self.schema, &mut before);
        }
        if before.is_empty() {
            lists::validate(document, &self.schema, causes);
        }
        // Rules lean on the schema: where that does not hold they say nothing.
        if causes.is_empty() && !self.rules.is_empty() {
            let identified = old.map(|old| self.identified(old));
            let clock = self.clock.0.as_deref();
            rules::validate(&self.rules, &self.identified(document), identified.as_ref(), clock, causes);
        }
    }

    fn identified(&self, document: &Value) -> Value {
        let mut document = document.clone();
        document.set(&["kind"], self.identity.0.as_str());
        document.set(&["apiVersion"], self.identity.1.as_str());
        document
    }
}

impl Strategy for Custom {
    fn default(&self, object: &mut Value) {
        defaults::default(object, &self.schema);
    }

    fn qualifies_finalizers(&self) -> bool {
        false
    }

    fn scale(&self) -> Option<ScalePaths> {
        self.scale.clone()
    }

    fn validate_create(&self, object: &Value, causes: &mut Causes) {
        self.hold(object, None, causes);
        finalizers::warn(object, &Value::Null, causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        self.hold(object, Some(old), causes);
        finalizers::warn(object, old, causes);
    }

    fn validate_status(&self, object: &Value, old: &Value, causes: &mut Causes) {
        self.hold(object, Some(old), causes);
    }
}

#[cfg(test)]
mod tests;
