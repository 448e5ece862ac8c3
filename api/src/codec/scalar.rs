//! Scalars with a form of their own: what may be read into them, and the one text that they are written as.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use serde_json::{Number, Value};

use crate::schema::Type;
use crate::{quantity, time};

/// A scalar of the body.
pub(super) enum Scalar {
    Bool(bool),
    Number(Number),
    Text(String),
}

/// Why a scalar does not fit.
pub(super) enum Misfit {
    /// Another type of JSON: `string`, `bool`, `number`, `number 1.5`.
    Type(String),
    /// The right type with content that it cannot have, in full words.
    Content(String),
}

impl Scalar {
    /// What Go's decoder calls it.
    fn word(&self) -> String {
        match self {
            Self::Bool(_) => "bool".to_owned(),
            Self::Number(_) => "number".to_owned(),
            Self::Text(_) => "string".to_owned(),
        }
    }

    /// The canonical value of a type.
    pub(super) fn read(self, of: &Type) -> Result<Value, Misfit> {
        match (of, self) {
            (Type::String, Self::Text(text)) => Ok(Value::String(text)),
            (Type::Bool, Self::Bool(value)) => Ok(Value::Bool(value)),
            (Type::Int32, Self::Number(number)) => int(number, i64::from(i32::MIN), i64::from(i32::MAX)),
            (Type::Int64, Self::Number(number)) => int(number, i64::MIN, i64::MAX),
            (Type::Double, Self::Number(number)) => Ok(double(number)),
            (Type::Bytes, Self::Text(text)) => bytes(&text),
            (Type::Quantity, Self::Text(text)) => {
                quantity::canonical(&text).map(Value::String).map_err(Misfit::Content)
            }
            (Type::Quantity, Self::Number(number)) => {
                quantity::canonical(&number.to_string()).map(Value::String).map_err(Misfit::Content)
            }
            (Type::Quantity, Self::Bool(value)) => {
                quantity::canonical(&value.to_string()).map(Value::String).map_err(Misfit::Content)
            }
            (Type::IntOrString, Self::Text(text)) => Ok(Value::String(text)),
            (Type::IntOrString, Self::Number(number)) => int(number, i64::from(i32::MIN), i64::from(i32::MAX)),
            (Type::Time, Self::Text(text)) => instant(&text, "2006-01-02T15:04:05Z07:00", time::format_seconds),
            (Type::MicroTime, Self::Text(text)) => {
                instant(&text, "2006-01-02T15:04:05.000000Z07:00", time::format_micros)
            }
            (Type::Any | Type::RawExtension | Type::FieldsV1, Self::Text(text)) => Ok(Value::String(text)),
            (Type::Any | Type::RawExtension | Type::FieldsV1, Self::Bool(value)) => Ok(Value::Bool(value)),
            (Type::Any | Type::RawExtension | Type::FieldsV1, Self::Number(number)) => Ok(Value::Number(number)),
            (_, other) => Err(Misfit::Type(other.word())),
        }
    }
}

fn int(number: Number, min: i64, max: i64) -> Result<Value, Misfit> {
    match number.as_i64() {
        Some(value) if (min..=max).contains(&value) => Ok(Value::from(value)),
        _ => Err(Misfit::Type(format!("number {number}"))),
    }
}

/// Go writes whole floats without a fraction.
fn double(number: Number) -> Value {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match number.as_f64() {
        Some(value) if value.fract() == 0.0 && value.abs() < EXACT => Value::from(value as i64),
        _ => Value::Number(number),
    }
}

/// As lenient as Go's: line breaks are skipped, left-over bits ignored. Padding is a must.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
        .with_decode_allow_trailing_bits(true),
);

fn bytes(text: &str) -> Result<Value, Misfit> {
    let unbroken: String;
    let text = if text.contains(['\r', '\n']) {
        unbroken = text.replace(['\r', '\n'], "");
        &unbroken
    } else {
        text
    };
    let bytes = BASE64.decode(text).map_err(|error| {
        let at = match error {
            base64::DecodeError::InvalidByte(at, _) => at,
            _ => text.len(),
        };
        Misfit::Content(format!("illegal base64 data at input byte {at}"))
    })?;
    Ok(Value::String(BASE64.encode(bytes)))
}

fn instant(text: &str, layout: &str, format: fn(i64) -> String) -> Result<Value, Misfit> {
    match time::parse(text) {
        Some(micros) => Ok(Value::String(format(micros))),
        None => Err(Misfit::Content(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?}"))),
    }
}
