//! JSON patch (RFC 6902), within limits: a small patch must not make a large or deep document.

use json_patch::{Patch, PatchError, PatchOperation};

use super::does_not_apply;
use crate::document::Value;
use crate::status::{Reason, Status};

/// Operations that one patch may have.
const MAX_OPERATIONS: usize = 10_000;
/// Bytes, roughly, that all `copy` operations of one patch may copy.
const MAX_COPIED: usize = 3 << 20;
/// Levels that a patch may build; what is read from clients has at most 128.
const MAX_DEPTH: usize = 256;

pub(super) fn apply(patch: Value, document: &Value) -> Result<Value, Status> {
    run(patch, document)?.map_err(|Failed { at, path, kind, .. }| {
        does_not_apply(format!("operation {at} failed at path {path:?}: {kind}"))
    })
}

/// An operation that did not apply.
pub(super) struct Failed {
    at: usize,
    path: String,
    kind: String,
    /// What the reference calls it.
    words: String,
    /// Whether it was a test that did not hold.
    pub(super) is_test: bool,
}

impl Failed {
    fn new(at: usize, operation: &PatchOperation, document: &Value, error: &PatchError) -> Self {
        let path = operation.path().as_str();
        let (parent, key) = path.rsplit_once('/').unwrap_or(("", path));
        let has_parent = document.pointer(parent).is_some();
        let of_from = |name: &str, from: &str| {
            format!("{name} operation does not apply: doc is missing from path: {from}: missing value")
        };
        let words = match operation {
            PatchOperation::Add(_) => {
                format!("add operation does not apply: doc is missing path: {path:?}: missing value")
            }
            PatchOperation::Remove(_) if has_parent => {
                format!("error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value")
            }
            PatchOperation::Remove(_) => {
                format!("remove operation does not apply: doc is missing path: {path:?}: missing value")
            }
            PatchOperation::Replace(_) => {
                let what = if has_parent { "key" } else { "path" };
                format!("replace operation does not apply: doc is missing {what}: {path}: missing value")
            }
            PatchOperation::Move(from) => of_from("move", from.from.as_str()),
            PatchOperation::Copy(from) => of_from("copy", from.from.as_str()),
            PatchOperation::Test(_) => format!("test operation does not apply: is missing path: {path}: missing value"),
        };
        let is_test = matches!(operation, PatchOperation::Test(_)) && has_parent;
        Self { at, path: error.path.as_str().to_owned(), kind: error.kind.to_string(), words, is_test }
    }

    pub(super) fn words(self) -> String {
        self.words
    }
}

/// The inner error is about an operation that does not apply.
pub(super) fn run(patch: Value, document: &Value) -> Result<Result<Value, Failed>, Status> {
    let Value::Array(operations) = &patch else {
        return Err(Status::bad_request("error decoding patch: a JSON patch is a list of operations"));
    };
    if operations.len() > MAX_OPERATIONS {
        return Err(too_large(&format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            operations.len()
        )));
    }
    let Patch(operations) = serde_json::from_value(patch).map_err(|error| does_not_apply(error.to_string()))?;
    let mut patched = document.clone();
    let mut copied = 0;
    for (at, operation) in operations.iter().enumerate() {
        if is_test_of_nothing(operation, &patched) {
            continue;
        }
        copied += copies(operation, &patched);
        if copied > MAX_COPIED {
            return Err(too_large(&format!("The operations copy over {MAX_COPIED} bytes")));
        }
        if depth_after(operation, &patched) > MAX_DEPTH {
            return Err(does_not_apply(format!("operation {at} nests deeper than {MAX_DEPTH} levels")));
        }
        if let Err(error) = json_patch::patch_unsafe(&mut patched, std::slice::from_ref(operation)) {
            return Ok(Err(Failed::new(at, operation, &patched, &error)));
        }
    }
    Ok(Ok(patched))
}

fn too_large(why: &str) -> Status {
    Status::new(Reason::RequestEntityTooLarge, format!("Request entity too large: {why}"))
}

/// A test for null holds where nothing is, as in the reference.
fn is_test_of_nothing(operation: &PatchOperation, document: &Value) -> bool {
    matches!(operation, PatchOperation::Test(test)
        if test.value.is_null() && document.pointer(test.path.as_str()).is_none())
}

/// Bytes, roughly, that an operation copies within the document.
fn copies(operation: &PatchOperation, document: &Value) -> usize {
    match operation {
        PatchOperation::Copy(copy) => document.pointer(copy.from.as_str()).map_or(0, size),
        _ => 0,
    }
}

/// How deep the value that an operation puts somewhere will lie.
fn depth_after(operation: &PatchOperation, document: &Value) -> usize {
    let value = match operation {
        PatchOperation::Add(add) => Some(&add.value),
        PatchOperation::Replace(replace) => Some(&replace.value),
        PatchOperation::Move(from) => document.pointer(from.from.as_str()),
        PatchOperation::Copy(from) => document.pointer(from.from.as_str()),
        PatchOperation::Remove(_) | PatchOperation::Test(_) => None,
    };
    value.map_or(0, |value| operation.path().tokens().count() + depth(value))
}

fn size(value: &Value) -> usize {
    match value {
        Value::Array(items) => 2 + items.iter().map(|item| 1 + size(item)).sum::<usize>(),
        Value::Object(fields) => 2 + fields.iter().map(|(key, value)| 4 + key.len() + size(value)).sum::<usize>(),
        Value::String(text) => 2 + text.len(),
        _ => 8,
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn operations_apply_in_order() {
        let document = json!({"spec": {"replicas": 1, "list": ["a", "b"], "a/b": 1}});
        let patch = json!([
            {"op": "test", "path": "/spec/replicas", "value": 1},
            {"op": "test", "path": "/spec/none", "value": null},
            {"op": "replace", "path": "/spec/replicas", "value": 3},
            {"op": "add", "path": "/spec/list/-", "value": "c"},
            {"op": "add", "path": "/spec/list/0", "value": "z"},
            {"op": "remove", "path": "/spec/list/1"},
            {"op": "copy", "from": "/spec/replicas", "path": "/spec/copied"},
            {"op": "move", "from": "/spec/a~1b", "path": "/spec/moved"},
        ]);
        let wanted = json!({"spec": {"replicas": 3, "list": ["z", "b", "c"], "copied": 3, "moved": 1}});
        assert_eq!(apply(patch, &document).unwrap(), wanted);
    }

    #[test]
    fn what_does_not_apply_is_422() {
        let document = json!({"spec": {"list": []}});
        for operation in [
            json!({"op": "test", "path": "/spec", "value": 1}),
            json!({"op": "remove", "path": "/none"}),
            json!({"op": "replace", "path": "/none", "value": 1}),
            json!({"op": "add", "path": "/none/a", "value": 1}),
            json!({"op": "add", "path": "/spec/list/1", "value": 1}),
            json!({"op": "move", "from": "/spec/list/-", "path": "/a"}),
            json!({"op": "move", "from": "/spec", "path": "/spec/a"}),
            json!({"op": "copy", "from": "/none", "path": "/a"}),
            json!({"op": "guess", "path": "/a"}),
            json!({"op": "add", "value": 1}),
        ] {
            let status = apply(json!([operation]), &document).unwrap_err();
            assert_eq!((status.code(), status.causes().len()), (422, 1), "{operation}");
        }
        assert_eq!(apply(json!({}), &document).unwrap_err().code(), 400);
    }

    #[test]
    fn small_patches_stay_small() {
        let many = vec![json!({"op": "add", "path": "/a", "value": 1}); MAX_OPERATIONS + 1];
        assert_eq!(apply(Value::Array(many), &json!({})).unwrap_err().code(), 413);
        // Each doubles the document.
        let bomb: Vec<Value> = (0..64).map(|at| json!({"op": "copy", "from": "", "path": format!("/{at}")})).collect();
        assert_eq!(apply(Value::Array(bomb), &json!({"a": "b"})).unwrap_err().code(), 413);
        let well: Vec<Value> = (0..MAX_DEPTH + 1)
            .flat_map(|at| {
                [
                    json!({"op": "add", "path": "/b", "value": {}}),
                    json!({"op": "move", "from": "/a", "path": "/b/a"}),
                    json!({"op": "move", "from": "/b", "path": "/a"}),
                ]
                .into_iter()
                .skip(usize::from(at == 0) * 3)
            })
            .collect();
        assert_eq!(apply(Value::Array(well), &json!({"a": {}})).unwrap_err().code(), 422);
    }
}
