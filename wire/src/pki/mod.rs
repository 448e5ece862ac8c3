//! Certificates on disk: a CA, what it signs, and who stands inside (DESIGN D12).
//!
//! [`Authority`] makes certificates for whoever keeps a CA in a directory: the gateway does for its cluster. [`Identity`] is
//! one process's place behind the *internal* CA, which is not the cluster's: a role, a certificate that says so, and the CA
//! by which it knows the others. Keys are P-256; files have mode 0600, the directory 0700. A file is written beside its place
//! and renamed, so that a crash leaves the old one or the new one. A certificate is made anew when it is about to expire,
//! when it lacks a name that it needs, or when it does not belong to its key or CA.

pub mod files;
mod identity;
mod issue;
#[cfg(test)]
mod tests;
mod trust;

pub use files::write_private;
pub use identity::Identity;
pub(crate) use identity::Parts;
pub use issue::{Authority, CA, Purpose, Wanted};
pub use trust::{Distrust, Role};
pub(crate) use trust::{TlsClock, Trust};

/// Why there are no credentials.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file or the directory cannot be read, written or protected.
    #[error("cannot {action} {path}: {error}")]
    File {
        /// `read`, `write`, …
        action: &'static str,
        /// Which one.
        path: String,
        /// Why.
        error: std::io::Error,
    },
    /// The CA in the directory cannot be used. It is never replaced by itself: everybody who trusts it would be cut off.
    #[error("the CA in {path} cannot be used: {reason}")]
    Authority {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A certificate or key in the directory cannot be used, and none can be made, for there is no CA's key.
    #[error("{path} cannot be used: {reason}")]
    Certificate {
        /// Which file.
        path: String,
        /// Why.
        reason: String,
    },
    /// A certificate cannot be made.
    #[error("cannot make a certificate: {0}")]
    Issue(#[from] rcgen::Error),
}
