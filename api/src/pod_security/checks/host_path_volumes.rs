//! No files of the node.

use super::{Check, since};
use crate::document::Document;
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, plural, quoted};

pub(super) const CHECK: Check = Check { id: ID, level: Level::Baseline, revisions: &[since(0, volumes)] };
pub(super) const ID: &str = "hostPathVolumes";

fn volumes(subject: &Subject<'_>) -> Option<Finding> {
    let volumes = subject.spec.list(&["volumes"]).iter().filter(|volume| !volume.at(&["hostPath"]).is_null());
    let names: Vec<&str> = volumes.map(|volume| volume.text(&["name"])).collect();
    (!names.is_empty()).then(|| Finding {
        reason: "hostPath volumes".to_owned(),
        detail: format!("{} {}", plural(names.len(), "volume", "volumes"), quoted(&names)),
    })
}
