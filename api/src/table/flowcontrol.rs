//! flowcontrol.apiserver.k8s.io

use super::Printer;
use super::cell::{AGE, NAME, Row, condition, text};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "flowschemas.flowcontrol.apiserver.k8s.io",
        columns: &[
            NAME,
            text("PriorityLevel", "Where matching requests queue."),
            text("MatchingPrecedence", "Which schema matches first: the lowest."),
            text("DistinguisherMethod", "What tells flows apart."),
            AGE,
            text("MissingPL", "Whether the priority level is missing."),
        ],
        print: flow_schema,
    },
    Printer {
        resource: "prioritylevelconfigurations.flowcontrol.apiserver.k8s.io",
        columns: &[
            NAME,
            text("Type", "Limited or Exempt."),
            text("NominalConcurrencyShares", "The level's part of the server's seats."),
            text("Queues", "How many queues there are."),
            text("HandSize", "Queues that one flow may be put into."),
            text("QueueLengthLimit", "Requests that one queue holds."),
            AGE,
        ],
        print: priority_level,
    },
];

fn flow_schema(row: &mut Row<'_>) {
    row.name().text(&["spec", "priorityLevelConfiguration", "name"]).int(&["spec", "matchingPrecedence"]);
    row.text_or(&["spec", "distinguisherMethod", "type"], "<none>").age();
    row.put(condition(row.object, "Dangling").map_or("?", |dangling| dangling.text(&["status"])));
}

fn priority_level(row: &mut Row<'_>) {
    row.name().text(&["spec", "type"]);
    let number = |value: &Value| if value.is_null() { "<none>".into() } else { value.clone() };
    let limited = row.object.at(&["spec", "limited"]);
    row.put(number(limited.at(&["nominalConcurrencyShares"])));
    for field in ["queues", "handSize", "queueLengthLimit"] {
        row.put(number(limited.at(&["limitResponse", "queuing", field])));
    }
    row.age();
}
