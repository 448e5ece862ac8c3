//! OpenAPI v3 documents, generated from the schema.

use crate::document::Value;
use crate::resource::Registry;

/// `/openapi/v3`'s paths: `api/v1`, `apis/apps/v1`, … of that registry.
pub fn group_versions(_registry: &Registry) -> Vec<String> {
    todo!()
}

/// The document of one group version.
pub fn document(_registry: &Registry, _group: &str, _version: &str) -> Option<Value> {
    todo!()
}
