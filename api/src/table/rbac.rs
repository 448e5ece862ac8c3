//! rbac.authorization.k8s.io

use super::cell::{AGE, NAME, Row, join, text, wide};
use super::core::{CREATED_AT, created_at};
use super::{Column, Printer};
use crate::document::{Document, Value};

const BINDING: &[Column] = &[
    NAME,
    text("Role", "What is granted."),
    AGE,
    wide("Users", "Users to whom it is granted."),
    wide("Groups", "Groups to whom it is granted."),
    wide("ServiceAccounts", "Service accounts to whom it is granted."),
];

pub(super) const PRINTERS: &[Printer] = &[
    Printer { resource: "roles.rbac.authorization.k8s.io", columns: CREATED_AT, print: created_at },
    Printer { resource: "clusterroles.rbac.authorization.k8s.io", columns: CREATED_AT, print: created_at },
    Printer { resource: "rolebindings.rbac.authorization.k8s.io", columns: BINDING, print: binding },
    Printer { resource: "clusterrolebindings.rbac.authorization.k8s.io", columns: BINDING, print: binding },
];

fn binding(row: &mut Row<'_>) {
    let role = row.object.at(&["roleRef"]);
    row.name().put(format!("{}/{}", role.text(&["kind"]), role.text(&["name"]))).age();
    let subjects = row.object.list(&["subjects"]);
    let of_kind = |kind: &'static str| subjects.iter().filter(move |subject| subject.text(&["kind"]) == kind);
    let names = |kind| join(of_kind(kind).map(|subject| subject.text(&["name"])), ", ");
    let qualified = |subject: &Value| format!("{}/{}", subject.text(&["namespace"]), subject.text(&["name"]));
    let accounts: Vec<String> = of_kind("ServiceAccount").map(qualified).collect();
    row.put(names("User")).put(names("Group")).put(accounts.join(", "));
}
