//! certificates.k8s.io

use super::Printer;
use super::cell::{AGE, NAME, Row, condition, text, wide};
use crate::document::{Document, Value};
use crate::time;

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "certificatesigningrequests.certificates.k8s.io",
        columns: &[
            NAME,
            AGE,
            text("SignerName", "Who shall sign."),
            text("Requestor", "Who asks."),
            text("RequestedDuration", "How long the certificate shall be valid."),
            text("Condition", "What became of the request."),
        ],
        print: signing_request,
    },
    Printer {
        resource: "clustertrustbundles.certificates.k8s.io",
        columns: &[NAME, text("SignerName", "Whose certificates are trusted.")],
        print: |row| _ = row.name().text_or(&["spec", "signerName"], "<none>"),
    },
    Printer {
        resource: "podcertificaterequests.certificates.k8s.io",
        columns: &[
            NAME,
            text("PodName", "Pod that the certificate is for."),
            text("ServiceAccountName", "Service account of the pod."),
            text("NodeName", "Node of the pod."),
            text("SignerName", "Who shall sign."),
            text("State", "What became of the request."),
            wide("UnverifiedUserAnnotations", "What the pod says beside."),
        ],
        print: pod_request,
    },
];

fn signing_request(row: &mut Row<'_>) {
    row.name().age().text_or(&["spec", "signerName"], "<none>").text(&["spec", "username"]);
    let expires = row.object.int(&["spec", "expirationSeconds"]);
    row.put(expires.map_or_else(|| "<none>".to_owned(), time::human_duration)).of(signing_status);
}

fn signing_status(request: &Value) -> String {
    let has = |name: &str| condition(request, name).is_some();
    let decision = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (false, true) => "Approved",
        (false, false) => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if request.text(&["status", "certificate"]).is_empty() { "" } else { ",Issued" };
    format!("{decision}{failed}{issued}")
}

fn pod_request(row: &mut Row<'_>) {
    row.name();
    for field in ["podName", "serviceAccountName", "nodeName", "signerName"] {
        row.text(&["spec", field]);
    }
    let mut conditions = row.object.list(&["status", "conditions"]).iter().map(|condition| condition.text(&["type"]));
    let state = conditions.rfind(|name| ["Issued", "Denied", "Failed"].contains(name));
    row.put(state.unwrap_or("Pending")).labels(&["spec", "unverifiedUserAnnotations"]);
}
