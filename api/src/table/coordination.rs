//! coordination.k8s.io

use super::Printer;
use super::cell::{AGE, NAME, text};

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "leases.coordination.k8s.io",
        columns: &[NAME, text("Holder", "Who holds the lease."), AGE],
        print: |row| _ = row.name().text(&["spec", "holderIdentity"]).age(),
    },
    Printer {
        resource: "leasecandidates.coordination.k8s.io",
        columns: &[
            NAME,
            text("LeaseName", "Lease that the candidate wants."),
            text("BinaryVersion", "Version of the candidate."),
            text("EmulationVersion", "Version that the candidate acts like."),
            AGE,
        ],
        print: |row| {
            row.name().text(&["spec", "leaseName"]).text(&["spec", "binaryVersion"]);
            row.text(&["spec", "emulationVersion"]).age();
        },
    },
];
