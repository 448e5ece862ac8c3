//! What webhooks are shown of a write, and how what they make of it becomes a stored document again.

use api::codec::{self, Decoded};
use api::document::Document;
use api::resource::Served;
use api::{Status, Value};

use super::Question;
use crate::subresources::scale;
use crate::verbs::Call;

/// A body that is no part of the object that it is posted to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
}

impl Own {
    fn api_version(self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

const SCALE: Own = Own { group: "autoscaling", version: "v1", kind: "Scale" };

impl Question {
    fn own_kind(&self, call: Call<'_>) -> Option<Own> {
        self.own.or((call.request.subresource == "scale").then_some(SCALE))
    }

    /// Group, version and kind of what is shown.
    pub(super) fn kind(&self, call: Call<'_>, served: &Served) -> [String; 3] {
        match self.own_kind(call) {
            Some(own) => [own.group, own.version, own.kind].map(str::to_owned),
            None => [served.group.to_string(), served.version.to_string(), call.resource.kind.to_string()],
        }
    }

    /// metadata.labels of what is shown. A Scale has none.
    pub(super) fn labels<'a>(&self, call: Call<'_>, document: &'a Value) -> &'a Value {
        match call.request.subresource == "scale" {
            true => &Value::Null,
            false => document.at(&["metadata", "labels"]),
        }
    }

    /// A document as a webhook sees it that wants a served version.
    pub(super) async fn shown(&self, call: Call<'_>, served: usize, document: &Value) -> Result<Value, Status> {
        Ok(match self.own_kind(call) {
            _ if document.is_null() => Value::Null,
            Some(own) if self.own.is_some() => {
                let mut shown = document.clone();
                shown.set(&["kind"], own.kind);
                shown.set(&["apiVersion"], own.api_version());
                shown
            }
            Some(_) => call.rules().scale().map_or(Value::Null, |paths| scale::of_document(&paths, document)),
            None if call.resource.is_custom() && served != call.request.served => {
                let converted = call.document_in(document, call.request.served, served).await?;
                call.as_version(&call.resource.served[served], converted)
            }
            None => call.as_version(&call.resource.served[served], document.clone()),
        })
    }

    /// Takes over what a webhook made of what it was shown.
    pub(super) async fn take_back(&mut self, call: Call<'_>, at: usize, patched: Value) -> Result<(), Status> {
        let served = &call.resource.served[at];
        let [group, version, kind] = self.kind(call, served);
        let api_version = if group.is_empty() { version } else { format!("{group}/{version}") };
        if patched.text(&["kind"]) != kind || patched.text(&["apiVersion"]) != api_version {
            return Err(Status::internal("a mutating webhook changed kind or apiVersion, which is not supported"));
        }
        if self.own.is_some() {
            self.document = patched;
            return Ok(());
        }
        if self.own_kind(call).is_some() {
            let paths = call.rules().scale().ok_or_else(Status::unknown_path)?;
            scale::set_replicas(&paths, &patched, &mut self.document);
            return Ok(());
        }
        let decoded = codec::conform(call.resource.shape(served), patched);
        let Decoded { mut value, .. } = decoded.map_err(|malformed| Status::internal(malformed.message))?;
        if let Some(custom) = &served.custom {
            custom.prune(&mut value);
            custom.coerce(&mut value).map_err(Status::internal)?;
        }
        value.remove(&["kind"]);
        value.remove(&["apiVersion"]);
        if let Some(convert) = &served.convert {
            (convert.to_stored)(&mut value);
        }
        if call.resource.is_custom() && at != call.request.served {
            value = call.document_in(&value, at, call.request.served).await?;
        }
        // Who owns which field is settled, and what webhooks change is nobody's.
        value.remove(&["metadata", "managedFields"]);
        call.match_path(&mut value)?;
        // A built-in kind has the same rules in all of its versions.
        call.rules().default(&mut value);
        self.document = value;
        Ok(())
    }
}
