//! AdmissionReview (admission.k8s.io): what a webhook is sent, and what its answer has to look like.

use api::document::Document;
use api::resource::Served;
use api::{Status, Value};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, json};

use super::{Phase, Question};
use crate::admission::Operation;
use crate::service::{DeleteOptions, FieldValidation, Propagation, Verb, WriteOptions};
use crate::verbs::Call;

/// The versions of AdmissionReview that this server speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReviewVersion {
    V1,
    V1Beta1,
}

impl ReviewVersion {
    /// The first of admissionReviewVersions that is known.
    pub(super) fn first(versions: &[Value]) -> Option<Self> {
        versions.iter().find_map(|version| match version.as_str() {
            Some("v1") => Some(Self::V1),
            Some("v1beta1") => Some(Self::V1Beta1),
            _ => None,
        })
    }

    fn api_version(self) -> &'static str {
        match self {
            Self::V1 => "admission.k8s.io/v1",
            Self::V1Beta1 => "admission.k8s.io/v1beta1",
        }
    }
}

/// What is sent: the object and the one before it, as they are shown in the version that the webhook's rule names.
pub(super) fn request(
    call: Call<'_>,
    question: &Question,
    served: &Served,
    version: ReviewVersion,
    uid: &str,
    [object, old]: [&Value; 2],
) -> Bytes {
    let kind = |[group, version, kind]: [String; 3]| json!({"group": group, "version": version, "kind": kind});
    let resource = |of: &Served| json!({"group": of.group, "version": of.version, "resource": call.resource.plural});
    let mut request = json!({
        "uid": uid,
        "kind": kind(question.kind(call, served)),
        "resource": resource(served),
        "requestKind": kind(question.kind(call, call.served)),
        "requestResource": resource(call.served),
        "operation": question.operation.name(),
        "userInfo": user(call),
        "object": object,
        "oldObject": old,
        "dryRun": call.is_dry_run(),
        "options": options(call, question.operation),
    });
    let named = call.is("namespaces") && question.operation != Operation::Create;
    let namespace = if named { &call.request.name } else { &call.request.namespace };
    for (key, text) in [
        ("name", &call.request.name),
        ("namespace", namespace),
        ("subResource", &call.request.subresource),
        ("requestSubResource", &call.request.subresource),
    ] {
        if !text.is_empty() {
            request[key] = json!(text);
        }
    }
    let review = json!({"kind": "AdmissionReview", "apiVersion": version.api_version(), "request": request});
    review.to_string().into()
}

fn user(call: Call<'_>) -> Value {
    let user = &call.request.user;
    let mut info = Map::new();
    info.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        info.insert("extra".to_owned(), extra.into());
    }
    info.into()
}

/// Those of what is done, which need not be what was asked for: a patch updates or creates.
fn options(call: Call<'_>, operation: Operation) -> Value {
    let mut options = match &call.request.verb {
        Verb::Create { options, .. } | Verb::Update { options, .. } | Verb::Patch { options, .. } => {
            write_options(options)
        }
        Verb::Delete { options } => delete_options(options),
        Verb::Get { .. } | Verb::Restore { .. } => json!({}),
    };
    options["kind"] = json!(match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
    });
    options["apiVersion"] = json!("meta.k8s.io/v1");
    options
}

fn write_options(options: &WriteOptions) -> Value {
    let mut said = json!({});
    if options.dry_run {
        said["dryRun"] = json!(["All"]);
    }
    if !options.field_manager.is_empty() {
        said["fieldManager"] = json!(options.field_manager);
    }
    match options.field_validation {
        FieldValidation::Ignore => said["fieldValidation"] = json!("Ignore"),
        FieldValidation::Strict => said["fieldValidation"] = json!("Strict"),
        FieldValidation::Warn => {}
    }
    said
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut said = json!({});
    if options.dry_run {
        said["dryRun"] = json!(["All"]);
    }
    if let Some(seconds) = options.grace_period_seconds {
        said["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(propagation) = options.propagation {
        said["propagationPolicy"] = json!(match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        });
    }
    if let Some(uid) = &options.uid {
        said.set(&["preconditions", "uid"], uid.as_str());
    }
    if let Some(version) = options.version {
        said.set(&["preconditions", "resourceVersion"], version.to_string());
    }
    said
}

/// What a webhook decided.
#[derive(Debug, PartialEq)]
pub(super) struct Reply {
    pub(super) allowed: bool,
    /// Why not, as it said it.
    status: Value,
    pub(super) patch: Option<Vec<u8>>,
    pub(super) warnings: Vec<String>,
    /// Kept for the audit log, once there is one.
    pub(super) audit_annotations: Map<String, Value>,
}

impl Reply {
    /// Reads an answer to the review of that uid.
    pub(super) fn read(body: &[u8], version: ReviewVersion, phase: Phase, uid: &str) -> Result<Self, String> {
        let review: Value = serde_json::from_slice(body).map_err(|error| format!("the answer is no JSON: {error}"))?;
        let said = review.at(&["response"]);
        if !said.is_object() {
            return Err("webhook response was absent".to_owned());
        }
        let patch = match said.at(&["patch"]) {
            Value::Null => Vec::new(),
            patch => {
                let decoded = patch.as_str().and_then(|text| BASE64_STANDARD.decode(text).ok());
                decoded.ok_or("webhook returned a response.patch that is no base64")?
            }
        };
        if version == ReviewVersion::V1 {
            check(&review, !patch.is_empty(), phase, uid)?;
        }
        let patch_type = said.text(&["patchType"]);
        if !patch.is_empty() && version == ReviewVersion::V1 && patch_type != "JSONPatch" {
            return Err(format!("webhook returned invalid response.patchType of {patch_type:?}"));
        }
        Ok(Self {
            allowed: said.at(&["allowed"]).as_bool().unwrap_or(false),
            status: said.at(&["status"]).clone(),
            patch: Some(patch).filter(|patch| !patch.is_empty()),
            warnings: said.list(&["warnings"]).iter().filter_map(Value::as_str).map(str::to_owned).collect(),
            audit_annotations: said.at(&["auditAnnotations"]).as_object().cloned().unwrap_or_default(),
        })
    }

    /// What a client is told when the webhook did not allow it.
    pub(super) fn refusal(&self, webhook: &str) -> Status {
        let denied = format!("admission webhook {webhook:?} denied the request");
        let (message, reason) = (self.status.text(&["message"]), self.status.text(&["reason"]));
        let message = match (message, reason) {
            ("", "") => format!("{denied} without explanation"),
            ("", reason) => format!("{denied}: {reason}"),
            (message, _) => format!("{denied}: {message}"),
        };
        // A refusal is a failure, whatever it says.
        let code = self.status.int(&["code"]).and_then(|code| u16::try_from(code).ok()).unwrap_or(0).max(400);
        Status::said(code, reason, message)
    }
}

/// What only v1 demands.
fn check(review: &Value, has_patch: bool, phase: Phase, uid: &str) -> Result<(), String> {
    let (kind, version) = (review.text(&["kind"]), review.text(&["apiVersion"]));
    let said = review.at(&["response"]);
    if said.text(&["uid"]) != uid {
        return Err(format!("expected response.uid {uid:?}, got {:?}", said.text(&["uid"])));
    }
    if kind != "AdmissionReview" || version != ReviewVersion::V1.api_version() {
        return Err(format!(
            "expected webhook response of admission.k8s.io/v1, Kind=AdmissionReview, got {version}, Kind={kind}"
        ));
    }
    let has_type = !said.at(&["patchType"]).is_null();
    match phase {
        Phase::Mutating if has_patch && !has_type => {
            Err("webhook returned response.patch but not response.patchType".to_owned())
        }
        Phase::Mutating if !has_patch && has_type => {
            Err("webhook returned response.patchType but not response.patch".to_owned())
        }
        Phase::Validating if has_patch => Err("validating webhook may not return response.patch".to_owned()),
        Phase::Validating if has_type => Err("validating webhook may not return response.patchType".to_owned()),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(phase: Phase, version: ReviewVersion, response: Value) -> Result<Reply, String> {
        let review = json!({"kind": "AdmissionReview", "apiVersion": version.api_version(), "response": response});
        Reply::read(review.to_string().as_bytes(), version, phase, "u")
    }

    #[test]
    fn answers_are_held_to_what_v1_demands() {
        let (mutating, validating) = (Phase::Mutating, Phase::Validating);
        let wrong = |phase, response| read(phase, ReviewVersion::V1, response).unwrap_err();
        assert_eq!(wrong(mutating, json!({"uid": "x", "allowed": true})), "expected response.uid \"u\", got \"x\"");
        assert_eq!(wrong(mutating, Value::Null), "webhook response was absent");
        let patch = |kind| json!({"uid": "u", "allowed": true, "patch": "W10=", "patchType": kind});
        assert_eq!(wrong(mutating, patch(Value::Null)), "webhook returned response.patch but not response.patchType");
        assert_eq!(wrong(mutating, patch(json!("Merge"))), "webhook returned invalid response.patchType of \"Merge\"");
        assert_eq!(wrong(validating, patch(json!("JSONPatch"))), "validating webhook may not return response.patch");
        let good = read(mutating, ReviewVersion::V1, patch(json!("JSONPatch"))).unwrap();
        assert_eq!((good.allowed, good.patch.as_deref()), (true, Some(b"[]".as_slice())));
        // The older version said neither uid nor type.
        let old = read(mutating, ReviewVersion::V1Beta1, json!({"allowed": true, "patch": "W10="})).unwrap();
        assert!(old.patch.is_some());
    }

    #[test]
    fn refusals_say_who_and_why() {
        let refusal = |status: Value| {
            let reply = read(Phase::Validating, ReviewVersion::V1, json!({"uid": "u", "status": status})).unwrap();
            assert!(!reply.allowed);
            let status = reply.refusal("a.b.c");
            (status.code(), status.message().to_owned())
        };
        let denied = "admission webhook \"a.b.c\" denied the request";
        assert_eq!(refusal(Value::Null), (400, format!("{denied} without explanation")));
        assert_eq!(refusal(json!({"code": 200, "reason": "Odd"})), (400, format!("{denied}: Odd")));
        assert_eq!(refusal(json!({"code": 418, "message": "no tea"})), (418, format!("{denied}: no tea")));
    }
}
