//! A version as a number.

use api::Version;
use serde::{Deserialize, Deserializer, Serializer};

pub(super) fn serialize<S: Serializer>(version: &Version, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_u64(version.0)
}

pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
    u64::deserialize(from).map(Version)
}

/// A version or null.
pub(super) mod option {
    use super::{Deserialize, Deserializer, Serializer, Version};

    #[expect(clippy::ref_option, reason = "serde hands it in like this")]
    pub(in crate::history) fn serialize<S: Serializer>(version: &Option<Version>, to: S) -> Result<S::Ok, S::Error> {
        match version {
            Some(version) => to.serialize_some(&version.0),
            None => to.serialize_none(),
        }
    }

    pub(in crate::history) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Version>, D::Error> {
        Option::<u64>::deserialize(from).map(|version| version.map(Version))
    }
}
