//! Tables of apiextensions.k8s.io.

use super::Printer;
use super::cell::{NAME, text};
use crate::document::Document;

pub(super) const PRINTERS: &[Printer] = &[Printer {
    resource: "customresourcedefinitions.apiextensions.k8s.io",
    columns: &[NAME, CREATED],
    print: |row| _ = row.name().of(|object| object.text(&["metadata", "creationTimestamp"])),
}];

const CREATED: super::Column = super::Column { kind: "date", ..text("Created At", "When the object was created.") };
