//! admissionregistration.k8s.io

use super::cell::{AGE, NAME, Row, integer, text};
use super::{Column, Printer};
use crate::document::{Document, Value};
use crate::selector::LabelSelector;

const WEBHOOKS: &[Column] = &[NAME, integer("Webhooks", "How many webhooks there are."), AGE];
const BINDING: &[Column] =
    &[NAME, text("PolicyName", "Policy that is bound."), text("ParamRef", "Parameters that it is bound with."), AGE];

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        columns: WEBHOOKS,
        print: |row| _ = row.name().count(&["webhooks"]).age(),
    },
    Printer {
        resource: "validatingwebhookconfigurations.admissionregistration.k8s.io",
        columns: WEBHOOKS,
        print: |row| _ = row.name().count(&["webhooks"]).age(),
    },
    Printer {
        resource: "validatingadmissionpolicies.admissionregistration.k8s.io",
        columns: &[
            NAME,
            integer("Validations", "How many rules there are."),
            text("ParamKind", "Kind of the policy's parameters."),
            AGE,
        ],
        print: |row| _ = row.name().count(&["spec", "validations"]).of(param_kind).age(),
    },
    Printer {
        resource: "mutatingadmissionpolicies.admissionregistration.k8s.io",
        columns: &[
            NAME,
            integer("Mutations", "How many rules there are."),
            text("ParamKind", "Kind of the policy's parameters."),
            AGE,
        ],
        print: |row| _ = row.name().count(&["spec", "mutations"]).of(param_kind).age(),
    },
    Printer {
        resource: "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        columns: BINDING,
        print: binding,
    },
    Printer {
        resource: "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        columns: BINDING,
        print: binding,
    },
];

fn param_kind(policy: &Value) -> String {
    match policy.at(&["spec", "paramKind"]) {
        Value::Null => "<unset>".to_owned(),
        kind => format!("{}/{}", kind.text(&["apiVersion"]), kind.text(&["kind"])),
    }
}

fn binding(row: &mut Row<'_>) {
    row.name().text(&["spec", "policyName"]);
    let param = row.object.at(&["spec", "paramRef"]);
    let selector = LabelSelector::from_value(param.at(&["selector"]));
    row.put(match (param.text(&["namespace"]), param.text(&["name"])) {
        ("", "") if param.at(&["selector"]).is_null() => "<unset>".to_owned(),
        // The reference prints a Go value here; this is the selector as kubectl takes it.
        (_, "") => selector.map_or_else(|_| "<error>".to_owned(), |selector| selector.to_string()),
        // Whether the parameters have a namespace cannot be told from here.
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    });
    row.age();
}
