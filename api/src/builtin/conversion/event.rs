//! Events: core/v1 is stored, events.k8s.io/v1 has other names for the same fields.

use super::{rename, settle};
use crate::document::Value;
use crate::resource::Conversion;

pub(super) const CONVERSION: Conversion = Conversion { from_stored, to_stored };

/// core/v1 and events.k8s.io/v1.
const NAMES: [(&str, &str); 7] = [
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

fn from_stored(document: &mut Value) {
    rename(document, &NAMES, false);
    settle(document, "io.k8s.api.events.v1.Event");
}

fn to_stored(document: &mut Value) {
    rename(document, &NAMES, true);
    settle(document, "io.k8s.api.core.v1.Event");
}
