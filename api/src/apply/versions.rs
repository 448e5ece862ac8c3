//! The versions in which a kind is served. A manager's fields are those of the version that it wrote in, so that what it
//! owns is compared in that version.

use std::borrow::Cow;

use super::place::Place;
use crate::codec;
use crate::document::Value;
use crate::resource::{Resource, Served};
use crate::schema::Shape;

/// What documents are converted between.
#[derive(Clone, Copy, Debug)]
pub(super) enum Versions<'a> {
    /// The versions of a resource.
    Of(&'a Resource),
    /// One version, whatever it is called, as that of Scale.
    One(Shape<'a>),
}

impl<'a> Versions<'a> {
    fn served(self, version: &str) -> Option<&'a Served> {
        let Self::Of(resource) = self else { return None };
        resource.served.iter().find(|served| is_version(served, version))
    }

    /// Whether there is such a version.
    pub(super) fn knows(self, version: &str) -> bool {
        match self {
            Self::Of(_) => self.served(version).is_some(),
            Self::One(_) => true,
        }
    }

    pub(super) fn shape(self, version: &str) -> Option<Shape<'a>> {
        match self {
            Self::Of(resource) => self.served(version).map(|served| resource.shape(served)),
            Self::One(shape) => Some(shape),
        }
    }

    /// Where documents of a version begin.
    pub(super) fn place(self, version: &str) -> Option<Place<'a>> {
        self.shape(version).map(Place::root)
    }

    /// Whether documents are the same in both versions.
    pub(super) fn are_alike(self, one: &str, other: &str) -> bool {
        let plain = |version| self.served(version).is_some_and(|served| served.convert.is_none());
        one == other || matches!(self, Self::One(_)) || (plain(one) && plain(other))
    }

    /// A document in another version. Both must be known.
    pub(super) fn convert<'d>(self, document: &'d Value, from: &str, to: &str) -> Result<Cow<'d, Value>, String> {
        if self.are_alike(from, to) {
            return Ok(Cow::Borrowed(document));
        }
        let (Some(shape), Some(from), Some(to)) = (self.shape(from), self.served(from), self.served(to)) else {
            return Err("there is no such version".to_owned());
        };
        // Conversions take what is canonical.
        let decoded = codec::conform(shape, document.clone()).map_err(|error| error.message)?;
        let mut document = decoded.value;
        if let Some(convert) = &from.convert {
            (convert.to_stored)(&mut document);
        }
        if let Some(convert) = &to.convert {
            (convert.from_stored)(&mut document);
        }
        Ok(Cow::Owned(document))
    }
}

fn is_version(served: &Served, version: &str) -> bool {
    match version.split_once('/') {
        Some((group, version)) => served.group == group && served.version == version,
        None => served.group.is_empty() && served.version == version,
    }
}
