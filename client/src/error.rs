//! Why a call failed, by what a caller can do about it.

use std::time::Duration;

use crate::transport::TransportError;

/// A failed call.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClientError {
    /// The server answered with a `Status`.
    #[error("{message}")]
    Status {
        /// HTTP status.
        code: u16,
        /// metav1.StatusReason, empty where the server gave none.
        reason: String,
        /// The server's sentence.
        message: String,
        /// Seconds of Retry-After, if it gave any.
        retry_after: Option<u32>,
    },
    /// No answer came.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// The answer was not what the caller's type expects.
    #[error("the answer of {path} cannot be read: {message}")]
    Decode {
        /// Path of the request.
        path: String,
        /// What is wrong.
        message: String,
    },
    /// The deadline passed.
    #[error("{path} did not answer within {seconds} s")]
    Deadline {
        /// Path of the request.
        path: String,
        /// The deadline.
        seconds: u64,
    },
}

impl ClientError {
    /// The server's reason, empty for others.
    pub fn reason(&self) -> &str {
        match self {
            Self::Status { reason, .. } => reason,
            _ => "",
        }
    }

    /// 404
    pub fn is_not_found(&self) -> bool {
        self.reason() == "NotFound"
    }

    /// 409 of a create
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// 409 of a precondition
    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// 410
    pub fn is_expired(&self) -> bool {
        matches!(self, Self::Status { code: 410, .. })
    }

    /// How long the server wants to be left alone.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => retry_after.map(|seconds| Duration::from_secs(seconds.into())),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without any change of the request.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Status { code, .. } => matches!(code, 429 | 500 | 502 | 503 | 504),
            Self::Transport(_) | Self::Deadline { .. } => true,
            Self::Decode { .. } => false,
        }
    }
}
