//! AdmissionReview (admission.k8s.io): what a webhook is sent, and what its answer has to look like.

use api::document::Document;
use api::resource::Served;
use api::status::{Cause, Parts};
use api::{Status, Value};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use serde_json::{Map, json};

use crate::reviews::{Phase, Subject, request};
use crate::verbs::Call;

/// Causes that are taken over from a refusal.
const CAUSES: usize = 100;

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

/// What is sent: the request, and the object and the one before it as they are shown in the version that the webhook's rule names.
pub(super) fn request(
    call: Call<'_>,
    subject: &Subject,
    served: &Served,
    version: ReviewVersion,
    uid: &str,
    [object, old]: [&Value; 2],
) -> Bytes {
    let mut request = request::document(call, subject, served, served);
    request["uid"] = json!(uid);
    request["object"] = object.clone();
    request["oldObject"] = old.clone();
    let review = json!({"kind": "AdmissionReview", "apiVersion": version.api_version(), "request": request});
    review.to_string().into()
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
        let status = Status::said(code, reason, message);
        let details = self.status.at(&["details"]);
        let text = |key| details.text(&[key]).to_owned();
        let cause = |cause: &Value| Cause {
            reason: Cause::kept_reason(cause.text(&["reason"])),
            message: cause.text(&["message"]).to_owned(),
            field: cause.text(&["field"]).to_owned(),
        };
        let seconds = details.int(&["retryAfterSeconds"]).and_then(|seconds| u32::try_from(seconds).ok());
        Status::from(Parts {
            group: text("group"),
            kind: text("kind"),
            name: text("name"),
            uid: text("uid"),
            causes: details.list(&["causes"]).iter().take(CAUSES).map(cause).collect(),
            retry_after_seconds: seconds.unwrap_or(0),
            ..status.parts().clone()
        })
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
        let details = json!({
            "name": "a", "kind": "pods", "causes": [{"reason": "FieldValueInvalid", "message": "m", "field": "spec.x"}],
            "retryAfterSeconds": 7,
        });
        let status = json!({"code": 422, "details": details});
        let reply = read(Phase::Validating, ReviewVersion::V1, json!({"uid": "u", "status": status})).unwrap();
        assert_eq!(reply.refusal("a.b.c").to_value()["details"], details);
    }
}
