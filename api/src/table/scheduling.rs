//! scheduling.k8s.io

use super::Printer;
use super::cell::{AGE, NAME, Row, boolean, condition, integer, text};
use crate::document::Document;

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "priorityclasses.scheduling.k8s.io",
        columns: &[
            NAME,
            integer("Value", "Priority of the class's pods."),
            boolean("Global-Default", "Whether pods without a class are of this one."),
            AGE,
            text("PreemptionPolicy", "Whether the class's pods take the place of others."),
        ],
        print: |row| {
            row.name().int(&["value"]).bool(&["globalDefault"], false).age().text(&["preemptionPolicy"]);
        },
    },
    Printer { resource: "workloads.scheduling.k8s.io", columns: &[NAME, AGE], print: |row| _ = row.name().age() },
    Printer {
        resource: "podgroups.scheduling.k8s.io",
        columns: &[
            NAME,
            text("Policy", "Basic or Gang."),
            text("Workload", "What the group is part of."),
            text("Status", "Whether the group is scheduled."),
            AGE,
        ],
        print: pod_group,
    },
];

fn pod_group(row: &mut Row<'_>) {
    let group = row.object;
    let gang = !group.at(&["spec", "schedulingPolicy", "gang"]).is_null();
    row.name().put(if gang { "Gang" } else { "Basic" });
    row.text_or(&["spec", "podGroupTemplateRef", "workload", "workloadName"], "<none>");
    let scheduled = condition(group, "PodGroupScheduled").map(|found| found.text(&["status"]));
    let disrupted = condition(group, "DisruptionTarget").map(|found| found.text(&["reason"]));
    row.put(match (disrupted, scheduled) {
        (Some(reason), _) => reason,
        (None, Some("True")) => "Scheduled",
        (None, Some(_)) => "Unschedulable",
        (None, None) => "Pending",
    });
    row.age();
}
