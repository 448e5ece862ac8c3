//! A write as webhooks and policies see it, and how what they make of it becomes a stored document again.

use api::codec::{self, Decoded};
use api::document::Document;
use api::resource::Served;
use api::schema::Shape;
use api::{Status, Value};

use super::NamespaceLabels;
use crate::admission::Operation;
use crate::subresources::scale;
use crate::verbs::Call;

/// What is reviewed.
#[derive(Clone, Debug)]
pub(crate) struct Subject {
    pub(crate) operation: Operation,
    /// As stored; null for a deletion.
    pub(crate) document: Value,
    /// As stored.
    pub(crate) old: Option<Value>,
    /// What a subresource's body is, where it is no part of the object.
    pub(crate) own: Option<Own>,
    pub(crate) namespace: NamespaceLabels,
}

/// A body that is no part of the object that it is posted to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Own {
    pub(crate) group: &'static str,
    pub(crate) version: &'static str,
    pub(crate) kind: &'static str,
    /// Of the schema.
    pub(crate) type_name: &'static str,
}

impl Own {
    fn api_version(self) -> String {
        if self.group.is_empty() { self.version.to_owned() } else { format!("{}/{}", self.group, self.version) }
    }
}

const SCALE: Own =
    Own { group: "autoscaling", version: "v1", kind: "Scale", type_name: "io.k8s.api.autoscaling.v1.Scale" };

impl Subject {
    fn own_kind(&self, call: Call<'_>) -> Option<Own> {
        self.own.or((call.request.subresource == "scale").then_some(SCALE))
    }

    /// Group, version and kind of what is shown.
    pub(crate) fn kind(&self, call: Call<'_>, served: &Served) -> [String; 3] {
        match self.own_kind(call) {
            Some(own) => [own.group, own.version, own.kind].map(str::to_owned),
            None => [served.group.to_string(), served.version.to_string(), call.resource.kind.to_string()],
        }
    }

    /// metadata.labels of what is shown. A Scale has none.
    pub(crate) fn labels<'a>(&self, call: Call<'_>, document: &'a Value) -> &'a Value {
        match call.request.subresource == "scale" {
            true => &Value::Null,
            false => document.at(&["metadata", "labels"]),
        }
    }

    /// A document as somebody sees it who wants a served version. An error may mean that it has to be converted first
    /// ([`Call::converted`]).
    pub(crate) fn shown(&self, call: Call<'_>, served: usize, document: &Value) -> Result<Value, Status> {
        Ok(match self.own_kind(call) {
            _ if document.is_null() => Value::Null,
            Some(own) if self.own.is_some() => {
                let mut shown = document.clone();
                shown.set(&["kind"], own.kind);
                shown.set(&["apiVersion"], own.api_version());
                shown
            }
            Some(_) => call.rules().scale().map_or(Value::Null, |paths| scale::of_document(&paths, document)),
            None if call.resource.is_custom() => {
                let converted = call.converted(document.clone(), call.request.served, served)?;
                call.as_version(&call.resource.served[served], converted)
            }
            None => call.as_version(&call.resource.served[served], document.clone()),
        })
    }

    /// The type of what is shown.
    pub(crate) fn shape<'a>(&self, call: Call<'a>, served: &Served) -> Option<Shape<'a>> {
        match self.own_kind(call) {
            Some(own) => call.resource.schema.named(own.type_name),
            None => Some(call.resource.shape(served)),
        }
    }

    /// Takes over what somebody made of what it was shown. Answers what does not fit its type, and was left out. An error may
    /// mean that it has to be converted first.
    pub(crate) fn take_back(&mut self, call: Call<'_>, at: usize, patched: Value) -> Result<Vec<String>, Status> {
        let served = &call.resource.served[at];
        let [group, version, kind] = self.kind(call, served);
        let api_version = if group.is_empty() { version } else { format!("{group}/{version}") };
        if patched.text(&["kind"]) != kind || patched.text(&["apiVersion"]) != api_version {
            return Err(Status::internal("a patch changed kind or apiVersion, which is not supported"));
        }
        if self.own.is_some() {
            self.document = patched;
            return Ok(Vec::new());
        }
        if self.own_kind(call).is_some() {
            let paths = call.rules().scale().ok_or_else(Status::unknown_path)?;
            scale::set_replicas(&paths, &patched, &mut self.document);
            return Ok(Vec::new());
        }
        let decoded = codec::conform(call.resource.shape(served), patched);
        let Decoded { mut value, problems } = decoded.map_err(|malformed| Status::internal(malformed.message))?;
        if let Some(custom) = &served.custom {
            custom.prune(&mut value);
            custom.coerce(&mut value).map_err(Status::internal)?;
        }
        value.remove(&["kind"]);
        value.remove(&["apiVersion"]);
        if let Some(convert) = &served.convert {
            (convert.to_stored)(&mut value);
        }
        if call.resource.is_custom() {
            value = call.converted(value, at, call.request.served)?;
        }
        // Who owns which field is settled, and what is changed here is nobody's.
        value.remove(&["metadata", "managedFields"]);
        call.match_path(&mut value)?;
        // A built-in kind has the same rules in all of its versions.
        call.rules().default(&mut value);
        self.document = value;
        Ok(problems)
    }
}
