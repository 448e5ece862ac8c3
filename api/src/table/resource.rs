//! resource.k8s.io: devices, and claims on them.

use super::Printer;
use super::cell::{AGE, NAME, Row, condition, int, integer, is_true, text};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[
    Printer { resource: "deviceclasses.resource.k8s.io", columns: &[NAME, AGE], print: |row| _ = row.name().age() },
    Printer {
        resource: "resourceclaims.resource.k8s.io",
        columns: &[NAME, text("State", "Whether devices are allocated and reserved."), AGE],
        print: |row| _ = row.name().of(claim_state).age(),
    },
    Printer {
        resource: "resourceclaimtemplates.resource.k8s.io",
        columns: &[NAME, AGE],
        print: |row| _ = row.name().age(),
    },
    Printer {
        resource: "resourceslices.resource.k8s.io",
        columns: &[
            NAME,
            text("Node", "Where the devices are."),
            text("Driver", "Who drives them."),
            text("Pool", "Pool of the devices."),
            AGE,
        ],
        print: |row| {
            row.name().text(&["spec", "nodeName"]).text(&["spec", "driver"]).text(&["spec", "pool", "name"]).age();
        },
    },
    Printer {
        resource: "devicetaintrules.resource.k8s.io",
        columns: &[
            NAME,
            text("Key", "Key of the taint."),
            text("Value", "Value of the taint."),
            text("Effect", "What the taint does."),
            text("TimeAdded", "Time since the taint was added."),
            AGE,
        ],
        print: taint_rule,
    },
    Printer {
        resource: "resourcepoolstatusrequests.resource.k8s.io",
        columns: &[
            NAME,
            text("Driver", "Driver whose pools are asked about."),
            text("Total", "Devices."),
            text("Available", "Devices that are free."),
            text("Allocated", "Devices that are not."),
            text("Unavailable", "Devices that cannot be used."),
            text("Errors", "Pools that are not valid."),
            integer("Pools", "Pools that match."),
            text("Status", "Whether the request was answered."),
            text("Completed", "Time since it was answered."),
        ],
        print: pool_status,
    },
];

fn claim_state(claim: &Value) -> String {
    let deleted = claim.is_deleting();
    let allocated = !claim.at(&["status", "allocation"]).is_null();
    let reserved = allocated && !claim.list(&["status", "reservedFor"]).is_empty();
    let states =
        [(deleted, "deleted"), (!allocated && !deleted, "pending"), (allocated, "allocated"), (reserved, "reserved")];
    super::cell::join(states.iter().filter(|(holds, _)| *holds).map(|(_, state)| *state), ",")
}

fn taint_rule(row: &mut Row<'_>) {
    row.name();
    for field in ["key", "value", "effect"] {
        row.text(&["spec", "taint", field]);
    }
    let added = match row.object.text(&["spec", "taint", "timeAdded"]) {
        "" => String::new(),
        at => row.since(at),
    };
    row.put(added).age();
}

fn pool_status(row: &mut Row<'_>) {
    let request = row.object;
    let pools = request.list(&["status", "pools"]);
    let count = int(request, &["status", "poolCount"]);
    row.name().text(&["spec", "driver"]);
    let (complete, failed) = (is_true(request, "Complete"), is_true(request, "Failed"));
    let counted = !request.at(&["status"]).is_null() && (complete || !failed);
    for field in ["totalDevices", "availableDevices", "allocatedDevices", "unavailableDevices"] {
        let sum: i64 = pools.iter().map(|pool| int(pool, &[field])).sum();
        row.put(if counted { sum.to_string() } else { "-".to_owned() });
    }
    let errors = pools.iter().filter(|pool| !pool.at(&["validationError"]).is_null()).count();
    row.put(if counted { errors.to_string() } else { "-".to_owned() }).put(count);
    row.put(match (complete, failed) {
        (true, _) if count > pools.len() as i64 => format!("Complete ({}/{count} pools)", pools.len()),
        (true, _) => "Complete".to_owned(),
        (false, true) => "Failed".to_owned(),
        (false, false) => "Pending".to_owned(),
    });
    let done = condition(request, "Complete").filter(|_| complete);
    let done = done.map(|condition| row.since(condition.text(&["lastTransitionTime"])));
    row.put(done.unwrap_or_else(|| "<none>".to_owned()));
}
