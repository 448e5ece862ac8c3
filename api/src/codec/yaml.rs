//! YAML bodies: the same walk over another syntax. One document, without tags of anyone's own, with bounded aliases.

use serde::de::{DeserializeOwned, DeserializeSeed};
use serde_saphyr::options::{DuplicateKeyPolicy, MergeKeyPolicy};
use serde_saphyr::{Budget, Error, Options};

use super::walk::Seed;
use super::{DEPTH, Malformed, offset};
use crate::document::Value;

pub(super) fn read(seed: Seed<'_, '_>, body: &[u8]) -> Result<Option<Value>, Malformed> {
    read_seed(seed, body)
}

/// Reads with any other seed.
pub(super) fn read_seed<'de, S: DeserializeSeed<'de>>(seed: S, body: &'de [u8]) -> Result<S::Value, Malformed> {
    let text = std::str::from_utf8(body).map_err(|error| Malformed::at("invalid UTF-8", error.valid_up_to()))?;
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |reader| seed.deserialize(reader))
        .map_err(|error| malformed(&error, body))
}

/// Reads what needs no schema; `None` where the syntax is broken, or it does not fit.
pub(super) fn read_plain<T: DeserializeOwned>(body: &[u8]) -> Option<T> {
    let text = std::str::from_utf8(body).ok()?;
    serde_saphyr::with_deserializer_from_str_with_options(text, options(), |reader| T::deserialize(reader)).ok()
}

fn options() -> Options {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH;
    let mut options = Options::default();
    options.budget = Some(budget);
    // The walk reports them; the last one wins, as in JSON.
    options.duplicate_keys = DuplicateKeyPolicy::PassThrough;
    options.merge_keys = MergeKeyPolicy::Merge;
    options.with_snippet = false;
    options
}

fn malformed(error: &Error, body: &[u8]) -> Malformed {
    let text = error.without_snippet().to_string();
    let what = text.lines().next().unwrap_or_default();
    let what = what.find(" at line ").map_or(what, |at| &what[..at]);
    match error.location() {
        Some(place) => {
            let line = usize::try_from(place.line()).unwrap_or(usize::MAX);
            let column = usize::try_from(place.column()).unwrap_or(usize::MAX);
            let byte = place.span().byte_offset().and_then(|at| usize::try_from(at).ok());
            Malformed::at(what, byte.unwrap_or_else(|| offset(body, line, column)))
        }
        None => Malformed { message: what.to_owned() },
    }
}
