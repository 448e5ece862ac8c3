//! A history as JSON lines: one record each, so that it can be searched by line and cut by hand.
//!
//! Keys come before what names them by number, and a watch before its lines.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};

use super::{History, Key, KeyId, Line, List, Listed, Micros, Operation, Told, Watch};

/// One line, for writing.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Out<'a> {
    Term(&'a str),
    Key(&'a Key),
    Operation(&'a Operation),
    List(&'a List),
    Watch(&'a Watch),
    Told(usize, &'a Line),
    Crash(Micros),
}

/// One line, as read.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
enum In {
    Term(String),
    Key(Key),
    Operation(Operation),
    List(List),
    Watch(Watch),
    Told(usize, Line),
    Crash(Micros),
}

/// Why a saved history cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// Reading failed.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// A line is not one of a history.
    #[error("line {line} is no record of a history: {message}")]
    Line {
        /// From 1.
        line: usize,
        /// What is wrong.
        message: String,
    },
}

impl History {
    /// Writes it as JSON lines.
    pub fn save(&self, mut to: impl Write) -> io::Result<()> {
        let mut put = |record: &Out<'_>| {
            serde_json::to_writer(&mut to, record)?;
            to.write_all(b"\n")
        };
        self.terms.iter().try_for_each(|term| put(&Out::Term(term)))?;
        self.keys.iter().try_for_each(|key| put(&Out::Key(key)))?;
        self.crashes.iter().try_for_each(|crash| put(&Out::Crash(*crash)))?;
        self.operations.iter().try_for_each(|operation| put(&Out::Operation(operation)))?;
        self.lists.iter().try_for_each(|list| put(&Out::List(list)))?;
        for (number, watch) in self.watches.iter().enumerate() {
            put(&Out::Watch(watch))?;
            watch.lines.iter().try_for_each(|line| put(&Out::Told(number, line)))?;
        }
        to.flush()
    }

    /// Reads what [`History::save`] wrote.
    pub fn load(from: impl BufRead) -> Result<Self, LoadError> {
        let mut history = Self::default();
        for (number, line) in from.lines().enumerate() {
            let line = line?;
            if line.is_empty() {
                continue;
            }
            let wrong = |message: String| LoadError::Line { line: number + 1, message };
            let record: In = serde_json::from_str(&line).map_err(|error| wrong(error.to_string()))?;
            if record.keys().any(|key| key.0 as usize >= history.keys.len()) {
                return Err(wrong("it names a key that is not defined before it".to_owned()));
            }
            match record {
                In::Term(term) => history.terms.push(term),
                In::Key(key) => history.keys.push(key),
                In::Operation(operation) => history.operations.push(operation),
                In::List(list) => history.lists.push(list),
                In::Watch(watch) => history.watches.push(watch),
                In::Crash(time) => history.crashes.push(time),
                In::Told(watch, line) => match history.watches.get_mut(watch) {
                    Some(watch) => watch.lines.push(line),
                    None => return Err(wrong(format!("there is no watch {watch} before it"))),
                },
            }
        }
        Ok(history)
    }
}

impl In {
    /// The keys that it names: nothing later has to doubt an id.
    fn keys(&self) -> impl Iterator<Item = KeyId> {
        let items = match self {
            Self::List(List { outcome: Listed::Page { items, .. }, .. }) => items.as_slice(),
            _ => &[],
        };
        let one = match self {
            Self::Operation(operation) => Some(operation.key),
            Self::Told(_, Line { told: Told::Event { key, .. }, .. }) => Some(*key),
            _ => None,
        };
        items.iter().map(|item| item.key).chain(one)
    }
}
