//! A structural schema: JSONSchemaProps, read once.

use std::collections::BTreeMap;

use regex::Regex;
use smol_str::SmolStr;

use crate::document::{Document, Value};

/// What a value may be, and what it must be. Within `all_of`, `any_of`, `one_of` and `not` it only forbids.
#[derive(Debug, Default)]
pub struct Props {
    /// `object`, `array`, `string`, `integer`, `number` or `boolean`; empty for any.
    pub of: SmolStr,
    /// Whether null is a value of it.
    pub nullable: bool,
    /// What stands for a missing value.
    pub default: Option<Value>,
    /// Fields that are known by name.
    pub properties: BTreeMap<String, Props>,
    /// Other fields.
    pub additional: Option<Additional>,
    /// Elements of a list.
    pub items: Option<Box<Props>>,
    /// x-kubernetes-preserve-unknown-fields
    pub preserve: bool,
    /// x-kubernetes-embedded-resource
    pub embedded: bool,
    /// x-kubernetes-int-or-string
    pub int_or_string: bool,
    /// x-kubernetes-list-type, empty for atomic.
    pub list_type: SmolStr,
    /// x-kubernetes-list-map-keys
    pub list_keys: Vec<SmolStr>,
    /// x-kubernetes-map-type: atomic
    pub atomic: bool,
    /// What else is asked of the value.
    pub limits: Limits,
    /// allOf
    pub all_of: Vec<Props>,
    /// anyOf
    pub any_of: Vec<Props>,
    /// oneOf
    pub one_of: Vec<Props>,
    /// not
    pub not: Option<Box<Props>>,
}

/// additionalProperties
#[derive(Debug)]
pub enum Additional {
    /// Anything, or nothing.
    Any(bool),
    /// What fits.
    Of(Box<Props>),
}

/// Bounds on one value.
#[derive(Debug, Default)]
#[allow(missing_docs, reason = "the fields of JSONSchemaProps")]
pub struct Limits {
    pub format: SmolStr,
    pub pattern: Option<Regex>,
    pub values: Vec<Value>,
    pub required: Vec<String>,
    pub minimum: Option<f64>,
    pub maximum: Option<f64>,
    pub exclusive_minimum: bool,
    pub exclusive_maximum: bool,
    pub multiple_of: Option<f64>,
    pub min_length: Option<u64>,
    pub max_length: Option<u64>,
    pub min_items: Option<u64>,
    pub max_items: Option<u64>,
    pub min_properties: Option<u64>,
    pub max_properties: Option<u64>,
    pub unique: bool,
}

impl Props {
    /// Reads canonical JSONSchemaProps. What is not structural is left out: [`super`] says why there is none.
    pub fn read(schema: &Value) -> Self {
        let each = |key: &str| schema.list(&[key]).iter().map(Self::read).collect::<Vec<_>>();
        let inner =
            |key: &str| schema.get(key).filter(|inner| inner.is_object()).map(|inner| Box::new(Self::read(inner)));
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let properties = schema.at(&["properties"]).as_object().into_iter().flatten();
        let keys = schema.list(&["x-kubernetes-list-map-keys"]).iter().filter_map(Value::as_str);
        Self {
            of: schema.text(&["type"]).into(),
            nullable: flag("nullable"),
            default: schema.get("default").cloned(),
            properties: properties.map(|(name, schema)| (name.clone(), Self::read(schema))).collect(),
            additional: match schema.get("additionalProperties") {
                Some(Value::Bool(allows)) => Some(Additional::Any(*allows)),
                Some(inner) if inner.is_object() => Some(Additional::Of(Box::new(Self::read(inner)))),
                _ => None,
            },
            items: inner("items"),
            preserve: flag("x-kubernetes-preserve-unknown-fields"),
            embedded: flag("x-kubernetes-embedded-resource"),
            int_or_string: flag("x-kubernetes-int-or-string"),
            list_type: schema.text(&["x-kubernetes-list-type"]).into(),
            list_keys: keys.map(SmolStr::new).collect(),
            atomic: schema.text(&["x-kubernetes-map-type"]) == "atomic",
            limits: Limits::read(schema),
            all_of: each("allOf"),
            any_of: each("anyOf"),
            one_of: each("oneOf"),
            not: inner("not"),
        }
    }

    /// The schema of a field, by name or of those that are not named.
    pub fn field(&self, name: &str) -> Option<&Self> {
        self.properties.get(name).or(match &self.additional {
            Some(Additional::Of(props)) => Some(props),
            _ => None,
        })
    }

    /// The schema at a path of names.
    pub fn at<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Option<&Self> {
        path.into_iter().try_fold(self, |props, name| props.field(name))
    }
}

impl Limits {
    fn read(schema: &Value) -> Self {
        let float = |key: &str| schema.get(key).and_then(Value::as_f64);
        let count = |key: &str| schema.get(key).and_then(Value::as_u64);
        let flag = |key: &str| schema.get(key).and_then(Value::as_bool).unwrap_or_default();
        let required = schema.list(&["required"]).iter().filter_map(Value::as_str);
        Self {
            format: schema.text(&["format"]).into(),
            pattern: Some(schema.text(&["pattern"]))
                .filter(|text| !text.is_empty())
                .and_then(|text| Regex::new(text).ok()),
            values: schema.list(&["enum"]).to_vec(),
            required: required.map(str::to_owned).collect(),
            minimum: float("minimum"),
            maximum: float("maximum"),
            exclusive_minimum: flag("exclusiveMinimum"),
            exclusive_maximum: flag("exclusiveMaximum"),
            multiple_of: float("multipleOf"),
            min_length: count("minLength"),
            max_length: count("maxLength"),
            min_items: count("minItems"),
            max_items: count("maxItems"),
            min_properties: count("minProperties"),
            max_properties: count("maxProperties"),
            unique: flag("uniqueItems"),
        }
    }
}
