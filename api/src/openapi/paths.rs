//! `paths`: what can be done with each resource, under the reference's operation ids.

use serde_json::{Map, json};

use super::schemas::{Schemas, gvk};
use crate::document::{Document, Value};
use crate::resource::{Resource, Served, Subresource};
use crate::schema::Shape;

/// Query parameters and their types. Sorted, as the document has them.
type Parameters = [(&'static str, &'static str)];

const LIST: &Parameters = &[
    ("allowWatchBookmarks", "boolean"),
    ("continue", "string"),
    ("fieldSelector", "string"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
    ("watch", "boolean"),
];

const WRITE: &Parameters = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];

const PATCH: &Parameters =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];

const DELETE: &Parameters = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

const DELETE_COLLECTION: &Parameters = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("labelSelector", "string"),
    ("limit", "integer"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
    ("resourceVersion", "string"),
    ("resourceVersionMatch", "string"),
    ("sendInitialEvents", "boolean"),
    ("shardSelector", "string"),
    ("timeoutSeconds", "integer"),
];

const LOG: &Parameters = &[
    ("container", "string"),
    ("follow", "boolean"),
    ("insecureSkipTLSVerifyBackend", "boolean"),
    ("limitBytes", "integer"),
    ("previous", "boolean"),
    ("sinceSeconds", "integer"),
    ("tailLines", "integer"),
    ("timestamps", "boolean"),
];

const JSON: &[&str] = &["application/json", "application/yaml"];
const STREAM: &[&str] = &["application/json", "application/json;stream=watch", "application/yaml"];
const TEXT: &[&str] = &["text/plain"];
const PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/strategic-merge-patch+json"];

/// Builds the paths of one group version.
pub(super) struct Paths {
    root: String,
    /// `AppsV1`
    title: String,
    /// `apps_v1`
    tag: String,
    done: Map<String, Value>,
}

/// What one operation is about.
struct Operation<'a> {
    method: &'static str,
    /// x-kubernetes-action
    action: &'static str,
    /// The operation id without group and kind: `list`, `delete…Collection`.
    id: String,
    kind: (&'a str, &'a str, &'a str),
    parameters: &'static Parameters,
    body: Option<(&'static [&'static str], Value)>,
    codes: &'static [u16],
    media: &'static [&'static str],
    answer: Value,
}

impl Paths {
    pub(super) fn new(group: &str, version: &str) -> Self {
        let group_name = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
        let title: String = group_name.split('.').map(capital).collect();
        let tag =
            group_name.split('.').enumerate().map(|(at, part)| if at == 0 { part.to_owned() } else { capital(part) });
        Self {
            root: format!("/{}", super::root(group, version)),
            tag: format!("{}_{version}", tag.collect::<String>()),
            title: format!("{title}{}", capital(version)),
            done: Map::new(),
        }
    }

    /// Adds the paths of a resource.
    pub(super) fn resource(&mut self, resource: &Resource, served: &Served, schemas: &mut Schemas<'_>) {
        let shape = resource.shape(served);
        let kind = (served.group.as_str(), served.version.as_str(), resource.kind.as_str());
        let object = schemas.kind(shape, kind.0, kind.1);
        let list = schemas.list(shape, kind.0, kind.1);
        let scope = if resource.namespaced { "Namespaced" } else { "" };
        let has = |verb: &str| served.verbs.contains(&verb);
        let title = &self.title;
        let name = |verb: &str| format!("{verb}{title}{scope}{}", resource.kind);
        let listing = |id: String| Operation { media: STREAM, ..read(id, "list", kind, LIST, &list) };

        let mut collection = Vec::new();
        if has("list") {
            collection.push(listing(name("list")));
        }
        if has("create") {
            collection.push(write("post", name("create"), kind, WRITE, &object, &[200, 201, 202]));
        }
        if has("deletecollection") {
            let id = format!("delete{title}Collection{scope}{}", resource.kind);
            collection.push(delete(id, "deletecollection", kind, DELETE_COLLECTION, &[200], schemas, shape));
        }
        let mut item = Vec::new();
        if has("get") {
            item.push(read(name("read"), "get", kind, &[], &object));
        }
        if has("update") {
            item.push(write("put", name("replace"), kind, WRITE, &object, &[200, 201]));
        }
        if has("patch") {
            item.push(patch(name("patch"), kind, &object, schemas));
        }
        if has("delete") {
            item.push(delete(name("delete"), "delete", kind, DELETE, &[200, 202], schemas, shape));
        }
        let everywhere = listing(format!("list{title}{}ForAllNamespaces", resource.kind));

        let plural = &resource.plural;
        let base = if resource.namespaced {
            self.path(&format!("/{plural}"), &[], vec![everywhere]);
            format!("/namespaces/{{namespace}}/{plural}")
        } else {
            format!("/{plural}")
        };
        let (outer, inner): (&[&str], &[&str]) =
            if resource.namespaced { (&["namespace"], &["name", "namespace"]) } else { (&[], &["name"]) };
        self.path(&base, outer, collection);
        self.path(&format!("{base}/{{name}}"), inner, item);
        for sub in served.subresources.iter().filter(|sub| !sub.is_connect()) {
            let operations = self.subresource(resource, sub, schemas);
            self.path(&format!("{base}/{{name}}/{}", sub.name), inner, operations);
        }
    }

    fn subresource<'a>(
        &self,
        resource: &'a Resource,
        sub: &'a Subresource,
        schemas: &mut Schemas<'_>,
    ) -> Vec<Operation<'a>> {
        let scope = if resource.namespaced { "Namespaced" } else { "" };
        let kind = (sub.group.as_str(), sub.version.as_str(), sub.kind.as_str());
        let name = |verb: &str| format!("{verb}{}{scope}{}{}", self.title, resource.kind, capital(sub.name));
        if sub.name == "log" {
            let answer = json!({"type": "string"});
            return vec![Operation { media: TEXT, ..read(name("read"), "get", kind, LOG, &answer) }];
        }
        let type_name = crate::builtin::type_name(kind.0, kind.1, kind.2);
        let shape = resource.schema.named(&type_name).expect("subresources have kinds of the same schema");
        let object = schemas.kind(shape, kind.0, kind.1);
        let operation = |verb: &&str| match *verb {
            "get" => Some(read(name("read"), "get", kind, &[], &object)),
            "update" => Some(write("put", name("replace"), kind, WRITE, &object, &[200, 201])),
            "create" => Some(write("post", name("create"), kind, WRITE, &object, &[200, 201, 202])),
            "patch" => Some(patch(name("patch"), kind, &object, schemas)),
            _ => None,
        };
        sub.verbs.iter().filter_map(operation).collect()
    }

    /// Adds a path. Parameters that all of its operations share belong to the path.
    fn path(&mut self, path: &str, steps: &[&str], operations: Vec<Operation<'_>>) {
        let Some(first) = operations.first() else { return };
        let shared = |name: &str| operations.iter().all(|other| other.parameters.iter().any(|(have, _)| *have == name));
        let lifted: Vec<_> = first.parameters.iter().filter(|(name, _)| shared(name)).copied().collect();
        let mut parameters: Vec<Value> = steps.iter().map(|name| parameter(name, "string", "path")).collect();
        parameters.extend(lifted.iter().chain(&[("pretty", "string")]).map(|(name, of)| parameter(name, of, "query")));
        parameters.sort_by(|a, b| a.text(&["name"]).cmp(b.text(&["name"])));
        let mut item = json!({ "parameters": parameters });
        for operation in operations {
            item.set(&[operation.method], self.operation(&operation, &lifted));
        }
        self.done.insert(format!("{}{path}", self.root), item);
    }

    fn operation(&self, operation: &Operation<'_>, lifted: &Parameters) -> Value {
        let own = operation.parameters.iter().filter(|parameter| !lifted.contains(parameter));
        let own: Vec<Value> = own.map(|(name, of)| parameter(name, of, "query")).collect();
        let (group, version, kind) = operation.kind;
        let mut document = json!({
            "operationId": operation.id,
            "tags": [self.tag],
            "x-kubernetes-action": operation.action,
            "x-kubernetes-group-version-kind": gvk(group, version, kind),
            "responses": {"401": {"description": "Unauthorized"}},
        });
        if !own.is_empty() {
            document.set(&["parameters"], own);
        }
        if let Some((media, body)) = &operation.body {
            document.set(&["requestBody", "content"], content(media, body));
            if operation.action != "delete" && operation.action != "deletecollection" {
                document.set(&["requestBody", "required"], true);
            }
        }
        for code in operation.codes {
            let words = match code {
                201 => "Created",
                202 => "Accepted",
                _ => "OK",
            };
            let answer = json!({"description": words, "content": content(operation.media, &operation.answer)});
            document.set(&["responses", &code.to_string()], answer);
        }
        document
    }

    pub(super) fn finish(self) -> Map<String, Value> {
        self.done
    }
}

fn read<'a>(
    id: String,
    action: &'static str,
    kind: (&'a str, &'a str, &'a str),
    parameters: &'static Parameters,
    answer: &Value,
) -> Operation<'a> {
    let answer = answer.clone();
    Operation { method: "get", action, id, kind, parameters, body: None, codes: &[200], media: JSON, answer }
}

fn write<'a>(
    method: &'static str,
    id: String,
    kind: (&'a str, &'a str, &'a str),
    parameters: &'static Parameters,
    object: &Value,
    codes: &'static [u16],
) -> Operation<'a> {
    let body = Some((&["*/*"] as &[&str], object.clone()));
    Operation { method, action: method, id, kind, parameters, body, codes, media: JSON, answer: object.clone() }
}

fn patch<'a>(
    id: String,
    kind: (&'a str, &'a str, &'a str),
    object: &Value,
    schemas: &mut Schemas<'_>,
) -> Operation<'a> {
    let body = Some((PATCHES, schemas.patch()));
    Operation { body, ..write("patch", id, kind, PATCH, object, &[200, 201]) }
}

fn delete<'a>(
    id: String,
    action: &'static str,
    kind: (&'a str, &'a str, &'a str),
    parameters: &'static Parameters,
    codes: &'static [u16],
    schemas: &mut Schemas<'_>,
    shape: Shape<'_>,
) -> Operation<'a> {
    let options = schemas.meta(shape.schema, "DeleteOptions");
    let answer = schemas.meta(shape.schema, "Status");
    Operation {
        method: "delete",
        action,
        id,
        kind,
        parameters,
        body: Some((&["*/*"], options)),
        codes,
        media: JSON,
        answer,
    }
}

fn parameter(name: &str, of: &str, place: &str) -> Value {
    let mut parameter = json!({"in": place, "name": name, "schema": {"type": of, "uniqueItems": true}});
    if place == "path" {
        parameter.set(&["required"], true);
    }
    parameter
}

fn content(media: &[&str], schema: &Value) -> Value {
    media.iter().map(|media| ((*media).to_owned(), json!({ "schema": schema }))).collect()
}

fn capital(word: &str) -> String {
    let (first, rest) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
    first.to_ascii_uppercase() + rest
}
