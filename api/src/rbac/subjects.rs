//! Whom a binding is for.

use smol_str::{SmolStr, format_smolstr};

use crate::document::{Document, Value};

/// A user or a group. A ServiceAccount is the user that it authenticates as.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Subject {
    User(SmolStr),
    Group(SmolStr),
}

/// Looks a subject up without making one.
#[derive(Clone, Copy, Hash)]
pub(super) enum SubjectRef<'a> {
    User(&'a str),
    Group(&'a str),
}

impl SubjectRef<'_> {
    /// As the reference's reasons name it.
    pub(super) fn describe(self) -> String {
        match self {
            Self::Group(name) => format!("Group {name:?}"),
            Self::User(name) => match name.strip_prefix("system:serviceaccount:").and_then(|rest| rest.split_once(':'))
            {
                Some((namespace, name)) => format!("ServiceAccount \"{name}/{namespace}\""),
                None => format!("User {name:?}"),
            },
        }
    }
}

impl hashbrown::Equivalent<Subject> for SubjectRef<'_> {
    fn equivalent(&self, key: &Subject) -> bool {
        match (self, key) {
            (Self::User(name), Subject::User(key)) => key == name,
            (Self::Group(name), Subject::Group(key)) => key == name,
            _ => false,
        }
    }
}

impl Subject {
    /// The subject of a binding in that namespace; `None` for what nobody can be.
    pub(super) fn read(subject: &Value, binding_namespace: &str) -> Option<Self> {
        let name = subject.text(&["name"]);
        match subject.text(&["kind"]) {
            "User" => Some(Self::User(name.into())),
            "Group" => Some(Self::Group(name.into())),
            "ServiceAccount" => {
                let own = subject.text(&["namespace"]);
                let namespace = if own.is_empty() { binding_namespace } else { own };
                let user = || Self::User(format_smolstr!("system:serviceaccount:{namespace}:{name}"));
                (!namespace.is_empty()).then(user)
            }
            _ => None,
        }
    }
}
