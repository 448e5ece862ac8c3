//! What Kubernetes objects are: documents, schemas, codecs, patches, selectors, defaults, validation and `Status`
//! errors. No I/O, no async, no clock: everything here is a function of its arguments, and every other crate stands on it.
//!
//! Start reading at [`resource`] (a kind) and [`registry`] (all of them), then [`schema`] (what a kind's fields are) and [`codec`] (bytes to
//! documents and back). What no schema can say about one kind is its [`strategy`].
//!
//! Invariants: a canonical document survives every codec unchanged; the same document always has the same bytes.

pub mod ambient;
pub mod apply;
pub mod builtin;
pub mod cel;
pub mod codec;
pub mod crd;
pub mod document;
pub mod limit_range;
pub mod names;
pub mod object;
pub mod patch;
pub mod pod_resources;
pub mod pod_security;
pub mod quantity;
pub mod quota;
pub mod rbac;
pub mod registry;
pub mod resource;
pub mod schema;
pub mod selector;
pub mod slot;
pub mod status;
pub mod strategy;
pub mod table;
pub mod time;
pub mod version;

pub use document::Value;
pub use object::Object;
pub use registry::Registry;
pub use resource::{Resource, ResourceId};
pub use status::{Causes, Status};
pub use version::Version;
