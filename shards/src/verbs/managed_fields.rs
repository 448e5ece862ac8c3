//! metadata.managedFields on its way through a write: taken out of the documents before anybody compares them, followed
//! ([`api::apply`]), and put back as text when the write is decided.

use api::apply::{Sent, Tracking};
use api::codec::{self, Format, Plain};
use api::document::Document;
use api::{Causes, Status, Value, names};

use super::Call;
use super::body::warn_or_refuse;
use crate::service::{Verb, WriteOptions};

const PATH: [&str; 2] = ["metadata", "managedFields"];
const FIELD: &[u8] = b"managedFields";

/// Takes managedFields out of a document; null where there are none. Text is settled: nobody has to follow them any more.
pub(super) fn take(document: &mut Value) -> Value {
    document.remove(&PATH).unwrap_or_default()
}

/// Takes the text that a stored object's document holds, empty for none.
pub(crate) fn take_text(document: &mut Value) -> String {
    match take(document) {
        Value::String(text) => text,
        _ => String::new(),
    }
}

/// Puts the text into a document that is about to be stored.
pub(crate) fn put(document: &mut Value, text: String) {
    if !text.is_empty() {
        document.set(&PATH, text);
    }
}

/// Puts settled text, empty for none, into a document that will be taken apart once more.
pub(crate) fn settle(document: &mut Value, text: String) {
    document.set(&PATH, text);
}

/// Turns text into the list that clients see.
pub(crate) fn show(document: &mut Value) {
    let list = match document.at(&PATH) {
        Value::String(text) => serde_json::from_str(text).unwrap_or_default(),
        _ => return,
    };
    match list {
        Value::Null => drop(document.remove(&PATH)),
        list => document.set(&PATH, list),
    }
}

/// Prepares a stored object's document for a patch. What the patch does not mention, it does not have to see.
pub(super) fn for_patch(document: &mut Value, patch: &[u8]) {
    if !mentions(patch) {
        document.remove(&PATH);
    }
}

/// Whether text may say something about managedFields.
pub(super) fn mentions(text: &[u8]) -> bool {
    memchr::memmem::find(text, FIELD).is_some()
}

/// Whether a document says that there are none, which no canonical document can: an empty list is not there.
pub(super) fn resets(document: &Value) -> bool {
    document.at(&PATH).as_array().is_some_and(Vec::is_empty)
}

/// Says so in a canonical document.
pub(super) fn reset(document: &mut Value) {
    document.set(&PATH, Value::Array(Vec::new()));
}

/// The same of a body that was decoded to a document.
pub(super) fn reset_if_said(document: &mut Value, body: &[u8], format: Format) {
    if format != Format::Protobuf
        && document.at(&PATH).is_null()
        && mentions(body)
        && codec::plain(body).is_ok_and(|Plain { value, .. }| resets(&value))
    {
        reset(document);
    }
}

impl<'a> Call<'a> {
    /// The options of a write; `None` for a read or a deletion.
    fn write_options(&self) -> Option<&'a WriteOptions> {
        match &self.request.verb {
            Verb::Create { options, .. } | Verb::Update { options, .. } | Verb::Patch { options, .. } => Some(options),
            Verb::Get { .. } | Verb::Delete { .. } | Verb::Restore { .. } => None,
        }
    }

    /// Who writes, as managedFields call it.
    pub(crate) fn field_manager(&self) -> &'a str {
        self.write_options().map_or("", |options| options.field_manager.as_str())
    }

    fn tracking<'t>(&'t self, now: &'t str) -> Tracking<'t> {
        let tracking = Tracking::of(self.resource, self.served, &self.request.subresource, self.field_manager(), now);
        if self.resource.is_custom() { tracking.converted_by(self) } else { tracking }
    }

    /// Who owns what of a new object, whose document is without managedFields; `sent` is what was taken out of it.
    pub(super) fn managers_of_new(&self, document: &Value, sent: Value) -> Result<String, Status> {
        match sent {
            Value::String(settled) => Ok(settled),
            _ if !self.served.is_public() => Ok(String::new()),
            sent => {
                self.check_sent(&sent)?;
                Ok(self.tracking(&self.now()).create(document, Sent::of(&sent)))
            }
        }
    }

    /// Who owns what after an update; `before` is the text of who did, and `sent` what was taken out of the new document.
    pub(super) fn managers_after(
        &self,
        before: &str,
        old: &Value,
        document: &Value,
        sent: Value,
    ) -> Result<String, Status> {
        match sent {
            Value::String(settled) => Ok(settled),
            _ if !self.served.is_public() => Ok(before.to_owned()),
            sent => {
                self.check_sent(&sent)?;
                Ok(self.tracking(&self.now()).update(before, old, document, Sent::of(&sent)))
            }
        }
    }

    /// Complains about names in a list that counts. One that cannot be read does not.
    fn check_sent(&self, sent: &Value) -> Result<(), Status> {
        let is_readable = |entry: &Value| {
            ["Apply", "Update"].contains(&entry.text(&["operation"])) && entry.text(&["fieldsType"]) == "FieldsV1"
        };
        let mut causes = Causes::default();
        if sent.as_array().is_some_and(|list| list.iter().all(is_readable)) {
            names::validate_managers(sent, &mut causes);
        }
        self.invalid_unless_empty(causes)
    }

    /// Server-side apply: the new document (stored version, canonical) with settled managedFields. `live` is the stored
    /// object's document, if there is one.
    pub(crate) fn applied(
        &self,
        live: Option<&Value>,
        body: &[u8],
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let config = config(body, options, warnings)?;
        let applied = self.tracking(&self.now()).apply(live, &config, options.force)?;
        let mut document = applied.document;
        if live.is_none() && !document.uid().is_empty() {
            return Err(self.conflict(&format!(
                "uid mismatch: the provided object specified uid {}, and no existing object was found",
                document.uid()
            )));
        }
        if let Some(custom) = &self.served.custom {
            custom.prune(&mut document);
            custom.coerce(&mut document).map_err(Status::bad_request)?;
            warnings.extend(custom.warning.clone());
        }
        document.remove(&["kind"]);
        document.remove(&["apiVersion"]);
        if let Some(convert) = &self.served.convert {
            (convert.to_stored)(&mut document);
        }
        self.match_path(&mut document)?;
        self.rules().default(&mut document);
        settle(&mut document, applied.managers);
        Ok(document)
    }
}

/// Reads an applied document as it was written.
pub(crate) fn config(body: &[u8], options: &WriteOptions, warnings: &mut Vec<String>) -> Result<Value, Status> {
    let Plain { value, duplicates } = codec::plain(body)
        .map_err(|malformed| Status::bad_request(format!("error decoding YAML: {}", malformed.message)))?;
    if !value.is_object() {
        return Err(Status::bad_request("error decoding YAML: the document is no object"));
    }
    let problems = duplicates.iter().map(|path| format!("duplicate field {path:?}")).collect();
    warn_or_refuse(problems, options, warnings, |why| {
        Status::bad_request(format!("error strict decoding YAML: {why}"))
    })?;
    Ok(value)
}
