//! Conversions between versions of a kind that are not alike. Each is total, and what it writes is canonical again: the
//! functions move fields, and [`crate::codec::conform`] with the target's shape has the last word.

mod autoscaler;
mod device;
mod event;

use crate::codec;
use crate::document::Value;
use crate::resource::Conversion;
use crate::schema::Schema;

/// The conversion that `resources.txt` names.
pub(super) fn named(name: &str, kind: &str) -> Conversion {
    match (name, kind) {
        ("autoscaler", _) => autoscaler::CONVERSION,
        ("event", _) => event::CONVERSION,
        ("device", "ResourceClaim") => device::CLAIM,
        ("device", "ResourceClaimTemplate") => device::TEMPLATE,
        ("device", "ResourceSlice") => device::SLICE,
        _ => panic!("resources.txt names the conversion {name} of {kind}, which is not there"),
    }
}

/// Gives a document that was moved into another version that version's canonical form.
fn settle(document: &mut Value, name: &str) {
    let schema = Schema::builtin();
    let shape = schema.named(name).expect("conversions name types of the table");
    let settled = codec::conform(shape, document.take());
    *document = settled.expect("fields move only between places of the same type").value;
}

/// Moves values to other names within one object.
fn rename(document: &mut Value, names: &[(&str, &str)], back: bool) {
    let Some(fields) = document.as_object_mut() else { return };
    for (from, to) in names {
        let (from, to) = if back { (to, from) } else { (from, to) };
        if let Some(value) = fields.remove(*from) {
            fields.insert((*to).to_owned(), value);
        }
    }
}

#[cfg(test)]
mod tests;
