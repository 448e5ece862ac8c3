//! storage.k8s.io, and the migration of what is stored.

use super::cell::{AGE, NAME, Row, boolean, integer, is_true, join, or_none, text};
use super::{Column, Printer};
use crate::document::{Document, Value};

pub(super) const PRINTERS: &[Printer] = &[
    Printer {
        resource: "storageclasses.storage.k8s.io",
        columns: &[
            NAME,
            text("Provisioner", "Who makes volumes of the class."),
            text("ReclaimPolicy", "What becomes of volumes without their claims."),
            text("VolumeBindingMode", "When volumes are made."),
            text("AllowVolumeExpansion", "Whether volumes can grow."),
            AGE,
        ],
        print: storage_class,
    },
    Printer {
        resource: "volumeattributesclasses.storage.k8s.io",
        columns: &[NAME, text("DriverName", "CSI driver of the class."), AGE],
        print: |row| _ = row.name().text(&["driverName"]).age(),
    },
    Printer {
        resource: "volumeattachments.storage.k8s.io",
        columns: &[
            NAME,
            Column { format: "name", ..text("Attacher", "Who attaches the volume.") },
            text("PV", "Volume to attach."),
            text("Node", "Where to attach it."),
            boolean("Attached", "Whether it is attached."),
            AGE,
        ],
        print: |row| {
            row.name().text(&["spec", "attacher"]).text(&["spec", "source", "persistentVolumeName"]);
            row.text(&["spec", "nodeName"]).bool(&["status", "attached"], false).age();
        },
    },
    Printer {
        resource: "csinodes.storage.k8s.io",
        columns: &[NAME, integer("Drivers", "CSI drivers on the node."), AGE],
        print: |row| _ = row.name().count(&["spec", "drivers"]).age(),
    },
    Printer {
        resource: "csidrivers.storage.k8s.io",
        columns: &[
            NAME,
            boolean("AttachRequired", "Whether volumes are attached."),
            boolean("PodInfoOnMount", "Whether the driver is told about pods."),
            boolean("StorageCapacity", "Whether the driver publishes its capacity."),
            text("TokenRequests", "Audiences of the tokens that the driver gets."),
            boolean("RequiresRepublish", "Whether volumes are published again and again."),
            text("Modes", "Life cycles of volumes."),
            AGE,
        ],
        print: csi_driver,
    },
    Printer {
        resource: "csistoragecapacities.storage.k8s.io",
        columns: &[NAME, text("StorageClassName", "Class of the storage."), text("Capacity", "How much there is.")],
        print: |row| _ = row.name().text(&["storageClassName"]).text_or(&["capacity"], "<unset>"),
    },
    Printer {
        resource: "storageversionmigrations.storagemigration.k8s.io",
        columns: &[
            Column { format: "", ..NAME },
            text("Resource", "What is migrated."),
            text("Status", "How far it is."),
        ],
        print: migration,
    },
];

fn storage_class(row: &mut Row<'_>) {
    let class = row.object;
    let annotation = |prefix: &str| format!("{prefix}.kubernetes.io/is-default-class");
    let is_true = |key: String| class.text(&["metadata", "annotations", &key]) == "true";
    let default = ["storageclass", "storageclass.beta"].into_iter().map(annotation).any(is_true);
    row.put(format!("{}{}", class.name(), if default { " (default)" } else { "" })).text(&["provisioner"]);
    row.text_or(&["reclaimPolicy"], "Delete").text_or(&["volumeBindingMode"], "Immediate");
    row.bool(&["allowVolumeExpansion"], false).age();
}

fn csi_driver(row: &mut Row<'_>) {
    let spec = row.object.at(&["spec"]);
    row.name().bool(&["spec", "attachRequired"], true).bool(&["spec", "podInfoOnMount"], false);
    row.bool(&["spec", "storageCapacity"], false);
    row.put(match spec.at(&["tokenRequests"]) {
        Value::Array(requests) => join(requests.iter().map(|request| request.text(&["audience"])), ","),
        _ => "<unset>".to_owned(),
    });
    let modes = spec.list(&["volumeLifecycleModes"]).iter().filter_map(Value::as_str);
    row.bool(&["spec", "requiresRepublish"], false).put(or_none(join(modes, ","))).age();
}

fn migration(row: &mut Row<'_>) {
    let resource = row.object.at(&["spec", "resource"]);
    let group = resource.text(&["group"]);
    let plural = resource.text(&["resource"]);
    row.name().put(if group.is_empty() { plural.to_owned() } else { format!("{plural}.{group}") });
    let states = ["Succeeded", "Failed", "Running"];
    row.put(states.into_iter().find(|state| is_true(row.object, state)).unwrap_or("Unknown"));
}
