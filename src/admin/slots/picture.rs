//! What `admin slots` shows.

use std::collections::BTreeMap;

use api::slot::{SLOTS, Slot, SlotSet};
use serde_json::{Value, json};
use shards::membership::assign::Targets;
use shards::membership::{Directory, Lease, Pin};

/// Characters of ranges in a table; JSON has all of them.
const WIDTH: usize = 48;

/// The directory, for people and programs.
pub(super) struct Picture {
    generation: String,
    changed: i64,
    members: Vec<Row>,
    /// Slots that are pinned alike.
    pins: Vec<(Pin, SlotSet)>,
    /// Slots whose owner lives and is not where they should be.
    moving: SlotSet,
    unowned: SlotSet,
}

struct Row {
    ordinal: u16,
    lease: Lease,
    owned: SlotSet,
    target: SlotSet,
}

impl Picture {
    pub(super) fn of(directory: &Directory) -> Self {
        let targets = Targets::of(directory);
        let mut owned: BTreeMap<u16, SlotSet> = BTreeMap::new();
        let (mut moving, mut unowned) = (SlotSet::new(), SlotSet::new());
        for slot in (0..SLOTS).map(Slot) {
            let Some(owner) = directory.owner(slot) else {
                unowned.insert(slot);
                continue;
            };
            owned.entry(owner).or_default().insert(slot);
            if targets.of_slot(slot).is_some_and(|target| target != owner) {
                moving.insert(slot);
            }
        }
        let members = directory.pulse.leases.iter().map(|(ordinal, held)| Row {
            ordinal: *ordinal,
            lease: held.lease.clone(),
            owned: owned.remove(ordinal).unwrap_or_default(),
            target: targets.at(*ordinal),
        });
        let mut pins: Vec<(Pin, SlotSet)> = Vec::new();
        for (slot, pin) in &directory.pins {
            match pins.iter_mut().find(|(alike, _)| alike == pin) {
                Some((_, slots)) => drop(slots.insert(*slot)),
                None => pins.push((pin.clone(), [*slot].into_iter().collect())),
            }
        }
        let generation = directory.pulse.generation;
        let (changed, generation) = (generation.wall_micros(), generation.to_string());
        Self { generation, changed, members: members.collect(), pins, moving, unowned }
    }

    /// All of it. Slots are ranges: `0-99,101`.
    pub(super) fn to_value(&self) -> Value {
        let member = |row: &Row| {
            json!({
                "ordinal": row.ordinal,
                "standing": row.lease.standing.to_string(),
                "addresses": row.lease.addresses,
                "incarnation": format!("{:032x}", row.lease.incarnation),
                "startedMicros": row.lease.started,
                "build": row.lease.build,
                "count": row.owned.len(),
                "slots": row.owned.to_string(),
                "target": row.target.to_string(),
            })
        };
        let pin = |(pin, slots): &(Pin, SlotSet)| json!({"slots": slots.to_string(), "to": pin.to, "namespace": pin.namespace, "alone": pin.alone});
        json!({
            "generation": self.generation,
            "changedMicros": self.changed,
            "members": self.members.iter().map(member).collect::<Vec<_>>(),
            "pins": self.pins.iter().map(pin).collect::<Vec<_>>(),
            "moving": self.moving.to_string(),
            "unowned": self.unowned.to_string(),
        })
    }

    /// Tables with a summary. `now`: microseconds since 1970.
    pub(super) fn table(&self, now: i64) -> String {
        let head = ["SHARD", "STANDING", "ADDRESS", "SLOTS", "TO COME", "TO GO", "RANGES"];
        let mut rows = vec![head.map(str::to_owned).to_vec()];
        for row in &self.members {
            rows.push(vec![
                row.ordinal.to_string(),
                row.lease.standing.to_string(),
                row.lease.place(),
                row.owned.len().to_string(),
                row.target.difference(&row.owned).len().to_string(),
                row.owned.difference(&row.target).len().to_string(),
                shortened(&row.owned),
            ]);
        }
        if !self.unowned.is_empty() {
            let dash = || "-".to_owned();
            let (count, ranges) = (self.unowned.len().to_string(), shortened(&self.unowned));
            rows.push(vec![dash(), "nobody".to_owned(), dash(), count, dash(), dash(), ranges]);
        }
        let mut text = aligned(&rows);
        if !self.pins.is_empty() {
            let head = ["PINNED TO", "SLOTS", "NAMESPACE", "ALONE"];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            for (pin, slots) in &self.pins {
                let namespace = if pin.namespace.is_empty() { "-" } else { pin.namespace.as_str() };
                let alone = if pin.alone { "yes" } else { "no" };
                rows.push(vec![pin.to.to_string(), shortened(slots), namespace.to_owned(), alone.to_owned()]);
            }
            text.push('\n');
            text.push_str(&aligned(&rows));
        }
        if self.changed > 0 {
            let ago = std::time::Duration::from_secs(now.saturating_sub(self.changed).max(0) as u64 / 1_000_000);
            let ago = humantime::format_duration(ago);
            text.push_str(&format!("\nlast change {ago} ago, {} slots are moving\n", self.moving.len()));
        }
        text
    }
}

/// Ranges that fit into a table.
fn shortened(slots: &SlotSet) -> String {
    let all = slots.to_string();
    match all.get(..WIDTH) {
        Some(start) if all.len() > WIDTH => {
            let end = start.rfind(',').unwrap_or(start.len());
            format!("{},…", &start[..end])
        }
        _ => all,
    }
}

/// Columns as wide as their widest field.
fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let fields = row.iter().zip(&widths).map(|(field, width)| format!("{field:width$}"));
        format!("{}\n", fields.collect::<Vec<_>>().join("   ").trim_end())
    };
    rows.iter().map(line).collect()
}
