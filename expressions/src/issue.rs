//! What is wrong with an expression, and where.

use std::fmt;

/// The most that is told about one expression.
const MOST: usize = 100;
/// A longer line is not shown.
const LONGEST_SNIPPET: usize = 16384;

/// One complaint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where, in characters from the start of the text.
    pub at: u32,
    /// What.
    pub message: String,
}

/// All complaints about one expression. Displays as the reference prints them: position, line and a mark below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issues {
    source: String,
    issues: Vec<Issue>,
    left_out: usize,
}

impl Issues {
    pub(crate) fn new(source: &str) -> Self {
        Self { source: source.to_owned(), issues: Vec::new(), left_out: 0 }
    }

    pub(crate) fn report(&mut self, at: u32, message: impl Into<String>) {
        if self.issues.len() < MOST {
            self.issues.push(Issue { at, message: message.into() });
        } else {
            self.left_out += 1;
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.issues.is_empty()
    }

    /// Each of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Issue> {
        self.issues.iter()
    }
}

impl std::error::Error for Issues {}

impl fmt::Display for Issues {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut issues: Vec<&Issue> = self.issues.iter().collect();
        issues.sort_by_key(|issue| issue.at);
        for (n, issue) in issues.into_iter().enumerate() {
            if n > 0 {
                f.write_str("\n")?;
            }
            let (line, column, text) = place(&self.source, issue.at);
            write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, issue.message)?;
            if text.len() <= LONGEST_SNIPPET {
                mark(f, text, column)?;
            }
        }
        match self.left_out {
            0 => Ok(()),
            more => write!(f, "\n{more} more errors were truncated"),
        }
    }
}

/// The line (from 1) and column (from 0) of a character, and the line's text.
fn place(source: &str, at: u32) -> (usize, usize, &str) {
    let mut left = at as usize;
    let mut lines = source.split('\n').enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        let length = line.chars().count();
        if left <= length || lines.peek().is_none() {
            return (number + 1, left.min(length), line);
        }
        left -= length + 1;
    }
    (1, 0, "")
}

/// The line again, and a mark below the column. Wide characters get wide dots.
fn mark(f: &mut fmt::Formatter<'_>, line: &str, column: usize) -> fmt::Result {
    let line = line.replace('\t', " ");
    write!(f, "\n | {line}\n | ")?;
    let mut characters = line.chars();
    for character in characters.by_ref().take(column) {
        f.write_str(if character.len_utf8() > 1 { "\u{ff0e}" } else { "." })?;
    }
    f.write_str(if characters.next().is_some_and(|character| character.len_utf8() > 1) { "\u{ff3e}" } else { "^" })
}
