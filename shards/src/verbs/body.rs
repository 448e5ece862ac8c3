//! A request's body as a document in the stored version.

use api::codec::{self, Decoded};
use api::document::Document;
use api::schema::Shape;
use api::{Status, Value};

use super::{Call, managed_fields};
use crate::service::{FieldValidation, Format, WriteOptions};

impl Call<'_> {
    /// Decodes an object of the served version, converts and defaults it. `kind` and `apiVersion` are checked and gone.
    pub(crate) fn decode(
        &self,
        body: &[u8],
        format: Format,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
    ) -> Result<Value, Status> {
        let refuse = |why: &str| Status::bad_request(self.unhandled(&self.resource.kind, why));
        match codec::decode(self.resource.shape(self.served), body, format) {
            Ok(decoded) => {
                let mut document = self.finish(decoded, options, warnings, refuse)?;
                managed_fields::reset_if_said(&mut document, body, format);
                Ok(document)
            }
            Err(malformed) => Err(codec::refusal(&self.resource.kind, &self.served.version, body, format, &malformed)),
        }
    }

    /// The same behind decoding; `refuse` says what a strict reader would not have taken.
    pub(crate) fn finish(
        &self,
        decoded: Decoded,
        options: &WriteOptions,
        warnings: &mut Vec<String>,
        refuse: impl FnOnce(&str) -> Status,
    ) -> Result<Value, Status> {
        let Decoded { mut value, mut problems } = decoded;
        let kind = value.text(&["kind"]);
        if !kind.is_empty() && kind != self.resource.kind {
            let why = format!("no kind {kind:?} is served here");
            return Err(Status::bad_request(self.unhandled(kind, &why)));
        }
        let version = value.text(&["apiVersion"]);
        let expected = self.served.api_version();
        if !version.is_empty() && version != expected {
            return Err(Status::bad_request(format!(
                "the API version in the data ({version}) does not match the expected API version ({expected})"
            )));
        }
        if let Some(custom) = &self.served.custom {
            let unknown = custom.prune(&mut value);
            let inside = match custom.coerce(&mut value) {
                Ok(inside) => inside,
                Err(why) => return Err(refuse(&why)),
            };
            problems.extend(unknown.iter().chain(&inside).map(|path| format!("unknown field {path:?}")));
            warnings.extend(custom.warning.clone());
        }
        warn_or_refuse(problems, options, warnings, refuse)?;
        value.remove(&["kind"]);
        value.remove(&["apiVersion"]);
        if let Some(convert) = &self.served.convert {
            (convert.to_stored)(&mut value);
        }
        // Some defaults depend on the name.
        self.match_path(&mut value)?;
        self.rules().default(&mut value);
        Ok(value)
    }

    fn unhandled(&self, kind: &str, why: &str) -> String {
        format!("{kind} in version {:?} cannot be handled as a {}: {why}", self.served.version, self.resource.kind)
    }
}

/// What fieldValidation makes of unknown and duplicate fields.
pub(crate) fn warn_or_refuse(
    problems: Vec<String>,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
    refuse: impl FnOnce(&str) -> Status,
) -> Result<(), Status> {
    match options.field_validation {
        _ if problems.is_empty() => {}
        FieldValidation::Ignore => {}
        FieldValidation::Warn => warnings.extend(problems),
        FieldValidation::Strict => {
            let why = format!("strict decoding error: {}", problems.join(", "));
            return Err(refuse(&why));
        }
    }
    Ok(())
}

/// Decodes the body of a subresource that has a kind of its own.
pub(crate) fn decode_other(
    shape: Shape<'_>,
    kind: &str,
    body: &[u8],
    format: Format,
    options: &WriteOptions,
    warnings: &mut Vec<String>,
) -> Result<Value, Status> {
    let refuse =
        |why: &str| Status::bad_request(format!("{kind} in version \"v1\" cannot be handled as a {kind}: {why}"));
    let Decoded { value, problems } =
        codec::decode(shape, body, format).map_err(|malformed| codec::refusal(kind, "v1", body, format, &malformed))?;
    let have = value.text(&["kind"]);
    if !have.is_empty() && have != kind {
        return Err(Status::bad_request(format!("{have} cannot be handled as a {kind}")));
    }
    warn_or_refuse(problems, options, warnings, refuse)?;
    Ok(value)
}
