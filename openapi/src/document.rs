//! How the parts of a document are put together.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::{Dialect, Parts, protobuf};

/// What a document is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// application/json
    Json,
    /// application/com.github.proto-openapi.spec.v2.v1.0+protobuf, and the same of v3
    Protobuf,
}

/// What stands around the sections of a document: before the paths, between them and the types, between these and the
/// parameters, and behind them. In JSON a comma stands between the pieces of a section, in protobuf nothing. `lengths` are
/// those of the sections, for protobuf. `custom` is about a document that has custom kinds and nothing else.
pub fn frame(dialect: Dialect, form: Form, custom: bool, lengths: [usize; 3]) -> [Vec<u8>; 4] {
    match form {
        Form::Json => json_frame(dialect, custom).map(|text| text.as_bytes().to_vec()),
        Form::Protobuf => protobuf::frame(dialect, custom, lengths),
    }
}

pub(crate) fn json_frame(dialect: Dialect, custom: bool) -> [&'static str; 4] {
    match (dialect, custom) {
        (Dialect::V2, _) => [
            r#"{"swagger":"2.0","info":{"title":"Kubernetes","version":"1.36"},"paths":{"#,
            r#"},"definitions":{"#,
            r#"},"parameters":{"#,
            r#"},"securityDefinitions":{"BearerToken":{"description":"Bearer Token authentication","in":"header","name":"authorization","type":"apiKey"}},"security":[{"BearerToken":[]}]}"#,
        ],
        (Dialect::V3, false) => [
            r#"{"openapi":"3.0.0","info":{"title":"Kubernetes","version":"1.36"},"paths":{"#,
            r#"},"components":{"schemas":{"#,
            "",
            r#"},"securitySchemes":{"BearerToken":{"description":"Bearer Token authentication","in":"header","name":"authorization","type":"apiKey"}}}}"#,
        ],
        (Dialect::V3, true) => [
            r#"{"openapi":"3.0.0","info":{"title":"Kubernetes CRD Swagger","version":"v0.1.0"},"paths":{"#,
            r#"},"components":{"schemas":{"#,
            "",
            "}}}",
        ],
    }
}

impl Parts {
    /// The inside of each section: paths, types, parameters.
    pub fn sections(&self, dialect: Dialect, form: Form) -> [Vec<u8>; 3] {
        match form {
            Form::Json => [section(&self.paths), section(&self.schemas), section(&self.parameters)],
            Form::Protobuf => protobuf::sections(dialect, self),
        }
    }

    /// A document of these parts alone.
    pub fn document(&self, dialect: Dialect, form: Form) -> Vec<u8> {
        let sections = self.sections(dialect, form);
        let frame = frame(dialect, form, false, [sections[0].len(), sections[1].len(), sections[2].len()]);
        let [paths, schemas, parameters] = sections;
        let [start, first, second, end] = frame;
        [start, paths, first, schemas, second, parameters, end].concat()
    }
}

fn section<T: Display>(parts: &BTreeMap<String, T>) -> Vec<u8> {
    let mut text = String::new();
    for (name, json) in parts {
        let comma = if text.is_empty() { "" } else { "," };
        text.push_str(&format!("{comma}{}:{json}", serde_json::Value::from(name.as_str())));
    }
    text.into_bytes()
}
