//! Only volumes that the cluster itself fills or provides.

use super::{Check, Revision, host_path_volumes};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, plural, quoted};

pub(super) const CHECK: Check = Check {
    id: "restrictedVolumes",
    level: Level::Restricted,
    revisions: &[Revision { since: 0, run: volumes, instead_of: host_path_volumes::ID }],
};

const ALLOWED: [&str; 9] = [
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "image",
    "persistentVolumeClaim",
    "projected",
    "secret",
];
const FORBIDDEN: [&str; 21] = [
    "hostPath",
    "gcePersistentDisk",
    "awsElasticBlockStore",
    "gitRepo",
    "nfs",
    "iscsi",
    "glusterfs",
    "rbd",
    "flexVolume",
    "cinder",
    "cephfs",
    "flocker",
    "fc",
    "azureFile",
    "vsphereVolume",
    "quobyte",
    "azureDisk",
    "photonPersistentDisk",
    "portworxVolume",
    "scaleIO",
    "storageos",
];

fn volumes(subject: &Subject<'_>) -> Option<Finding> {
    let has = |volume: &Value, kind: &&str| !volume.at(&[kind]).is_null();
    let (mut names, mut kinds) = (Vec::new(), Values::new());
    for volume in subject.spec.list(&["volumes"]) {
        if ALLOWED.iter().any(|kind| has(volume, kind)) {
            continue;
        }
        names.push(volume.text(&["name"]));
        kinds.insert(FORBIDDEN.into_iter().find(|kind| has(volume, kind)).unwrap_or("unknown"));
    }
    (!names.is_empty()).then(|| Finding {
        reason: "restricted volume types".to_owned(),
        detail: format!(
            "{} {} {} {} {}",
            plural(names.len(), "volume", "volumes"),
            quoted(&names),
            plural(names.len(), "uses", "use"),
            plural(kinds.len(), "restricted volume type", "restricted volume types"),
            quoted(&kinds)
        ),
    })
}
