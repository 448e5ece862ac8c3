//! One operation of a path, and the text of a path.

use std::collections::BTreeMap;

use super::parameters::{Parameter, shared_name};
use crate::Dialect;
use crate::json::{self, List, Object};
use crate::kinds::Kind;
use crate::schemas::GVK;

/// What is done with one method on one path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// x-kubernetes-action
    pub(super) action: Option<&'static str>,
    pub(super) id: String,
    pub(super) text: String,
    pub(super) kind: Option<Kind>,
    pub(super) parameters: Vec<Parameter>,
    pub(super) body: Option<Body>,
    pub(super) consumes: &'static [&'static str],
    pub(super) produces: &'static [&'static str],
    pub(super) codes: &'static [u16],
    pub(super) answer: Answer,
}

/// What is sent.
pub(super) struct Body {
    /// The full name of its type.
    pub(super) of: String,
    pub(super) required: bool,
}

/// What comes back.
#[derive(Clone)]
pub(super) enum Answer {
    /// A type, by its full name.
    Type(String),
    /// Bytes as they come.
    Text,
}

/// How one document writes operations.
pub(super) struct Writer<'a> {
    pub(super) dialect: Dialect,
    pub(super) tag: &'a str,
    /// Parameters that stand once for all paths, by name: OpenAPI 2 only.
    pub(super) shared: &'a mut BTreeMap<String, String>,
}

impl Writer<'_> {
    /// A path. Parameters that all of its operations take belong to the path.
    pub(super) fn path(&mut self, mut own: Vec<Parameter>, mut operations: Vec<Operation>) -> String {
        let everywhere = |name: &str, all: &[Operation]| {
            all.iter().all(|operation| operation.parameters.iter().any(|parameter| parameter.name == name))
        };
        let lifted = operations
            .first()
            .map(|first| first.parameters.iter().filter(|parameter| everywhere(parameter.name, &operations)).cloned());
        let lifted: Vec<Parameter> = lifted.into_iter().flatten().collect();
        for operation in &mut operations {
            operation.parameters.retain(|parameter| lifted.iter().all(|lifted| lifted.name != parameter.name));
        }
        own.extend(lifted);
        own.sort_by_key(|parameter| parameter.name);
        operations.sort_by_key(|operation| operation.method);
        json::object(|item| {
            let mut operations = operations.iter().peekable();
            while let Some(operation) = operations.next_if(|operation| operation.method < "parameters") {
                item.object(operation.method, |object| self.operation(operation, object));
            }
            if !own.is_empty() {
                item.list("parameters", |list| own.iter().for_each(|one| self.parameter(one, list)));
            }
            for operation in operations {
                item.object(operation.method, |object| self.operation(operation, object));
            }
        })
    }

    fn operation(&mut self, operation: &Operation, object: &mut Object<'_>) {
        let has_body = operation.body.is_some();
        if self.dialect == Dialect::V2 && !operation.consumes.is_empty() {
            object.texts("consumes", operation.consumes.iter().copied());
        }
        object.text("description", &operation.text);
        object.text("operationId", &operation.id);
        if !operation.parameters.is_empty() || (self.dialect == Dialect::V2 && has_body) {
            object.list("parameters", |list| {
                if let (Dialect::V2, Some(body)) = (self.dialect, &operation.body) {
                    self.body_parameter(body, list);
                }
                operation.parameters.iter().for_each(|parameter| self.parameter(parameter, list));
            });
        }
        match (self.dialect, &operation.body) {
            (Dialect::V2, _) => object.texts("produces", operation.produces.iter().copied()),
            (Dialect::V3, Some(body)) => object.object("requestBody", |object| {
                let answer = Answer::Type(body.of.clone());
                content(object, operation.consumes, &answer);
                if body.required {
                    object.flag("required", true);
                }
            }),
            (Dialect::V3, None) => {}
        }
        object.object("responses", |object| self.responses(operation, object));
        if self.dialect == Dialect::V2 {
            object.texts("schemes", ["https"]);
        }
        object.texts("tags", [self.tag]);
        if let Some(action) = operation.action {
            object.text("x-kubernetes-action", action);
        }
        if let Some(kind) = &operation.kind {
            object.object(GVK, |object| kind.write(object));
        }
    }

    fn parameter(&mut self, parameter: &Parameter, list: &mut List<'_>) {
        list.object(|object| {
            match parameter.identity().filter(|_| self.dialect == Dialect::V2) {
                Some(identity) => {
                    let name = shared_name(parameter.name, &identity);
                    object.text("$ref", &format!("#/parameters/{name}"));
                    self.shared.insert(name, json::object(|object| parameter.write(object, Dialect::V2)));
                }
                None => parameter.write(object, self.dialect),
            };
        });
    }

    /// The body, which is a parameter in OpenAPI 2. Of those that are no kind of their own there is one for all paths.
    fn body_parameter(&mut self, body: &Body, list: &mut List<'_>) {
        list.object(|object| match body.of.starts_with("io.k8s.apimachinery") {
            true => object.text("$ref", &format!("#/parameters/{}", self.share_body(body))),
            false => write_body(body, object),
        });
    }

    /// Makes a body one of the parameters of all paths; answers its name.
    pub(super) fn share_body(&mut self, body: &Body) -> String {
        let identity = json::object(|object| write_body(body, object));
        let name = shared_name("body", &identity);
        self.shared.insert(name.clone(), identity);
        name
    }

    fn responses(&self, operation: &Operation, object: &mut Object<'_>) {
        for code in operation.codes {
            let words = match code {
                201 => "Created",
                202 => "Accepted",
                _ => "OK",
            };
            object.object(&code.to_string(), |object| {
                match self.dialect {
                    Dialect::V3 => content(object, operation.produces, &operation.answer),
                    Dialect::V2 => {}
                }
                object.text("description", words);
                if self.dialect == Dialect::V2 {
                    schema(object, Dialect::V2, &operation.answer);
                }
            });
        }
        object.object("401", |object| object.text("description", "Unauthorized"));
    }
}

fn write_body(body: &Body, object: &mut Object<'_>) {
    object.text("name", "body");
    object.text("in", "body");
    if body.required {
        object.flag("required", true);
    }
    object.object("schema", |schema| schema.text("$ref", &Dialect::V2.reference(&body.of)));
}

fn content(object: &mut Object<'_>, media: &[&str], of: &Answer) {
    object.object("content", |object| {
        media.iter().for_each(|media| object.object(media, |object| schema(object, Dialect::V3, of)));
    });
}

fn schema(object: &mut Object<'_>, dialect: Dialect, of: &Answer) {
    object.object("schema", |object| match of {
        Answer::Type(name) => object.text("$ref", &dialect.reference(name)),
        Answer::Text => object.text("type", "string"),
    });
}
