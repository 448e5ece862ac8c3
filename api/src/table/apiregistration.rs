//! apiregistration.k8s.io and apiextensions.k8s.io: kinds about kinds.

use super::Printer;
use super::cell::{AGE, NAME, Row, condition, text};
use super::core::{CREATED_AT, created_at};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "apiservices.apiregistration.k8s.io",
        columns: &[
            NAME,
            text("Service", "Who serves the group and version."),
            text("Available", "Whether it does."),
            AGE,
        ],
        print: api_service,
    },
    Printer { resource: "customresourcedefinitions.apiextensions.k8s.io", columns: CREATED_AT, print: created_at },
];

fn api_service(row: &mut Row<'_>) {
    row.name();
    row.put(match row.object.at(&["spec", "service"]) {
        Value::Null => "Local".to_owned(),
        service => format!("{}/{}", service.text(&["namespace"]), service.text(&["name"])),
    });
    let available = match condition(row.object, "Available") {
        None => "Unknown".to_owned(),
        Some(found) if found.text(&["status"]) == "True" || found.text(&["reason"]).is_empty() => {
            found.text(&["status"]).to_owned()
        }
        Some(found) => format!("{} ({})", found.text(&["status"]), found.text(&["reason"])),
    };
    row.put(available).age();
}
