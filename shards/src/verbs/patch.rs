//! Changing an object by a patch: applied again to whatever is there when somebody else was faster. Only a patch that
//! names a version or a uid itself can conflict.

use std::sync::Arc;

use api::codec::{self, Decoded};
use api::schema::Shape;
use api::{Causes, Object, Status, Value, patch};

use super::update::{self, Part};
use super::{Call, managed_fields};
use crate::service::{Answer, PatchType, ShardError, Verb, WriteOptions};

/// PATCH of the object itself.
pub(super) async fn patch(call: Call<'_>) -> Result<Answer, ShardError> {
    let is_apply = matches!(call.request.verb, Verb::Patch { patch: PatchType::Apply, .. });
    if is_apply
        && call.shard.sequencer.newest(call.table, &call.key()).object.is_none()
        && let Some(answer) = update::create_instead(call).await?
    {
        return Ok(answer);
    }
    patched(call, Part::Main).await
}

/// PATCH of a part of an object.
pub(crate) async fn patched(call: Call<'_>, part: Part) -> Result<Answer, ShardError> {
    let Verb::Patch { body, patch, options, .. } = &call.request.verb else {
        return Err(call.method_not_allowed().into());
    };
    let mut apply =
        |_: &Arc<Object>, old: &Value, warnings: &mut Vec<String>| apply(call, old, body, *patch, options, warnings);
    update::replace(call, options.dry_run, part, &mut apply).await
}

fn apply(
    call: Call<'_>,
    old: &Value,
    body: &[u8],
    kind: PatchType,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    if kind == PatchType::Apply {
        return call.applied(Some(old), body, options, warnings);
    }
    // Copying a document is cheaper than reading it once more.
    let mut document = old.clone();
    managed_fields::for_patch(&mut document, body);
    let document = call.as_served(document);
    let shape = call.resource.shape(call.served);
    let patch = Patch { kind, body, document: &document, shape, is_secret: call.is("secrets") };
    let (decoded, is_reset) = patch.apply_to_object()?;
    let mut document = call.finish(decoded, options, warnings, |why| patch.refused(why))?;
    if is_reset {
        managed_fields::reset(&mut document);
    }
    Ok(document)
}

/// A patch and what it is for.
#[derive(Clone, Copy)]
pub(crate) struct Patch<'a> {
    pub(crate) kind: PatchType,
    pub(crate) body: &'a [u8],
    pub(crate) document: &'a Value,
    pub(crate) shape: Shape<'a>,
    /// What is wrong goes to the log as well: nothing of the object may stand in it.
    pub(crate) is_secret: bool,
}

impl Patch<'_> {
    /// The patched document, canonical.
    pub(crate) fn apply(&self) -> Result<Decoded, Status> {
        self.apply_to_object().map(|(decoded, _)| decoded)
    }

    /// The same, and whether the patch leaves an empty list of managedFields.
    fn apply_to_object(&self) -> Result<(Decoded, bool), Status> {
        let patched = patch::apply(self.kind, self.body, self.document, self.shape)?;
        let is_reset = managed_fields::resets(&patched);
        let decoded = match self.kind {
            PatchType::Strategic => codec::restore(self.shape, patched),
            PatchType::Json | PatchType::Merge | PatchType::Apply => codec::conform(self.shape, patched),
        };
        Ok((decoded.map_err(|malformed| self.refused(&malformed.message))?, is_reset))
    }

    /// 422: the patch makes something of the object that is none. The reference shows a strategic patch itself, and what
    /// others made.
    pub(crate) fn refused(&self, why: &str) -> Status {
        let shown = match self.kind {
            _ if self.is_secret => "(hidden)".to_owned(),
            PatchType::Strategic => serde_json::from_slice(self.body).map(|patch| go_value(&patch)).unwrap_or_default(),
            PatchType::Json | PatchType::Merge | PatchType::Apply => {
                let patched = patch::apply(self.kind, self.body, self.document, self.shape);
                patched.map(|patched| patched.to_string()).unwrap_or_default()
            }
        };
        let mut causes = Causes::default();
        causes.invalid("patch", &shown.into(), why);
        Status::invalid("", "", "", causes)
    }
}

/// How Go prints a value that it knows nothing about.
fn go_value(value: &Value) -> String {
    let joined = |parts: Vec<String>| parts.join(" ");
    match value {
        Value::Null => "<nil>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => format!("[{}]", joined(items.iter().map(go_value).collect())),
        Value::Object(fields) => {
            format!("map[{}]", joined(fields.iter().map(|(key, value)| format!("{key}:{}", go_value(value))).collect()))
        }
        Value::Bool(_) | Value::Number(_) => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_printed_as_go_does() {
        let value = json!({"metadata": {"labels": "invalid", "a": null}, "b": [1, true, {}]});
        assert_eq!(go_value(&value), "map[b:[1 true map[]] metadata:map[a:<nil> labels:invalid]]");
    }
}
