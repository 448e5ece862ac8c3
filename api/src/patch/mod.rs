//! The patch types that change a document: JSON patch, merge patch, strategic merge patch. Server-side apply, which needs to
//! know who owns what, has a room of its own ([`crate::apply`]).
//!
//! A patch never sees a half-patched document: it applies as a whole or not at all. Start reading at [`apply`].

mod json;
mod merge;
mod strategic;

use serde_json::json;

use crate::document::Value;
use crate::schema::Shape;
use crate::status::{Cause, Causes, Reason, Status};

/// Which patch a body is, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// application/json-patch+json (RFC 6902)
    Json,
    /// application/merge-patch+json (RFC 7386)
    Merge,
    /// application/strategic-merge-patch+json
    Strategic,
    /// application/apply-patch+yaml: see [`crate::apply`].
    Apply,
}

impl PatchType {
    /// The type of a body by its media type, without parameters.
    pub fn of(media_type: &str) -> Option<Self> {
        match media_type {
            "application/json-patch+json" => Some(Self::Json),
            "application/merge-patch+json" => Some(Self::Merge),
            "application/strategic-merge-patch+json" => Some(Self::Strategic),
            "application/apply-patch+yaml" => Some(Self::Apply),
            _ => None,
        }
    }
}

/// Applies a patch. The result is not canonical yet (see [`crate::codec::conform`]). A patch that is malformed is a 400,
/// one that does not apply a 422, as in the reference.
pub fn apply(kind: PatchType, patch: &[u8], document: &Value, shape: Shape<'_>) -> Result<Value, Status> {
    let patch: Value =
        serde_json::from_slice(patch).map_err(|error| Status::bad_request(format!("error decoding patch: {error}")))?;
    let patched = match kind {
        PatchType::Json => json::apply(patch, document)?,
        PatchType::Merge => merge::apply(patch, document)?,
        PatchType::Strategic => strategic::apply(patch, document, shape)?,
        PatchType::Apply => return Err(Status::bad_request("an applied document is no patch of another one")),
    };
    if !patched.is_object() {
        let mut causes = Causes::default();
        causes.invalid("patch", &json!(patched.to_string()), "the patched document is no object");
        return Err(Status::invalid("", "", "", causes));
    }
    Ok(patched)
}

/// Applies the operations of a JSON patch that is no client's. `None`: one of its tests failed. The error says why it does not
/// apply, in the reference's words where an operation leads nowhere.
pub fn apply_operations(patch: Value, document: &Value) -> Result<Option<Value>, String> {
    let why = |status: Status| status.causes().first().map_or(status.message(), |cause| &cause.message).to_owned();
    match json::run(patch, document).map_err(why)? {
        Ok(patched) => Ok(Some(patched)),
        Err(failed) if failed.is_test => Ok(None),
        Err(failed) => Err(failed.words()),
    }
}

/// 422: the patch is well-formed but does not apply. The reference keeps to itself why; a cause says it here.
fn does_not_apply(why: impl Into<String>) -> Status {
    let cause = Cause { reason: "UnexpectedServerResponse", message: why.into(), field: String::new() };
    let message = "the server rejected our request due to an error in our request";
    Status::new(Reason::Invalid, message).with_cause(cause)
}
