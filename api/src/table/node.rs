//! node.k8s.io: RuntimeClasses.

use super::Printer;
use super::cell::{AGE, NAME, text};

pub(super) const PRINTERS: &[Printer] = &[Printer {
    resource: "runtimeclasses.node.k8s.io",
    columns: &[NAME, text("Handler", "What runs the pods."), AGE],
    print: |row| _ = row.name().text(&["handler"]).age(),
}];
