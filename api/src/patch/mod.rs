//! The patch types that change a document: JSON patch, merge patch, strategic merge patch. Server-side apply has its room
//! beside them.

use crate::document::Value;
use crate::schema::Shape;
use crate::status::Status;

/// Which patch a body is, by its media type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchType {
    /// application/json-patch+json (RFC 6902)
    Json,
    /// application/merge-patch+json (RFC 7386)
    Merge,
    /// application/strategic-merge-patch+json
    Strategic,
}

/// Applies a patch. The result is not canonical yet (see [`crate::codec::conform`]). A patch that is malformed is a 400,
/// one that does not apply a 422, as in the reference.
pub fn apply(_kind: PatchType, _patch: &[u8], _document: &Value, _shape: Shape<'_>) -> Result<Value, Status> {
    todo!()
}
