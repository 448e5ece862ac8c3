//! What is said about types and their fields: the table that `build/main.rs` made, and what no source says.
//!
//! The table is part of the program's read-only data, so what nobody asks for is not even read from disk; the index is made
//! for as long as documents are made ([`Words::open`] takes a millisecond).

use std::collections::HashMap;

const TABLE: &str = include_str!(concat!(env!("OUT_DIR"), "/descriptions.txt"));

/// A type of which the source has every field.
const OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// Descriptions, each as the inside of a JSON string.
pub(crate) struct Words {
    types: HashMap<&'static str, Described>,
}

#[derive(Default)]
struct Described {
    text: &'static str,
    fields: Vec<(&'static str, &'static str)>,
}

impl Words {
    /// Finds everything in the table.
    pub(crate) fn open() -> Self {
        let (names, texts) = TABLE.split_once("\n\n").expect("the build script writes both parts");
        let texts: Vec<&str> = texts.lines().collect();
        let mut types = HashMap::with_capacity(1024);
        let mut open: Option<(&str, Described)> = None;
        for line in names.lines() {
            let (name, number) = line.rsplit_once(' ').expect("a name and a number");
            let text = texts[number.parse::<usize>().expect("a number of a line")];
            match (name.strip_prefix(' '), &mut open) {
                (Some(field), Some((_, described))) => described.fields.push((field, text)),
                _ => types.extend(open.replace((name, Described { text, fields: Vec::new() }))),
            }
        }
        types.extend(open);
        Self { types }
    }

    /// What a type is; empty where nothing is said.
    pub(crate) fn of_type(&self, name: &str) -> &'static str {
        let text = self.types.get(name).map_or("", |described| described.text);
        // The source keeps what its only field is about with the type.
        if name.ends_with(".WatchEvent") { text.split("\\n\\n").next().unwrap_or_default() } else { text }
    }

    /// What a field is; empty where nothing is said.
    pub(crate) fn of_field(&self, name: &str, field: &str) -> &'static str {
        let fields = self.types.get(name).map_or(&[] as &[_], |described| &described.fields);
        match fields.iter().find(|(found, _)| *found == field) {
            Some((_, text)) => text,
            None if name.ends_with(".WatchEvent") && field == "object" => self
                .types
                .get(name)
                .and_then(|described| described.text.split_once("\\n\\n"))
                .map_or("", |(_, text)| text),
            // Every kind says the same of these, and the source of kinds leaves them out.
            None if matches!(field, "apiVersion" | "kind") && name != OPTIONS => self.of_field(OPTIONS, field),
            None => "",
        }
    }
}
