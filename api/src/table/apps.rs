//! apps: Deployments and what they are made of.

use super::Printer;
use super::cell::{AGE, CONTAINERS, IMAGES, NAME, Row, SELECTOR, int, integer, text};
use crate::document::{Document, Value};
use crate::selector::LabelSelector;

const TEMPLATE: &[&str] = &["spec", "template", "spec"];

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "deployments.apps",
        columns: &[
            NAME,
            text("Ready", "Pods that are ready, of those wanted."),
            text("Up-to-date", "Pods of the newest template."),
            text("Available", "Pods that have been ready for long enough."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        print: deployment,
    },
    Printer {
        resource: "replicasets.apps",
        columns: &[
            NAME,
            integer("Desired", "Pods wanted."),
            integer("Current", "Pods there."),
            integer("Ready", "Pods that are ready."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        print: |row| {
            row.name().int(&["spec", "replicas"]).int(&["status", "replicas"]).int(&["status", "readyReplicas"]).age();
            row.containers(TEMPLATE).selector(&["spec", "selector"]);
        },
    },
    Printer {
        resource: "statefulsets.apps",
        columns: &[NAME, text("Ready", "Pods that are ready, of those wanted."), AGE, CONTAINERS, IMAGES],
        print: |row| _ = row.name().of(ready).age().containers(TEMPLATE),
    },
    Printer {
        resource: "daemonsets.apps",
        columns: &[
            NAME,
            integer("Desired", "Nodes that should run the pod."),
            integer("Current", "Nodes that should and do."),
            integer("Ready", "Nodes on which it is ready."),
            integer("Up-to-date", "Nodes that run the newest template."),
            integer("Available", "Nodes on which it has been ready for long enough."),
            text("Node Selector", "Labels of those nodes."),
            AGE,
            CONTAINERS,
            IMAGES,
            SELECTOR,
        ],
        print: daemon_set,
    },
    Printer {
        resource: "controllerrevisions.apps",
        columns: &[
            NAME,
            text("Controller", "What it is a revision of."),
            text("Revision", "Number of the revision."),
            AGE,
        ],
        print: |row| _ = row.name().of(controller).int(&["revision"]).age(),
    },
];

fn ready(object: &Value) -> String {
    format!("{}/{}", int(object, &["status", "readyReplicas"]), int(object, &["spec", "replicas"]))
}

fn deployment(row: &mut Row<'_>) {
    row.name().of(ready).int(&["status", "updatedReplicas"]).int(&["status", "availableReplicas"]).age();
    let selector = LabelSelector::from_value(row.object.at(&["spec", "selector"]));
    row.containers(TEMPLATE).put(selector.map_or_else(|_| "<invalid>".to_owned(), |selector| selector.to_string()));
}

fn daemon_set(row: &mut Row<'_>) {
    row.name();
    let counts = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ];
    for count in counts {
        row.int(&["status", count]);
    }
    row.labels(&["spec", "template", "spec", "nodeSelector"]).age().containers(TEMPLATE);
    row.selector(&["spec", "selector"]);
}

/// `statefulset.apps/web`
fn controller(object: &Value) -> String {
    let mut owners = object.list(&["metadata", "ownerReferences"]).iter();
    let Some(owner) = owners.find(|owner| owner.at(&["controller"]) == true) else { return "<none>".to_owned() };
    let kind = match owner.text(&["apiVersion"]).split_once('/') {
        Some((group, _)) => format!("{}.{group}", owner.text(&["kind"])),
        None => owner.text(&["kind"]).to_owned(),
    };
    format!("{}/{}", kind.to_lowercase(), owner.text(&["name"]))
}
