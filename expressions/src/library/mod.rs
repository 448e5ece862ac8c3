//! What functions there are: CEL's own, its extensions that Kubernetes v1.36 switches on (optional values, strings 2, sets,
//! lists 3), and Kubernetes' own. One file for each library; each is a list of overloads.
//!
//! What an expression may do is what stands here: a function that takes long for a small cost counts its work.

pub mod authorizer;
mod comparison;
mod conversion;
mod format_text;
mod json_patch_key;
mod lists;
mod net;
mod operators;
mod optional;
mod patterns;
mod semver;
mod sets;
mod sorting;
mod strings;
mod time_parts;
mod urls;

use crate::environment::Library;
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::{List, Value};

/// How long a text may become that an expression makes, in bytes.
const LONGEST: usize = 16 << 20;

/// Every library that needs nothing outside of this crate, but those that only some callers offer.
pub(crate) fn kubernetes() -> Vec<Library> {
    vec![
        operators::library(),
        comparison::library(),
        conversion::library(),
        time_parts::library(),
        optional::library(),
        strings::library(),
        sets::library(),
        lists::library(),
        sorting::library(),
        patterns::library(),
        urls::library(),
        net::library(),
        semver::library(),
    ]
}

/// Functions of `authorizer`: for admission policies, match conditions and the like.
pub fn authorization() -> Library {
    authorizer::library()
}

/// `jsonpatch.escapeKey`: for mutating admission policies.
pub fn json_patch() -> Library {
    json_patch_key::library()
}

type Evaluated<'d> = Result<Value<'d>, Failure>;

/// The types that most signatures consist of.
const A: fn() -> Type = || Type::param("A");
const LIST: fn() -> Type = || Type::list(Type::param("A"));

fn text<'a>(args: &'a [Value<'_>], at: usize) -> Result<&'a str, Failure> {
    args.get(at).and_then(Value::as_text).ok_or_else(Failure::no_such_overload)
}

fn int(args: &[Value<'_>], at: usize) -> Result<i64, Failure> {
    match args.get(at) {
        Some(Value::Int(value)) => Ok(*value),
        _ => Err(Failure::no_such_overload()),
    }
}

fn list<'a, 'd>(args: &'a [Value<'d>], at: usize) -> Result<&'a List<'d>, Failure> {
    match args.get(at) {
        Some(Value::List(list)) => Ok(list),
        _ => Err(Failure::no_such_overload()),
    }
}

/// Makes sure that there is room for a text.
fn room(bytes: usize, meter: &mut Meter<'_>) -> Result<(), Failure> {
    if bytes > LONGEST {
        return Err(Failure::Exhausted);
    }
    meter.work(bytes as u64 / 64)
}
