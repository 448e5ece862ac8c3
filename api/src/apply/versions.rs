//! The versions in which a kind is served. A manager's fields are those of the version that it wrote in, so that what it
//! owns is compared in that version.

use std::borrow::Cow;
use std::fmt;

use super::place::Place;
use crate::codec;
use crate::document::Value;
use crate::resource::{Resource, Served};
use crate::schema::Shape;

/// Converts documents between versions of a custom kind where more is asked than what their schemas keep. A version is an index
/// into [`Resource::served`]; documents may have kind and apiVersion, or not.
pub trait Convert {
    /// A document in another version. Whoever gets an error gives up.
    fn convert(&self, document: &Value, from: usize, to: usize) -> Result<Value, String>;
}

/// Somebody who converts.
#[derive(Clone, Copy)]
pub(super) struct Converter<'a>(pub(super) &'a dyn Convert);

impl fmt::Debug for Converter<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Converter")
    }
}

/// What documents are converted between.
#[derive(Clone, Copy, Debug)]
pub(super) enum Versions<'a> {
    /// The versions of a resource, and who converts those of a custom kind.
    Of(&'a Resource, Option<Converter<'a>>),
    /// One version, whatever it is called, as that of Scale.
    One(Shape<'a>),
}

impl<'a> Versions<'a> {
    fn served(self, version: &str) -> Option<&'a Served> {
        let Self::Of(resource, _) = self else { return None };
        resource.served.iter().find(|served| is_version(served, version))
    }

    fn position(self, version: &str) -> Option<usize> {
        let Self::Of(resource, _) = self else { return None };
        resource.served.iter().position(|served| is_version(served, version))
    }

    /// Whether there is such a version.
    pub(super) fn knows(self, version: &str) -> bool {
        match self {
            Self::Of(..) => self.served(version).is_some(),
            Self::One(_) => true,
        }
    }

    pub(super) fn shape(self, version: &str) -> Option<Shape<'a>> {
        match self {
            Self::Of(resource, _) => self.served(version).map(|served| resource.shape(served)),
            Self::One(shape) => Some(shape),
        }
    }

    /// Where documents of a version begin.
    pub(super) fn place(self, version: &str) -> Option<Place<'a>> {
        let shape = self.shape(version)?;
        Some(match self.served(version).and_then(|served| served.custom.as_deref()) {
            Some(custom) => Place::custom(shape, &custom.schema),
            None => Place::root(shape),
        })
    }

    /// Whether documents are the same in both versions.
    pub(super) fn are_alike(self, one: &str, other: &str) -> bool {
        let Self::Of(resource, _) = self else { return true };
        if let (true, Some(one), Some(other)) = (resource.is_custom(), self.position(one), self.position(other)) {
            return resource.reads_alike(one, other);
        }
        let plain = |version| self.served(version).is_some_and(|served| served.convert.is_none());
        one == other || (plain(one) && plain(other))
    }

    /// A document in another version. Both must be known.
    pub(super) fn convert<'d>(self, document: &'d Value, from: &str, to: &str) -> Result<Cow<'d, Value>, String> {
        if self.are_alike(from, to) {
            return Ok(Cow::Borrowed(document));
        }
        if let (Self::Of(resource, converter), Some(from), Some(to)) = (self, self.position(from), self.position(to))
            && resource.is_custom()
        {
            return match converter {
                Some(converter) => converter.0.convert(document, from, to).map(Cow::Owned),
                None => Ok(Cow::Owned(resource.fitted(document.clone(), from, to))),
            };
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
