//! internal.apiserver.k8s.io: StorageVersions.

use super::Printer;
use super::cell::{AGE, NAME, some_of, text};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[Printer {
    resource: "storageversions.internal.apiserver.k8s.io",
    columns: &[
        NAME,
        text("CommonEncodingVersion", "Version that all servers write."),
        text("StorageVersions", "Version that each server writes."),
        AGE,
    ],
    print: |row| {
        row.name().text_or(&["status", "commonEncodingVersion"], "<unset>").of(versions).age();
    },
}];

fn versions(object: &Value) -> String {
    let version =
        |version: &Value| format!("{}={}", version.text(&["apiServerID"]), version.text(&["encodingVersion"]));
    let versions: Vec<String> = object.list(&["status", "storageVersions"]).iter().map(version).collect();
    if versions.is_empty() { "<unset>".to_owned() } else { some_of(&versions, 3, ",") }
}
