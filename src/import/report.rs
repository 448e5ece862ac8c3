//! What was copied, and what was not.

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Objects that are named for each kind; more are counted.
const NAMED: usize = 20;

/// What became of one kind.
#[derive(Default)]
struct Of {
    copied: u64,
    existed: u64,
    stayed: u64,
    refused: u64,
    notes: Vec<(String, String)>,
    more: u64,
}

/// See the module.
#[derive(Default)]
pub(super) struct Report {
    kinds: BTreeMap<String, Of>,
}

impl Report {
    fn of(&mut self, kind: &str) -> &mut Of {
        self.kinds.entry(kind.to_owned()).or_default()
    }

    pub(super) fn copied(&mut self, kind: &str) {
        self.of(kind).copied += 1;
    }

    pub(super) fn existed(&mut self, kind: &str) {
        self.of(kind).existed += 1;
    }

    pub(super) fn stayed(&mut self, kind: &str, why: &str) {
        let of = self.of(kind);
        of.stayed += 1;
        let note = (String::new(), format!("left out where {why}"));
        if !of.notes.contains(&note) {
            of.notes.push(note);
        }
    }

    pub(super) fn refused(&mut self, kind: &str, at: &str, why: &str) {
        self.of(kind).refused += 1;
        self.changed(kind, at, why);
    }

    pub(super) fn changed(&mut self, kind: &str, at: &str, what: &str) {
        let of = self.of(kind);
        if of.notes.len() < NAMED {
            of.notes.push((at.to_owned(), what.to_owned()));
        } else {
            of.more += 1;
        }
    }

    pub(super) fn left_out(&mut self, kind: &str, why: &str) {
        self.of(kind).notes.push((String::new(), format!("left out: {why}")));
    }

    pub(super) fn missing(&mut self, kind: &str, count: u64) {
        if count > 0 {
            let of = self.of(kind);
            of.refused += count;
            of.notes.push((String::new(), "the target does not serve it".to_owned()));
        }
    }

    /// Whether an object could not be taken.
    pub(super) fn has_failures(&self) -> bool {
        self.kinds.values().any(|of| of.refused > 0)
    }

    pub(super) fn to_value(&self) -> Value {
        let kind = |(name, of): (&String, &Of)| {
            let notes: Vec<Value> = of.notes.iter().map(|(at, what)| json!({ "object": at, "note": what })).collect();
            json!({
                "resource": name, "copied": of.copied, "existed": of.existed, "leftOut": of.stayed,
                "refused": of.refused, "notes": notes,
            })
        };
        json!({ "resources": self.kinds.iter().map(kind).collect::<Vec<_>>() })
    }

    pub(super) fn table(&self) -> String {
        let width = self.kinds.keys().map(String::len).chain(["RESOURCE".len()]).max().unwrap_or(0);
        let head = ("RESOURCE", "COPIED", "EXISTED", "LEFT OUT", "REFUSED");
        let mut text = format!("{:width$}   {}   {}   {}   {}\n", head.0, head.1, head.2, head.3, head.4);
        let mut notes = String::new();
        for (name, of) in &self.kinds {
            let Of { copied, existed, stayed, refused, .. } = of;
            if copied + existed + stayed + refused > 0 {
                text.push_str(&format!("{name:width$}   {copied:<6}   {existed:<7}   {stayed:<8}   {refused}\n"));
            }
            for (at, what) in &of.notes {
                let at = if at.is_empty() { String::new() } else { format!(" {at}") };
                notes.push_str(&format!("{name}{at}: {what}\n"));
            }
            if of.more > 0 {
                notes.push_str(&format!("{name}: and {} more\n", of.more));
            }
        }
        if !notes.is_empty() {
            text.push('\n');
            text.push_str(&notes);
        }
        text
    }
}
