//! Subresources: parts of an object with rules of their own. One file each; [`crate::verbs`] routes here.

pub(crate) mod binding;
pub(crate) mod conditions;
pub(crate) mod eviction;
pub(crate) mod finalize;
pub(crate) mod scale;
pub(crate) mod status;
