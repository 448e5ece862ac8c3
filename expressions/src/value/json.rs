//! What an expression made, as JSON.

use base64::Engine;
use serde_json::{Map as Fields, Value as Json};

use super::{Map, Value};
use crate::evaluate::{Failure, Meter};
use crate::time::{format_duration, format_timestamp};

/// Whole numbers up to here have a floating point number of their own.
const EXACT: f64 = 9_007_199_254_740_992.0;

impl Value<'_> {
    /// As JSON: messages as objects, bytes in base64, times and durations as text. What has no JSON is an error.
    pub fn to_json(&self, meter: &mut Meter<'_>) -> Result<Json, Failure> {
        meter.work(1)?;
        Ok(match self {
            Value::Null | Value::Optional(None) => Json::Null,
            Value::Bool(value) => Json::from(*value),
            Value::Int(value) => Json::from(*value),
            Value::Uint(value) => Json::from(*value),
            // A whole number is written as one.
            Value::Double(value) if value.fract() == 0.0 && value.abs() <= EXACT => Json::from(*value as i64),
            Value::Double(value) => Json::from(*value),
            Value::String(text) => Json::from(text.as_str()),
            Value::Bytes(bytes) => Json::from(base64::engine::general_purpose::STANDARD.encode(bytes)),
            Value::Duration(nanoseconds) => Json::from(format_duration(*nanoseconds)),
            Value::Timestamp(nanoseconds) => Json::from(format_timestamp(*nanoseconds)),
            Value::List(list) => {
                let items = list.items(meter)?;
                items.iter().map(|item| item.to_json(meter)).collect::<Result<Vec<_>, _>>()?.into()
            }
            Value::Map(Map::Json(document)) => document.json.clone(),
            Value::Map(Map::Values(entries)) => {
                let mut fields = Fields::new();
                for (key, value) in entries.iter() {
                    let Some(name) = key.as_text() else {
                        let of = key.type_of();
                        return Err(Failure::error(format!("map key is of type {}, not string", of.name())));
                    };
                    fields.insert(name.to_owned(), value.to_json(meter)?);
                }
                fields.into()
            }
            Value::Struct(message) => {
                let mut fields = Fields::new();
                for (name, value) in &message.fields {
                    fields.insert(name.to_string(), value.to_json(meter)?);
                }
                fields.into()
            }
            Value::Optional(Some(value)) => value.to_json(meter)?,
            Value::Type(_) | Value::Opaque(_) => {
                let of = self.type_of();
                return Err(Failure::error(format!("a value of type {} cannot be written as JSON", of.name())));
            }
        })
    }
}
