//! The invariant of DESIGN D1 for every kind: what was decoded once survives encoding and decoding unchanged.
//!
//! Bodies are made from the schema with a seeded generator, and are anything but canonical: nulls, zeros, unknown and
//! missing fields, quantities and times in odd forms.

use serde_json::{Map, Value, json};

use super::*;
use crate::builtin::{RuntimeConfig, registry};
use crate::schema::Shortened;

/// splitmix64: small, seeded, good enough to choose fields.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    fn one<'a>(&mut self, of: &[&'a str]) -> &'a str {
        of[self.roll(of.len() as u64) as usize]
    }
}

pub(crate) fn message(shape: Shape<'_>, dice: &mut Dice, depth: usize) -> Value {
    let mut map = Map::new();
    for field in shape.fields() {
        match dice.roll(if depth > 6 { 40 } else { 4 }) {
            0 => _ = map.insert(field.name.to_string(), value(shape, &field.of, dice, depth + 1)),
            1 if dice.roll(8) == 0 => _ = map.insert(field.name.to_string(), Value::Null),
            _ => {}
        }
    }
    if dice.roll(20) == 0 {
        map.insert("notAField".to_owned(), json!({"a": [1, null]}));
    }
    Value::Object(map)
}

fn value(shape: Shape<'_>, of: &Type, dice: &mut Dice, depth: usize) -> Value {
    match of {
        Type::String => dice.one(&["", "a", "web-0", "ü \" \\ \n", "true", "1"]).into(),
        Type::Bool => (dice.roll(2) == 0).into(),
        Type::Int32 => [0, 1, -7, i64::from(i32::MAX), i64::from(i32::MIN)][dice.roll(5) as usize].into(),
        Type::Int64 => [0, 1, -7, i64::MAX, i64::MIN][dice.roll(5) as usize].into(),
        Type::Double => [json!(0), json!(1.5), json!(2.0), json!(-1e300), json!(7)][dice.roll(5) as usize].clone(),
        Type::Bytes => dice.one(&["", "aGVsbG8=", "aGVs\nbG8=", "AAEC"]).into(),
        Type::Quantity => match dice.roll(3) {
            0 => json!(dice.roll(5000)),
            1 => json!(0.25),
            _ => dice.one(&["0", "1", "1000m", "0.5", "1024Ki", "1.5Gi", "100m", "2e3", "1k", "+5", "0.0001"]).into(),
        },
        Type::IntOrString => match dice.roll(2) {
            0 => json!(dice.roll(100)),
            _ => dice.one(&["", "25%", "http"]).into(),
        },
        Type::Time | Type::MicroTime => dice
            .one(&[
                "2026-01-02T03:04:05Z",
                "2026-01-02T03:04:05.678901234+02:00",
                "1970-01-01T00:00:00Z",
                "0001-01-01T00:00:00Z",
            ])
            .into(),
        Type::RawExtension | Type::FieldsV1 | Type::Any => json!({"kind": "X", "zero": 0, "none": null, "list": []}),
        Type::Message(id) => message(shape.schema.shape(*id), dice, depth),
        Type::Union(id, shortened) => match (dice.roll(2), shortened) {
            (0, _) => message(shape.schema.shape(*id), dice, depth),
            (_, Shortened::Bool) => (dice.roll(2) == 0).into(),
            (_, Shortened::List) => value(shape, &Type::List(Box::new(Type::Message(*id))), dice, depth),
            (_, Shortened::Strings) => value(shape, &Type::List(Box::new(Type::String)), dice, depth),
        },
        Type::List(item) => (0..dice.roll(3)).map(|_| value(shape, item, dice, depth + 1)).collect(),
        Type::Map(item) => {
            let pairs = (0..dice.roll(3)).map(|at| (format!("k{at}"), value(shape, item, dice, depth + 1)));
            Value::Object(pairs.collect())
        }
    }
}

#[test]
fn canonical_documents_of_every_kind_survive_json_yaml_and_conform() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    for resource in registry.iter() {
        for served in &resource.served {
            let shape = resource.shape(served);
            for seed in 0..40 {
                let body = message(shape, &mut Dice(seed), 0);
                let what = || format!("{} seed {seed}: {body}", shape.name());
                let first = decode(shape, body.to_string().as_bytes(), Format::Json);
                let first = first.unwrap_or_else(|error| panic!("{error}: {}", what())).value;
                let encoded = serde_json::to_vec(&first).unwrap();
                let again = decode(shape, &encoded, Format::Json).unwrap();
                assert!(again.problems.is_empty(), "{:?}: {}", again.problems, what());
                assert_eq!(again.value, first, "decode is not idempotent: {}", what());
                assert_eq!(serde_json::to_vec(&again.value).unwrap(), encoded);
                assert_eq!(conform(shape, first.clone()).unwrap().value, first, "{}", what());
                assert_eq!(
                    conform(shape, body.clone()).unwrap().value,
                    first,
                    "a body and a patched value differ: {}",
                    what()
                );
                if seed < 4 {
                    let yaml = decode(shape, &encoded, Format::Yaml);
                    let yaml = yaml.unwrap_or_else(|error| panic!("{error}: {}", what()));
                    assert_eq!(yaml.value, first, "JSON is YAML: {}", what());
                    let written = encode(shape, &first, Format::Yaml).unwrap();
                    let yaml = decode(shape, &written, Format::Yaml);
                    let yaml = yaml.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&written)));
                    assert_eq!(yaml.value, first, "{}", String::from_utf8_lossy(&written));
                }
            }
        }
    }
}

#[test]
fn conversions_take_any_canonical_document_and_write_canonical_ones() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let mut met = 0;
    for resource in registry.iter() {
        for served in &resource.served {
            let Some(convert) = served.convert else { continue };
            met += 1;
            for seed in 0..200 {
                let there = |from: Shape<'_>, to: Shape<'_>, convert: fn(&mut Value)| {
                    let mut document = conform(from, message(from, &mut Dice(seed), 0)).unwrap().value;
                    convert(&mut document);
                    assert_eq!(conform(to, document.clone()).unwrap().value, document, "{} seed {seed}", to.name());
                };
                there(resource.stored_shape(), resource.shape(served), convert.from_stored);
                there(resource.shape(served), resource.stored_shape(), convert.to_stored);
            }
        }
    }
    assert!(met >= 5, "events, autoscalers, claims, templates, slices");
}
