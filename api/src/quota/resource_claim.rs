//! ResourceClaims: the devices that they may be given at the most, by device class.

use std::collections::BTreeMap;

use smol_str::format_smolstr;

use super::number;
use crate::document::{Document, Value};
use crate::pod_resources::Amounts;

/// `gpu.deviceclass.resource.k8s.io/devices`
const BY_CLASS: &str = ".deviceclass.resource.k8s.io/devices";
/// Devices that one claim can be given (AllocationResultsMaxSize): what a claim for all of them may come to.
const MOST: i64 = 32;

pub(super) fn measures(name: &str) -> bool {
    name.ends_with(BY_CLASS)
}

pub(super) fn usage(claim: &Value) -> Amounts {
    let mut devices: BTreeMap<&str, i64> = BTreeMap::new();
    for request in claim.list(&["spec", "devices", "requests"]) {
        // Of several that would do, one is given: of each class, the most that one of them asks for.
        let mut highest: BTreeMap<&str, i64> = BTreeMap::new();
        let alternatives = request.list(&["firstAvailable"]);
        let exactly = request.at(&["exactly"]);
        let exactly = alternatives.is_empty().then_some(exactly).filter(|exactly| exactly.is_object());
        for wanted in alternatives.iter().chain(exactly) {
            let most = highest.entry(wanted.text(&["deviceClassName"])).or_default();
            *most = count(wanted).max(*most);
        }
        for (class, most) in highest {
            *devices.entry(class).or_default() += most;
        }
    }
    devices.into_iter().map(|(class, count)| (format_smolstr!("{class}{BY_CLASS}"), number(count))).collect()
}

fn count(wanted: &Value) -> i64 {
    match wanted.text(&["allocationMode"]) {
        "ExactCount" => wanted.int(&["count"]).unwrap_or(0),
        "All" => MOST,
        _ => 0,
    }
}
