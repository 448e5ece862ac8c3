//! Where in a document the walk stands: a chain of steps on the stack, written out only when there is something to say.

use std::fmt::Write;

/// One step down.
#[derive(Clone, Copy, Debug)]
pub(super) enum Step<'a> {
    /// Into a field of a message.
    Field(&'a str),
    /// Into an item of a list.
    Index(usize),
    /// Into a value of a map.
    Key(&'a str),
}

/// A step and those before it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    pub parent: Option<&'a Path<'a>>,
    pub step: Step<'a>,
}

impl Path<'_> {
    /// `spec.containers[0].name`, as problems are worded.
    pub(super) fn full(path: Option<&Path<'_>>) -> String {
        let mut text = String::new();
        Self::write(path, &mut text, true);
        text
    }

    /// `spec.containers.name`, as the reference's type errors are worded: fields only.
    pub(super) fn fields(path: Option<&Path<'_>>) -> String {
        let mut text = String::new();
        Self::write(path, &mut text, false);
        text
    }

    fn write(path: Option<&Path<'_>>, text: &mut String, full: bool) {
        let Some(path) = path else { return };
        Self::write(path.parent, text, full);
        let dot = if text.is_empty() { "" } else { "." };
        // Writing to a String never fails.
        _ = match path.step {
            Step::Field(name) => write!(text, "{dot}{name}"),
            Step::Key(key) if full => write!(text, "{dot}{key}"),
            Step::Index(at) if full => write!(text, "[{at}]"),
            Step::Key(_) | Step::Index(_) => Ok(()),
        };
    }
}
