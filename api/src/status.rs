//! `Status`: the only error that leaves a Kubernetes API (API conventions, "Response Status Kind").

use std::collections::HashSet;
use std::fmt;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::{Map, Value, json};

/// metav1.StatusReason: the machine-readable why. `code` is derived from it (see [`Reason::code`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// 400
    BadRequest,
    /// 401
    Unauthorized,
    /// 403
    Forbidden,
    /// 404
    NotFound,
    /// 405
    MethodNotAllowed,
    /// 406
    NotAcceptable,
    /// 409: create of what exists
    AlreadyExists,
    /// 409: a precondition or resourceVersion did not hold
    Conflict,
    /// 410: the version asked for is gone for good
    Gone,
    /// 410: the version asked for has left the window
    Expired,
    /// 413
    RequestEntityTooLarge,
    /// 415
    UnsupportedMediaType,
    /// 422
    Invalid,
    /// 429
    TooManyRequests,
    /// 500
    InternalError,
    /// 503
    ServiceUnavailable,
    /// 504
    Timeout,
}

impl Reason {
    /// The HTTP status that goes with it.
    pub const fn code(self) -> u16 {
        match self {
            Self::BadRequest => 400,
            Self::Unauthorized => 401,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::NotAcceptable => 406,
            Self::AlreadyExists | Self::Conflict => 409,
            Self::Gone | Self::Expired => 410,
            Self::RequestEntityTooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Invalid => 422,
            Self::TooManyRequests => 429,
            Self::InternalError => 500,
            Self::ServiceUnavailable => 503,
            Self::Timeout => 504,
        }
    }
}

/// One field's complaint: metav1.StatusCause.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// `FieldValueInvalid`, `FieldValueRequired`, … (metav1.CauseType)
    pub reason: &'static str,
    /// What is wrong, as field.Error's `ErrorBody` words it.
    pub message: String,
    /// Path of the field, as in `spec.template.spec.containers[0].name`; empty for the whole object.
    pub field: String,
}

impl Cause {
    /// A reason that somebody else said: a peer, or a webhook. Reasons are constants of programs, a few dozen of them, so each is
    /// kept for ever, once, as long as there are not too many.
    pub fn kept_reason(reason: &str) -> &'static str {
        const MOST: usize = 1000;
        static KEPT: LazyLock<Mutex<HashSet<&'static str>>> = LazyLock::new(Mutex::default);
        // Nothing panics while it is held.
        let mut kept = KEPT.lock().unwrap_or_else(PoisonError::into_inner);
        match kept.get(reason) {
            Some(known) => known,
            None if kept.len() < MOST && reason.len() <= 128 => {
                let reason: &'static str = reason.to_owned().leak();
                kept.insert(reason);
                reason
            }
            None => "UnknownCause",
        }
    }
}

/// The complaints about one object, in the order in which its fields were looked at (field.ErrorList); and what its writer is
/// warned of, whether or not there are any.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causes(pub Vec<Cause>, Vec<String>);

/// How long a rejected value may be before it is cut in a message: nobody wants a megabyte back.
const SHOWN: usize = 256;

impl Causes {
    /// Whether nothing is wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A text for a Warning header.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.1.push(text.into());
    }

    /// Those texts, which are the caller's from now on.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.1)
    }

    /// A field that must be set is not (field.Required).
    pub fn required(&mut self, field: impl Into<String>, detail: &str) {
        let message = if detail.is_empty() { "Required value".to_owned() } else { format!("Required value: {detail}") };
        self.push("FieldValueRequired", field, message);
    }

    /// A value that cannot be (field.Invalid).
    pub fn invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        self.push("FieldValueInvalid", field, format!("Invalid value: {}: {detail}", shown(value)));
    }

    /// A value that stands twice where it may stand once (field.Duplicate).
    pub fn duplicate(&mut self, field: impl Into<String>, value: &Value) {
        self.push("FieldValueDuplicate", field, format!("Duplicate value: {}", shown(value)));
    }

    /// A value outside a closed set (field.NotSupported).
    pub fn not_supported(&mut self, field: impl Into<String>, value: &Value, supported: &[&str]) {
        let quoted: Vec<String> = supported.iter().map(|name| format!("{name:?}")).collect();
        let message = format!("Unsupported value: {}: supported values: {}", shown(value), quoted.join(", "));
        self.push("FieldValueNotSupported", field, message);
    }

    /// A value that names something that is not there (field.NotFound).
    pub fn not_found(&mut self, field: impl Into<String>, value: &Value) {
        self.push("FieldValueNotFound", field, format!("Not found: {}", shown(value)));
    }

    /// A field that may not be set or changed here (field.Forbidden).
    pub fn forbidden(&mut self, field: impl Into<String>, detail: &str) {
        self.push("FieldValueForbidden", field, format!("Forbidden: {detail}"));
    }

    /// A value of another type (field.TypeInvalid).
    pub fn type_invalid(&mut self, field: impl Into<String>, value: &Value, detail: &str) {
        self.push("FieldValueTypeInvalid", field, format!("Invalid value: {}: {detail}", shown(value)));
    }

    /// More elements than there may be (field.TooMany).
    pub fn too_many(&mut self, field: impl Into<String>, count: u64, max: u64) {
        let items = if max == 1 { "item" } else { "items" };
        self.push("FieldValueTooMany", field, format!("Too many: {count}: must have at most {max} {items}"));
    }

    /// A text longer than `max` bytes (field.TooLong).
    pub fn too_long(&mut self, field: impl Into<String>, max: usize) {
        let unit = if max == 1 { "byte" } else { "bytes" };
        self.push("FieldValueTooLong", field, format!("Too long: may not be more than {max} {unit}"));
    }

    /// What the server itself could not do about a field (field.InternalError).
    pub fn internal(&mut self, field: impl Into<String>, detail: &str) {
        self.push("InternalError", field, format!("Internal error: {detail}"));
    }

    fn push(&mut self, reason: &'static str, field: impl Into<String>, message: String) {
        self.0.push(Cause { reason, message, field: field.into() });
    }
}

fn shown(value: &Value) -> String {
    let mut text = match value {
        Value::Null => "null".to_owned(),
        other => other.to_string(),
    };
    if text.len() > SHOWN {
        let mut end = SHOWN;
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        text.truncate(end);
        text.push('…');
    }
    text
}

/// metav1.Status of a failure. Cheap to move: the rare parts are behind one box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status(Box<Parts>);

/// All of a [`Status`], for whoever hands it to another process.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields of metav1.Status and metav1.StatusDetails")]
pub struct Parts {
    pub reason: Reason,
    pub message: String,
    pub group: String,
    pub kind: String,
    pub name: String,
    pub uid: String,
    pub causes: Vec<Cause>,
    pub retry_after_seconds: u32,
    /// metadata.continue
    pub continuation: String,
    /// Code and reason, where somebody else chose them: see [`Status::said`].
    pub said: Option<(u16, String)>,
    /// Texts for Warning headers, which are no part of the document.
    pub warnings: Vec<String>,
}

impl From<Parts> for Status {
    fn from(parts: Parts) -> Self {
        Self(Box::new(parts))
    }
}

impl Status {
    /// A failure with a reason and a sentence, and no details.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self(Box::new(Parts {
            reason,
            message: message.into(),
            group: String::new(),
            kind: String::new(),
            name: String::new(),
            uid: String::new(),
            causes: Vec::new(),
            retry_after_seconds: 0,
            continuation: String::new(),
            said: None,
            warnings: Vec::new(),
        }))
    }

    /// What somebody else answers through this server, such as an admission webhook: any code from 400 on, and a reason that
    /// may be empty, or none of the known ones.
    pub fn said(code: u16, reason: &str, message: impl Into<String>) -> Self {
        let code = if (400..=599).contains(&code) { code } else { 500 };
        let known = match code {
            403 => Reason::Forbidden,
            404 => Reason::NotFound,
            409 => Reason::Conflict,
            422 => Reason::Invalid,
            500.. => Reason::InternalError,
            _ => Reason::BadRequest,
        };
        let mut status = Self::new(known, message);
        status.0.said = Some((code, reason.to_owned()));
        status
    }

    /// 404 for one object. `resource` is the plural, as in `deployments`.
    pub fn not_found(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} not found", qualified(group, resource));
        Self::new(Reason::NotFound, message).about(group, resource, name)
    }

    /// 404 for a path that is no resource at all.
    pub fn unknown_path() -> Self {
        Self::new(Reason::NotFound, "the server could not find the requested resource")
    }

    /// 409 for a create of what exists.
    pub fn already_exists(group: &str, resource: &str, name: &str) -> Self {
        let message = format!("{} {name:?} already exists", qualified(group, resource));
        Self::new(Reason::AlreadyExists, message).about(group, resource, name)
    }

    /// 409 for a precondition that did not hold; `why` ends the sentence.
    pub fn conflict(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let message = format!("Operation cannot be fulfilled on {} {name:?}: {why}", qualified(group, resource));
        Self::new(Reason::Conflict, message).about(group, resource, name)
    }

    /// 409 for a stale resourceVersion, in the reference's words.
    pub fn stale(group: &str, resource: &str, name: &str) -> Self {
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        Self::conflict(group, resource, name, why)
    }

    /// 422 with a cause per field. `kind` is the Kind, as in `Deployment`. Must not be called without causes.
    pub fn invalid(group: &str, kind: &str, name: &str, causes: Causes) -> Self {
        let lines: Vec<String> = causes.0.iter().map(line).collect();
        let text = if lines.len() == 1 { lines[0].clone() } else { format!("[{}]", lines.join(", ")) };
        let message = format!("{} {name:?} is invalid: {text}", qualified(group, kind));
        let mut status = Self::new(Reason::Invalid, message).about(group, kind, name);
        status.0.causes = causes.0;
        status
    }

    /// 400 with a sentence.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(Reason::BadRequest, message)
    }

    /// 403 for one object; `why` ends the sentence.
    pub fn forbidden(group: &str, resource: &str, name: &str, why: &str) -> Self {
        let what = qualified(group, resource);
        let message = match name {
            "" => format!("{what} is forbidden: {why}"),
            _ => format!("{what} {name:?} is forbidden: {why}"),
        };
        Self::new(Reason::Forbidden, message).about(group, resource, name)
    }

    /// 401.
    pub fn unauthorized() -> Self {
        Self::new(Reason::Unauthorized, "Unauthorized")
    }

    /// 405: `verb` is Kubernetes' (`create`, `deletecollection`, …).
    pub fn method_not_allowed(group: &str, resource: &str, verb: &str) -> Self {
        let message = format!("{verb} is not supported on resources of kind {:?}", qualified(group, resource));
        Self::new(Reason::MethodNotAllowed, message).about(group, resource, "")
    }

    /// 410 for a version that has left the window.
    pub fn expired(message: impl Into<String>) -> Self {
        Self::new(Reason::Expired, message)
    }

    /// 504 with the cause that makes client-go retry: the version asked for is not released yet.
    pub fn version_too_large(asked: impl fmt::Display, current: impl fmt::Display) -> Self {
        let message = format!("Timeout: Too large resource version: {asked}, current: {current}");
        let mut status = Self::new(Reason::Timeout, message).retry_after(1);
        let text = "Too large resource version".to_owned();
        status.0.causes.push(Cause { reason: "ResourceVersionTooLarge", message: text, field: String::new() });
        status
    }

    /// 500: `message` is for the log and for the client; it must hold no secret.
    pub fn internal(message: impl fmt::Display) -> Self {
        Self::new(Reason::InternalError, format!("Internal error occurred: {message}"))
    }

    /// 503 with Retry-After: a part of the service cannot answer now.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(Reason::ServiceUnavailable, message).retry_after(1)
    }

    /// Says which object it is about. `kind` holds the plural for most reasons and the Kind for Invalid, as in the
    /// reference.
    pub fn about(mut self, group: &str, kind: &str, name: &str) -> Self {
        self.0.group = group.to_owned();
        self.0.kind = kind.to_owned();
        self.0.name = name.to_owned();
        self
    }

    /// Adds the object's uid to the details.
    pub fn with_uid(mut self, uid: &str) -> Self {
        self.0.uid = uid.to_owned();
        self
    }

    /// Adds one cause to the details.
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.0.causes.push(cause);
        self
    }

    /// Asks the client to come back after `seconds`.
    pub fn retry_after(mut self, seconds: u32) -> Self {
        self.0.retry_after_seconds = seconds;
        self
    }

    /// Adds the token with which a list that cannot go on as it began can go on otherwise.
    #[must_use]
    pub fn continues(mut self, token: String) -> Self {
        self.0.continuation = token;
        self
    }

    /// Warns beside the failure, before what it warns of already.
    #[must_use]
    pub fn with_warnings(mut self, mut warnings: Vec<String>) -> Self {
        warnings.append(&mut self.0.warnings);
        self.0.warnings = warnings;
        self
    }

    /// The HTTP status.
    pub fn code(&self) -> u16 {
        self.0.said.as_ref().map_or_else(|| self.0.reason.code(), |(code, _)| *code)
    }

    /// All of it.
    pub fn parts(&self) -> &Parts {
        &self.0
    }

    /// The machine-readable reason.
    pub fn reason(&self) -> Reason {
        self.0.reason
    }

    /// The sentence.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// The causes, empty for most reasons.
    pub fn causes(&self) -> &[Cause] {
        &self.0.causes
    }

    /// Seconds for a Retry-After header, 0 for none.
    pub fn retry_after_seconds(&self) -> u32 {
        self.0.retry_after_seconds
    }

    /// The `Status` document as it goes over the wire.
    pub fn to_value(&self) -> Value {
        let Parts { reason, message, group, kind, name, uid, causes, retry_after_seconds, continuation, said, .. } =
            &*self.0;
        let mut details = Map::new();
        for (key, text) in [("group", group), ("kind", kind), ("name", name), ("uid", uid)] {
            if !text.is_empty() {
                details.insert(key.to_owned(), json!(text));
            }
        }
        if !causes.is_empty() {
            details.insert("causes".to_owned(), causes.iter().map(cause_value).collect());
        }
        if *retry_after_seconds > 0 {
            details.insert("retryAfterSeconds".to_owned(), json!(retry_after_seconds));
        }
        let mut status = json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
            "message": message, "reason": format!("{reason:?}"), "code": self.code(),
        });
        match said {
            Some((_, reason)) if reason.is_empty() => drop(status.as_object_mut().and_then(|map| map.remove("reason"))),
            Some((_, reason)) => status["reason"] = json!(reason),
            None => {}
        }
        if !continuation.is_empty() {
            status["metadata"]["continue"] = json!(continuation);
        }
        // Clients read these without a look whether they are there: kubectl debug panics over a 404 that has none.
        let always = matches!(
            reason,
            Reason::NotFound
                | Reason::MethodNotAllowed
                | Reason::TooManyRequests
                | Reason::InternalError
                | Reason::Timeout
        );
        if always || !details.is_empty() {
            status["details"] = Value::Object(details);
        }
        status
    }
}

fn cause_value(cause: &Cause) -> Value {
    let mut value = json!({ "message": cause.message });
    for (key, text) in [("reason", cause.reason), ("field", cause.field.as_str())] {
        if !text.is_empty() {
            value[key] = json!(text);
        }
    }
    value
}

fn line(cause: &Cause) -> String {
    if cause.field.is_empty() { cause.message.clone() } else { format!("{}: {}", cause.field, cause.message) }
}

fn qualified(group: &str, resource: &str) -> String {
    if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Status {}

#[cfg(test)]
mod tests;
