//! The messages of openapi.v2.

use serde_json::Value;

use super::As::{
    Code, Codes, Double, Flag, Map, Message as One, Messages, NamedTexts, Text, Texts, Whole, Yaml, Yamls,
};
use super::{Message, bytes, message, open};

const fn plain(fields: &'static [(&'static str, u32, super::As)], extensions: u32) -> Message {
    Message { fields, extensions, named: None }
}

static INFO: Message = plain(&[("title", 1, Text), ("version", 2, Text)], 7);

static API_KEY: Message = plain(&[("type", 1, Text), ("name", 2, Text), ("in", 3, Text), ("description", 4, Text)], 5);

static SECURITY: Message = plain(&[("securityDefinitions", 13, Code(security))], 16);

static EXTERNAL_DOCS: Message = plain(&[("description", 1, Text), ("url", 2, Text)], 3);

pub(super) static PATH_ITEM: Message = plain(
    &[
        ("get", 2, One(&OPERATION)),
        ("put", 3, One(&OPERATION)),
        ("post", 4, One(&OPERATION)),
        ("delete", 5, One(&OPERATION)),
        ("options", 6, One(&OPERATION)),
        ("head", 7, One(&OPERATION)),
        ("patch", 8, One(&OPERATION)),
        ("parameters", 9, Codes(parameter_item)),
    ],
    10,
);

static OPERATION: Message = plain(
    &[
        ("tags", 1, Texts),
        ("description", 3, Text),
        ("operationId", 5, Text),
        ("produces", 6, Texts),
        ("consumes", 7, Texts),
        ("parameters", 8, Codes(parameter_item)),
        ("responses", 9, One(&RESPONSES)),
        ("schemes", 10, Texts),
    ],
    13,
);

static RESPONSES: Message = Message { fields: &[], extensions: 2, named: Some((1, response_value)) };

static RESPONSE: Message = plain(&[("description", 1, Text), ("schema", 2, Code(schema_item))], 5);

static BODY: Message = plain(
    &[("description", 1, Text), ("name", 2, Text), ("in", 3, Text), ("required", 4, Flag), ("schema", 5, One(&SCHEMA))],
    6,
);

static QUERY: Message = plain(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 6, Text),
        ("uniqueItems", 20, Flag),
    ],
    23,
);

static PATH: Message = plain(
    &[
        ("required", 1, Flag),
        ("in", 2, Text),
        ("description", 3, Text),
        ("name", 4, Text),
        ("type", 5, Text),
        ("uniqueItems", 19, Flag),
    ],
    22,
);

static REFERENCE: Message = plain(&[("$ref", 1, Text), ("description", 2, Text)], 0);

pub(super) static SCHEMA: Message = plain(
    &[
        ("$ref", 1, Text),
        ("format", 2, Text),
        ("title", 3, Text),
        ("description", 4, Text),
        ("default", 5, Yaml),
        ("multipleOf", 6, Double),
        ("maximum", 7, Double),
        ("exclusiveMaximum", 8, Flag),
        ("minimum", 9, Double),
        ("exclusiveMinimum", 10, Flag),
        ("maxLength", 11, Whole),
        ("minLength", 12, Whole),
        ("pattern", 13, Text),
        ("maxItems", 14, Whole),
        ("minItems", 15, Whole),
        ("uniqueItems", 16, Flag),
        ("maxProperties", 17, Whole),
        ("minProperties", 18, Whole),
        ("required", 19, Texts),
        ("enum", 20, Yamls),
        ("additionalProperties", 21, Code(additional)),
        ("type", 22, Code(type_item)),
        ("items", 23, Code(items)),
        ("allOf", 24, Messages(&SCHEMA)),
        ("properties", 25, Map(schema)),
        ("externalDocs", 29, One(&EXTERNAL_DOCS)),
        ("example", 30, Yaml),
    ],
    31,
);

fn schema(value: &Value, out: &mut Vec<u8>) {
    SCHEMA.write(value, out);
}

fn additional(value: &Value, out: &mut Vec<u8>) {
    match value {
        // A choice is written even where it is false.
        Value::Bool(allowed) => out.extend([2 << 3, u8::from(*allowed)]),
        schema => message(1, out, |out| SCHEMA.write(schema, out)),
    }
}

fn type_item(value: &Value, out: &mut Vec<u8>) {
    bytes(1, value.as_str().unwrap_or_default().as_bytes(), out);
}

fn items(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| SCHEMA.write(value, out));
}

fn schema_item(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| SCHEMA.write(value, out));
}

fn response_value(value: &Value, out: &mut Vec<u8>) {
    message(1, out, |out| RESPONSE.write(value, out));
}

fn parameter_item(value: &Value, out: &mut Vec<u8>) {
    match value.get("$ref") {
        Some(_) => message(2, out, |out| REFERENCE.write(value, out)),
        None => message(1, out, |out| parameter(value, out)),
    }
}

/// A parameter: a body, or in a path or a query.
pub(super) fn parameter(value: &Value, out: &mut Vec<u8>) {
    match value["in"].as_str() {
        Some("body") => message(1, out, |out| BODY.write(value, out)),
        Some("path") => message(2, out, |out| message(4, out, |out| PATH.write(value, out))),
        _ => message(2, out, |out| message(3, out, |out| QUERY.write(value, out))),
    }
}

fn security(value: &Value, out: &mut Vec<u8>) {
    for (name, value) in value.as_object().into_iter().flatten() {
        super::named(1, name, out, |out| message(2, out, |out| API_KEY.write(value, out)));
    }
}

pub(super) fn frame(around: &Value, [paths, schemas, parameters]: [usize; 3]) -> [Vec<u8>; 4] {
    let mut frame = <[Vec<u8>; 4]>::default();
    let [start, first, second, end] = &mut frame;
    bytes(1, around["swagger"].as_str().unwrap_or_default().as_bytes(), start);
    message(2, start, |out| INFO.write(&around["info"], out));
    open(8, paths, start);
    open(9, schemas, first);
    open(10, parameters, second);
    NamedTexts.write(12, &around["security"], end);
    SECURITY.write(around, end);
    frame
}
