//! `jsonpatch.escapeKey`

use super::{Evaluated, room, text};
use crate::environment::{Library, Overload};
use crate::evaluate::Meter;
use crate::types::Type;
use crate::value::Value;

pub(super) fn library() -> Library {
    let id = "string_jsonpatch_escapeKey_string";
    let escape = Overload::global("jsonpatch.escapeKey", id, &[Type::String], Type::String, escape);
    Library { overloads: vec![escape], types: Vec::new() }
}

fn escape<'d>(args: &[Value<'d>], meter: &mut Meter<'_>) -> Evaluated<'d> {
    let key = text(args, 0)?;
    room(key.len() * 2, meter)?;
    Ok(Value::text(key.replace('~', "~0").replace('/', "~1")))
}
