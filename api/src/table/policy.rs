//! policy: PodDisruptionBudgets.

use super::Printer;
use super::cell::{AGE, NAME, integer, text};

pub(super) const PRINTERS: &[Printer] = &[Printer {
    resource: "poddisruptionbudgets.policy",
    columns: &[
        NAME,
        text("Min Available", "Fewest pods that must be available."),
        text("Max Unavailable", "Most pods that may be unavailable."),
        integer("Allowed Disruptions", "Pods that may be disrupted now."),
        AGE,
    ],
    print: |row| {
        row.name().text_or(&["spec", "minAvailable"], "N/A").text_or(&["spec", "maxUnavailable"], "N/A");
        row.int(&["status", "disruptionsAllowed"]).age();
    },
}];
