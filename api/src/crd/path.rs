//! The path of a value within a custom resource, as the reference's validators write it: `spec.ports[0].name`, and for keys that
//! are no names `spec.labels[a.b/c]` in causes but `spec.labels.a.b/c` in sentences. We write one form in both.

use std::fmt;

/// A step and what it is a step from; a list on the stack that becomes text when there is something to say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Path<'a> {
    parent: Option<&'a Path<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy, Debug)]
enum Step<'a> {
    Root,
    Name(&'a str),
    Index(usize),
}

impl<'a> Path<'a> {
    /// The document itself.
    pub(super) const ROOT: Path<'static> = Path { parent: None, step: Step::Root };

    /// A field of it.
    pub(super) fn child<'b>(&'b self, name: &'b str) -> Path<'b> {
        Path { parent: Some(self), step: Step::Name(name) }
    }

    /// An element of it.
    pub(super) fn index<'b>(&'b self, at: usize) -> Path<'b> {
        Path { parent: Some(self), step: Step::Index(at) }
    }

    /// Whether it is the document itself.
    pub(super) fn is_root(&self) -> bool {
        matches!(self.step, Step::Root)
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(parent) = self.parent else { return Ok(()) };
        parent.fmt(f)?;
        match self.step {
            Step::Name(name) if parent.is_root() => f.write_str(name),
            Step::Name(name) => write!(f, ".{name}"),
            Step::Index(at) => write!(f, "[{at}]"),
            Step::Root => Ok(()),
        }
    }
}

impl From<Path<'_>> for String {
    fn from(path: Path<'_>) -> Self {
        path.to_string()
    }
}
