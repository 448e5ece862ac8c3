//! Regular expressions as Go's RE2 reads them, run by the crate `regex`, which takes linear time as RE2 does.
//!
//! The two read nearly the same language. Different are classes of characters: Go's `\d`, `\w`, `\s` and `\b` are ASCII,
//! and within brackets Go knows no nested classes and no operators (`&&`, `--`, `~~`).

use std::collections::HashMap;

use regex::{Regex, RegexBuilder};

use crate::evaluate::{Failure, Meter};

/// How large a compiled pattern may be, in bytes: what keeps compiling short.
const SIZE: usize = 1 << 20;
/// How many patterns one evaluation remembers.
const REMEMBERED: usize = 16;
/// What compiling costs in work: about half a millisecond.
const COMPILING: u64 = 20_000;

/// Patterns of one evaluation.
#[derive(Debug, Default)]
pub struct Patterns(HashMap<String, Regex>);

impl Meter<'_> {
    /// The pattern, compiled at most once in an evaluation.
    pub fn pattern(&mut self, pattern: &str) -> Result<Regex, Failure> {
        if let Some(known) = self.patterns.0.get(pattern) {
            return Ok(known.clone());
        }
        self.work(COMPILING.min(2_000 + pattern.len() as u64 * 100))?;
        let compiled = compile(pattern).map_err(Failure::error)?;
        if self.patterns.0.len() >= REMEMBERED {
            self.patterns.0.clear();
        }
        self.patterns.0.insert(pattern.to_owned(), compiled.clone());
        Ok(compiled)
    }
}

/// Compiles a pattern of RE2.
pub fn compile(pattern: &str) -> Result<Regex, String> {
    let translated = translate(pattern);
    let built = RegexBuilder::new(&translated).size_limit(SIZE).dfa_size_limit(SIZE).nest_limit(200).build();
    built.map_err(|error| {
        let text = error.to_string();
        let reason = text.rsplit("error: ").next().unwrap_or(&text).trim().to_owned();
        format!("error parsing regexp: {reason}: `{pattern}`")
    })
}

/// The same pattern in the language of `regex`.
fn translate(pattern: &str) -> String {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut characters = pattern.chars().peekable();
    let mut class = false;
    let mut first = false;
    // Whether a class of characters stood before, which begins no range.
    let mut set = false;
    while let Some(character) = characters.next() {
        let at_start = std::mem::replace(&mut first, false);
        let after_set = std::mem::replace(&mut set, false);
        match character {
            '\\' => match characters.next() {
                Some('Q') => literal(&mut characters, &mut out),
                Some(code) => {
                    set = class && "dDwWsSpP".contains(code);
                    escape(code, class, &mut out);
                }
                None => out.push('\\'),
            },
            '[' if !class => {
                class = true;
                first = true;
                out.push('[');
                if characters.peek() == Some(&'^') {
                    characters.next();
                    out.push('^');
                }
            }
            '[' if characters.peek() == Some(&':') => out.push('['),
            ']' if class && !at_start => {
                // The end of `[:alpha:]` is no end of the class.
                class = out.ends_with(':') && out.rfind("[:").is_some_and(|at| !out[at..].contains(":]"));
                out.push(']');
            }
            ']' if class => out.push_str("\\]"),
            '[' | '&' | '~' if class => {
                out.push('\\');
                out.push(character);
            }
            '-' if class && (at_start || after_set || characters.peek() == Some(&'-')) => out.push_str("\\-"),
            _ => out.push(character),
        }
    }
    out
}

/// `\Q…\E`
fn literal(characters: &mut std::iter::Peekable<std::str::Chars<'_>>, out: &mut String) {
    let mut text = String::new();
    while let Some(character) = characters.next() {
        if character == '\\' && characters.peek() == Some(&'E') {
            characters.next();
            break;
        }
        text.push(character);
    }
    out.push_str(&regex::escape(&text));
}

fn escape(code: char, class: bool, out: &mut String) {
    match (code, class) {
        ('d', false) => out.push_str("[0-9]"),
        ('D', false) => out.push_str("[^0-9]"),
        ('w', false) => out.push_str("[0-9A-Za-z_]"),
        ('W', false) => out.push_str("[^0-9A-Za-z_]"),
        ('s', false) => out.push_str("[\\t\\n\\f\\r ]"),
        ('S', false) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('d', true) => out.push_str("0-9"),
        ('w', true) => out.push_str("0-9A-Za-z_"),
        ('s', true) => out.push_str("\\t\\n\\f\\r "),
        ('D', true) => out.push_str("[^0-9]"),
        ('W', true) => out.push_str("[^0-9A-Za-z_]"),
        ('S', true) => out.push_str("[^\\t\\n\\f\\r ]"),
        ('b', false) => out.push_str("(?-u:\\b)"),
        ('B', false) => out.push_str("(?-u:\\B)"),
        // Letters that RE2 does not know stay unknown, but these two mean something else here.
        ('<' | '>', _) => out.push(code),
        (code, _) => {
            out.push('\\');
            out.push(code);
        }
    }
}
