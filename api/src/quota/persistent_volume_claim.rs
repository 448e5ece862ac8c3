//! PersistentVolumeClaims: their number and size, each also by the storage class that they name.

use smol_str::{SmolStr, format_smolstr};

use super::number;
use super::scope::Scope;
use crate::document::{Document, Value};
use crate::pod_resources::Amounts;
use crate::quantity::Quantity;

const MEASURED: [&str; 2] = ["persistentvolumeclaims", "requests.storage"];
/// `gold.storageclass.storage.k8s.io/requests.storage`
const BY_CLASS: &str = ".storageclass.storage.k8s.io/";
/// Where the class was named before there was a field.
const OLD_CLASS: &str = "volume.beta.kubernetes.io/storage-class";

pub(super) fn measures(name: &str) -> bool {
    let of_class = |measured: &str| name.strip_suffix(measured).is_some_and(|class| class.ends_with(BY_CLASS));
    MEASURED.contains(&name) || MEASURED.iter().any(|measured| of_class(measured))
}

pub(super) fn usage(claim: &Value) -> Amounts {
    let size = size(claim).unwrap_or_default();
    let mut amounts: Amounts =
        MEASURED.iter().zip([number(1), size]).map(|(name, amount)| (SmolStr::new_static(name), amount)).collect();
    let class = match claim.at(&["metadata", "annotations", OLD_CLASS]).as_str() {
        Some(class) => class,
        None => claim.text(&["spec", "storageClassName"]),
    };
    if !class.is_empty() {
        for (name, amount) in MEASURED.iter().zip([number(1), size]) {
            amounts.insert(format_smolstr!("{class}{BY_CLASS}{name}"), amount);
        }
    }
    amounts
}

/// Whole bytes. What a growing volume was given counts, where it is more than what is asked for by now.
fn size(claim: &Value) -> Option<Quantity> {
    let read = |path: &[&str]| Quantity::parse(claim.text(path)).ok();
    let asked = read(&["spec", "resources", "requests", "storage"])?;
    let given = read(&["status", "allocatedResources", "storage"]);
    let size = given.filter(|given| *given > asked).unwrap_or(asked);
    let whole = Quantity::from_int(size.value(), size.format());
    // What is too large to be a whole number is one.
    Some(if whole < size { size } else { whole })
}

pub(super) fn lies_in(claim: &Value, scope: &Scope) -> bool {
    const CLASSES: [&[&str]; 3] = [
        &["spec", "volumeAttributesClassName"],
        &["status", "currentVolumeAttributesClassName"],
        &["status", "modifyVolumeStatus", "targetVolumeAttributesClassName"],
    ];
    let named = CLASSES.iter().map(|path| claim.text(path)).filter(|class| !class.is_empty());
    scope.name == "VolumeAttributesClass" && scope.test.holds(named)
}
