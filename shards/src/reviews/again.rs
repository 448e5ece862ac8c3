//! Who is asked once more: those that want to see what others have changed behind them (reinvocationPolicy IfNeeded).

use std::collections::BTreeSet;

use api::Value;

use super::Pass;

/// The mutating policies and webhooks of one write, as far as they have been asked.
#[derive(Clone, Debug, Default)]
pub(crate) struct Again {
    pub(crate) policies: Asked,
    pub(crate) hooks: Asked,
    /// Somebody changed the object.
    needed: bool,
}

impl Again {
    /// Takes note of a change by somebody.
    pub(crate) fn need(&mut self) {
        self.needed = true;
    }

    /// Whether there is a reason to ask anybody again.
    pub(crate) fn is_needed(&self) -> bool {
        self.needed
    }
}

/// Policies, or webhooks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Asked {
    /// Who has been asked and wants to see later changes.
    before: BTreeSet<String>,
    /// Those behind whom something changed.
    again: BTreeSet<String>,
    /// What the last of them left.
    left: Option<Value>,
}

impl Asked {
    /// Begins a pass: what others have changed since the last one counts.
    pub(crate) fn begin(&mut self, pass: Pass, document: &Value) {
        if pass == Pass::Again && self.left.as_ref().is_some_and(|left| left != document) {
            self.changed();
        }
    }

    /// Whether somebody is asked in a pass.
    pub(crate) fn asks(&self, pass: Pass, key: &str) -> bool {
        pass == Pass::First || self.again.contains(key)
    }

    /// The object was changed: whoever was asked before is asked again.
    pub(crate) fn changed(&mut self) {
        self.again.append(&mut self.before);
    }

    /// Somebody was asked, and wants to see later changes.
    pub(crate) fn asked(&mut self, key: String) {
        self.before.insert(key);
    }

    /// Ends a pass.
    pub(crate) fn end(&mut self, document: &Value) {
        // Only those who are asked again have to know what was there.
        self.left = (!self.before.is_empty()).then(|| document.clone());
    }
}
