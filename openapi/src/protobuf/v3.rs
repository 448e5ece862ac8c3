//! The messages of openapi.v3.

use serde_json::Value;

use super::As::{Code, Codes, Double, Flag, Map, Message as One, Text, Texts, Whole, Yaml, Yamls};
use super::{Message, bytes, message, open};

const fn plain(fields: &'static [(&'static str, u32, super::As)], extensions: u32) -> Message {
    Message { fields, extensions, named: None }
}

static INFO: Message = plain(&[("title", 1, Text), ("version", 6, Text)], 7);

static SECURITY: Message = plain(&[("type", 1, Text), ("description", 2, Text), ("name", 3, Text), ("in", 4, Text)], 9);

static EXTERNAL_DOCS: Message = plain(&[("description", 1, Text), ("url", 2, Text)], 3);

static REFERENCE: Message = plain(&[("$ref", 1, Text), ("description", 3, Text)], 0);

pub(super) static PATH_ITEM: Message = plain(
    &[
        ("get", 4, One(&OPERATION)),
        ("put", 5, One(&OPERATION)),
        ("post", 6, One(&OPERATION)),
        ("delete", 7, One(&OPERATION)),
        ("options", 8, One(&OPERATION)),
        ("head", 9, One(&OPERATION)),
        ("patch", 10, One(&OPERATION)),
        ("parameters", 13, Codes(parameter)),
    ],
    14,
);

static OPERATION: Message = plain(
    &[
        ("tags", 1, Texts),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("parameters", 6, Codes(parameter)),
        ("requestBody", 7, Code(body)),
        ("responses", 8, One(&RESPONSES)),
    ],
    13,
);

static RESPONSES: Message = Message { fields: &[], extensions: 3, named: Some((2, response)) };

static RESPONSE: Message = plain(&[("description", 1, Text), ("content", 3, Map(media_type))], 5);

static MEDIA_TYPE: Message = plain(&[("schema", 1, Code(schema_or_reference))], 5);

static BODY: Message = plain(&[("description", 1, Text), ("content", 2, Map(media_type)), ("required", 3, Flag)], 4);

static PARAMETER: Message = plain(
    &[
        ("name", 1, Text),
        ("in", 2, Text),
        ("description", 3, Text),
        ("required", 4, Flag),
        ("schema", 10, Code(schema_or_reference)),
    ],
    14,
);

static SCHEMA: Message = plain(
    &[
        ("nullable", 1, Flag),
        ("externalDocs", 6, One(&EXTERNAL_DOCS)),
        ("example", 7, Yaml),
        ("title", 9, Text),
        ("multipleOf", 10, Double),
        ("maximum", 11, Double),
        ("exclusiveMaximum", 12, Flag),
        ("minimum", 13, Double),
        ("exclusiveMinimum", 14, Flag),
        ("maxLength", 15, Whole),
        ("minLength", 16, Whole),
        ("pattern", 17, Text),
        ("maxItems", 18, Whole),
        ("minItems", 19, Whole),
        ("uniqueItems", 20, Flag),
        ("maxProperties", 21, Whole),
        ("minProperties", 22, Whole),
        ("required", 23, Texts),
        ("enum", 24, Yamls),
        ("type", 25, Text),
        ("allOf", 26, Codes(schema_or_reference)),
        ("oneOf", 27, Codes(schema_or_reference)),
        ("anyOf", 28, Codes(schema_or_reference)),
        ("not", 29, One(&SCHEMA)),
        ("items", 30, Code(items)),
        ("properties", 31, Map(schema_or_reference)),
        ("additionalProperties", 32, Code(additional)),
        ("default", 33, Code(default)),
        ("description", 34, Text),
        ("format", 35, Text),
    ],
    36,
);

/// A schema, or where it is.
pub(super) fn schema_or_reference(value: &Value, out: &mut Vec<u8>) {
    match value.get("$ref") {
        Some(_) => message(2, out, |out| REFERENCE.write(value, out)),
        None => message(1, out, |out| SCHEMA.write(value, out)),
    }
}

fn items(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| schema_or_reference(value, out));
}

fn additional(value: &Value, out: &mut Vec<u8>) {
    match value {
        // A choice is written even where it is false.
        Value::Bool(allowed) => out.extend([2 << 3, u8::from(*allowed)]),
        schema => message(1, out, |out| schema_or_reference(schema, out)),
    }
}

/// A number, a truth or a text; of others nothing is told but that there is one.
fn default(value: &Value, out: &mut Vec<u8>) {
    match value {
        Value::Number(number) => {
            out.push(1 << 3 | 1);
            out.extend(number.as_f64().unwrap_or_default().to_le_bytes());
        }
        Value::Bool(truth) => out.extend([2 << 3, u8::from(*truth)]),
        Value::String(text) => bytes(3, text.as_bytes(), out),
        _ => {}
    }
}

fn media_type(value: &Value, out: &mut Vec<u8>) {
    MEDIA_TYPE.write(value, out);
}

fn parameter(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| PARAMETER.write(value, out));
}

fn body(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| BODY.write(value, out));
}

fn response(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| RESPONSE.write(value, out));
}

pub(super) fn frame(around: &Value, [paths, schemas, _]: [usize; 3]) -> [Vec<u8>; 4] {
    let mut frame = <[Vec<u8>; 4]>::default();
    let [start, first, _, end] = &mut frame;
    bytes(1, around["openapi"].as_str().unwrap_or_default().as_bytes(), start);
    message(2, start, |out| INFO.write(&around["info"], out));
    open(4, paths, start);
    if let Some(schemes) = around["components"]["securitySchemes"].as_object() {
        message(7, end, |out| {
            for (name, scheme) in schemes {
                super::named(1, name, out, |out| message(1, out, |out| SECURITY.write(scheme, out)));
            }
        });
    }
    // Types and ways to get in are components.
    let mut inside = Vec::new();
    open(1, schemas, &mut inside);
    open(5, inside.len() + schemas + end.len(), first);
    first.extend(inside);
    frame
}
