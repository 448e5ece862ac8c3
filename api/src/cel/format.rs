//! Named formats in expressions: `format.dns1123Label().validate(name)`.

use std::any::Any;
use std::sync::Arc;

use expressions::{Failure, Library, Meter, Opaque, Overload, Type, Value};

use super::text;
use crate::crd::formats;
use crate::names;

const NAME: &str = "kubernetes.NamedFormat";

/// A format.
struct Named {
    /// As in `format.named(name)`.
    name: &'static str,
    /// Complaints about a text.
    complaints: fn(&str) -> Vec<String>,
    /// The length of the pattern that the reference counts for it.
    pattern: u64,
}

impl std::fmt::Debug for Named {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

const fn named(name: &'static str, pattern: u64, complaints: fn(&str) -> Vec<String>) -> Named {
    Named { name, complaints, pattern }
}

static FORMATS: [Named; 13] = [
    named("dns1123Label", 30, names::is_dns1123_label),
    named("dns1123Subdomain", 60, names::is_dns1123_subdomain),
    named("dns1035Label", 30, names::is_dns1035_label),
    named("qualifiedName", 60, names::is_qualified_name),
    named("dns1123LabelPrefix", 30, |text| names::is_dns1123_label(&mask(text))),
    named("dns1123SubdomainPrefix", 60, |text| names::is_dns1123_subdomain(&mask(text))),
    named("dns1035LabelPrefix", 30, |text| names::is_dns1035_label(&mask(text))),
    named("labelValue", 40, names::is_valid_label_value),
    named("uri", 1103, |text| wrong("uri", text, "invalid URI for request")),
    named("uuid", 70, |text| wrong("uuid", text, "does not match the UUID format")),
    named("byte", 84, |text| wrong("byte", text, "invalid base64")),
    named("date", 71, |text| wrong("date", text, "invalid date")),
    named("datetime", 71, |text| wrong("datetime", text, "invalid datetime")),
];

/// A name that something will be appended to may end with a dash.
fn mask(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(rest) if !rest.is_empty() => {
            format!("{}a", &rest[..rest.char_indices().next_back().map_or(0, |(at, _)| at)])
        }
        _ => text.to_owned(),
    }
}

fn wrong(format: &str, text: &str, words: &str) -> Vec<String> {
    if formats::is(format, text) { Vec::new() } else { vec![words.to_owned()] }
}

/// A format as a value.
#[derive(Debug)]
struct Format(&'static Named);

impl Opaque for Format {
    fn of(&self) -> Type {
        Type::object(NAME)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Format>().is_some_and(|other| self.0.name == other.0.name)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn size(&self) -> u64 {
        self.0.pattern
    }
}

type Evaluated<'d> = Result<Value<'d>, Failure>;

macro_rules! constant {
    ($at:literal, $name:literal) => {{
        fn run<'d>(_: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
            Ok(Value::Opaque(Arc::new(Format(&FORMATS[$at]))))
        }
        Overload::global(concat!("format.", $name), concat!("format.", $name), &[], Type::object(NAME), run)
    }};
}

pub(super) fn library() -> Library {
    let of = || Type::object(NAME);
    let complaints = Type::optional(Type::list(Type::String));
    let overloads = vec![
        Overload::global("format.named", "format-named", &[Type::String], Type::optional(of()), find),
        Overload::member("validate", "format-validate", &[of(), Type::String], complaints, validate),
        constant!(0, "dns1123Label"),
        constant!(1, "dns1123Subdomain"),
        constant!(2, "dns1035Label"),
        constant!(3, "qualifiedName"),
        constant!(4, "dns1123LabelPrefix"),
        constant!(5, "dns1123SubdomainPrefix"),
        constant!(6, "dns1035LabelPrefix"),
        constant!(7, "labelValue"),
        constant!(8, "uri"),
        constant!(9, "uuid"),
        constant!(10, "byte"),
        constant!(11, "date"),
        constant!(12, "datetime"),
    ];
    Library { overloads, types: vec![of()] }
}

fn find<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let name = text(args, 0)?;
    let found = FORMATS.iter().find(|format| format.name == name);
    Ok(Value::Optional(found.map(|format| Arc::new(Value::Opaque(Arc::new(Format(format)))))))
}

fn validate<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let Some(Value::Opaque(value)) = args.first() else { return Err(Failure::error("no such overload")) };
    let format = value.as_any().downcast_ref::<Format>().ok_or_else(|| Failure::error("no such overload"))?;
    let complaints = (format.0.complaints)(text(args, 1)?);
    if complaints.is_empty() {
        return Ok(Value::Optional(None));
    }
    Ok(Value::some(Value::list(complaints.into_iter().map(Value::text).collect())))
}
