//! The paths of one resource in one of its versions.

use api::resource::{Resource, Served, Subresource};

use super::Paths;
use super::names::{Names, article, capital};
use super::operation::{Answer, Body, Operation};
use super::parameters::{self, Parameter, Table, options};
use crate::kinds::Kind;
use crate::schemas::META;
use crate::words::Words;

const MEDIA: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMS: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const LOG: &[&str] = &["text/plain", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];
/// Custom kinds have no protobuf, and nobody says how their lists would merge.
const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const CUSTOM_PATCHES: &[&str] =
    &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const ANY: &[&str] = &["*/*"];

/// Methods that streams to somebody else take.
const CONNECT: &[&str] = &["delete", "get", "head", "options", "patch", "post", "put"];

/// A resource in one of its versions, and how its operations are named.
struct Row<'a> {
    resource: &'a Resource,
    served: &'a Served,
    names: Names,
    /// The full name of its type.
    object: &'a str,
    /// The full name of its list's type.
    list: &'a str,
    custom: bool,
}

/// Adds the paths of a resource.
pub(super) fn write(paths: &mut Paths<'_, '_>, resource: &Resource, served: &Served, (object, list): (&str, &str)) {
    let names = Names::of(&served.group, Some(&served.version));
    let row = Row { resource, served, names, object, list, custom: served.custom.is_some() };
    let root = format!("/{}", crate::root(&served.group, &served.version));
    let plural = &resource.plural;
    let inside = if resource.namespaced { "/namespaces/{namespace}" } else { "" };
    let add = |paths: &mut Paths<'_, '_>, path: String, own: &[&str], operations: Vec<Operation>| {
        let mut parameters = vec![Parameter::pretty()];
        for name in own {
            parameters.push(match *name {
                "name" => Parameter::name(operations.first().map_or("", |first| named(&row, first))),
                "path" => Parameter::path(),
                _ => Parameter::namespace(),
            });
        }
        if operations.first().is_some_and(|first| first.action == Some("connect")) {
            parameters.remove(0);
        }
        paths.add(format!("{root}{path}"), &row.names, parameters, operations);
    };
    let outer: &[&str] = if resource.namespaced { &["namespace"] } else { &[] };
    let inner: &[&str] = if resource.namespaced { &["name", "namespace"] } else { &["name"] };
    if resource.namespaced && row.may("list") {
        let list = row.list(paths, format!("list{}{}ForAllNamespaces", row.names.title, resource.kind));
        add(paths, format!("/{plural}"), &[], vec![list]);
    }
    let (collection, item) = (row.collection(paths), row.item(paths));
    add(paths, format!("{inside}/{plural}"), outer, collection);
    add(paths, format!("{inside}/{plural}/{{name}}"), inner, item);
    for sub in &served.subresources {
        let operations = row.subresource(paths, sub, "");
        add(paths, format!("{inside}/{plural}/{{name}}/{}", sub.name), inner, operations);
        if sub.name == "proxy" {
            let operations = row.subresource(paths, sub, "WithPath");
            let inner = [inner, &["path"]].concat();
            add(paths, format!("{inside}/{plural}/{{name}}/proxy/{{path}}"), &inner, operations);
        }
    }
    // The old way to ask for a watch.
    if !row.custom && row.may("watch") {
        let (kind, title) = (&resource.kind, &row.names.title);
        if resource.namespaced {
            let watch = row.watch(paths, true, format!("watch{title}{kind}ListForAllNamespaces"));
            add(paths, format!("/watch/{plural}"), &[], vec![watch]);
        }
        let list = row.watch(paths, true, format!("{}List", row.id("watch")));
        add(paths, format!("/watch{inside}/{plural}"), outer, vec![list]);
        let one = row.watch(paths, false, row.id("watch"));
        add(paths, format!("/watch{inside}/{plural}/{{name}}"), inner, vec![one]);
    }
}

/// The parameters of custom kinds' paths that all paths share.
pub(super) fn shared_parameters(words: &Words) -> Vec<Parameter> {
    let mut all = vec![Parameter::pretty(), Parameter::namespace()];
    let tables: [(&Table, &str); 6] = [
        (parameters::GET, "GetOptions"),
        (parameters::LIST, "ListOptions"),
        (parameters::WRITE, "CreateOptions"),
        (parameters::WRITE, "UpdateOptions"),
        (parameters::PATCH, "PatchOptions"),
        (parameters::DELETE, "DeleteOptions"),
    ];
    for (table, kind) in tables {
        all.extend(Parameter::of(table, words, &[&options(kind)]));
    }
    all
}

/// Whose name a path has, in the words of its operation.
fn named<'a>(row: &'a Row<'_>, operation: &'a Operation) -> &'a str {
    operation.kind.as_ref().map_or(&row.resource.kind, |kind| &kind.kind)
}

impl Row<'_> {
    fn may(&self, verb: &str) -> bool {
        self.served.verbs.contains(&verb)
    }

    /// `readAppsV1NamespacedDeployment`
    fn id(&self, verb: &str) -> String {
        let scope = if self.resource.namespaced { "Namespaced" } else { "" };
        format!("{verb}{}{scope}{}", self.names.title, self.resource.kind)
    }

    fn kind(&self) -> Kind {
        Kind::new(&self.served.group, &self.served.version, &self.resource.kind)
    }

    fn media(&self) -> &'static [&'static str] {
        if self.custom { CUSTOM } else { MEDIA }
    }

    /// What the bodies of creations and replacements are written in.
    fn bodies(&self) -> &'static [&'static str] {
        if self.custom { CUSTOM } else { ANY }
    }

    fn read(&self, action: &'static str, id: String, text: String, answer: String) -> Operation {
        Operation {
            method: "get",
            action: Some(action),
            id,
            text,
            kind: Some(self.kind()),
            parameters: Vec::new(),
            body: None,
            consumes: self.bodies(),
            produces: self.media(),
            codes: &[200],
            answer: Answer::Type(answer),
        }
    }

    fn list(&self, paths: &Paths<'_, '_>, id: String) -> Operation {
        let kind = &self.resource.kind;
        let watches = !self.custom && self.may("watch");
        let text = format!("list {}objects of kind {kind}", if watches { "or watch " } else { "" });
        let parameters = of(paths, parameters::LIST, &["ListOptions"]);
        let produces = if self.custom { CUSTOM } else { STREAMS };
        Operation { parameters, produces, ..self.read("list", id, text, self.list.to_owned()) }
    }

    fn watch(&self, paths: &Paths<'_, '_>, list: bool, id: String) -> Operation {
        let kind = &self.resource.kind;
        let (action, text) = match list {
            true => ("watchlist", format!("watch the objects of kind {kind}; deprecated: list them with watch=true")),
            false => (
                "watch",
                format!("watch an object of kind {kind}; deprecated: list it by a fieldSelector with watch=true"),
            ),
        };
        let parameters = of(paths, parameters::LIST, &["ListOptions"]);
        Operation { parameters, produces: STREAMS, ..self.read(action, id, text, format!("{META}.WatchEvent")) }
    }

    fn collection(&self, paths: &Paths<'_, '_>) -> Vec<Operation> {
        let kind = &self.resource.kind;
        let mut operations = Vec::new();
        if self.may("list") {
            operations.push(self.list(paths, self.id("list")));
        }
        if self.may("create") {
            let text = format!("create{}{kind}", article(kind));
            operations.push(self.create(paths, self.id("create"), text, self.object.to_owned()));
        }
        if self.may("deletecollection") {
            let scope = if self.resource.namespaced { "Namespaced" } else { "" };
            let id = format!("delete{}Collection{scope}{kind}", self.names.title);
            let text = format!("delete collection of {kind}");
            let read = self.read("deletecollection", id, text, format!("{META}.Status"));
            operations.push(match self.custom {
                true => {
                    Operation { method: "delete", parameters: of(paths, parameters::LIST, &["ListOptions"]), ..read }
                }
                false => {
                    let parameters = of(paths, parameters::DELETE_COLLECTION, &["DeleteOptions", "ListOptions"]);
                    Operation { method: "delete", parameters, body: Some(delete_options()), ..read }
                }
            });
        }
        operations
    }

    fn item(&self, paths: &Paths<'_, '_>) -> Vec<Operation> {
        let kind = &self.resource.kind;
        let object = || self.object.to_owned();
        let mut operations = Vec::new();
        if self.may("get") {
            let read = self.read("get", self.id("read"), format!("read the specified {kind}"), object());
            operations.push(self.with_version(paths, read));
        }
        if self.may("update") {
            operations.push(self.replace(paths, self.id("replace"), format!("replace the specified {kind}"), object()));
        }
        if self.may("patch") {
            let text = format!("partially update the specified {kind}");
            operations.push(self.patch(paths, self.id("patch"), text, object()));
        }
        if self.may("delete") {
            let text = format!("delete{}{kind}", article(kind));
            // What answers with the last state says so; of a namespace it is promised to nobody.
            let last = self.resource.answers_last_state() && self.resource.id_name != "namespaces";
            let answer = if last { object() } else { format!("{META}.Status") };
            operations.push(Operation {
                method: "delete",
                parameters: of(paths, parameters::DELETE, &["DeleteOptions"]),
                body: Some(delete_options()),
                codes: &[200, 202],
                ..self.read("delete", self.id("delete"), text, answer)
            });
        }
        operations
    }

    /// Reading a custom kind takes a version.
    fn with_version(&self, paths: &Paths<'_, '_>, read: Operation) -> Operation {
        let parameters = if self.custom { of(paths, parameters::GET, &["GetOptions"]) } else { Vec::new() };
        Operation { parameters, ..read }
    }

    fn create(&self, paths: &Paths<'_, '_>, id: String, text: String, object: String) -> Operation {
        Operation {
            method: "post",
            parameters: of(paths, parameters::WRITE, &["CreateOptions"]),
            body: Some(Body { of: object.clone(), required: true }),
            codes: &[200, 201, 202],
            ..self.read("post", id, text, object)
        }
    }

    fn replace(&self, paths: &Paths<'_, '_>, id: String, text: String, object: String) -> Operation {
        Operation {
            method: "put",
            parameters: of(paths, parameters::WRITE, &["UpdateOptions"]),
            body: Some(Body { of: object.clone(), required: true }),
            codes: &[200, 201],
            ..self.read("put", id, text, object)
        }
    }

    fn patch(&self, paths: &Paths<'_, '_>, id: String, text: String, object: String) -> Operation {
        Operation {
            method: "patch",
            parameters: of(paths, parameters::PATCH, &["PatchOptions"]),
            body: Some(Body { of: format!("{META}.Patch"), required: true }),
            consumes: if self.custom { CUSTOM_PATCHES } else { PATCHES },
            codes: if self.custom { &[200] } else { &[200, 201] },
            ..self.read("patch", id, text, object)
        }
    }

    fn subresource(&self, paths: &Paths<'_, '_>, sub: &Subresource, suffix: &str) -> Vec<Operation> {
        let kind = &self.resource.kind;
        let id = |verb: &str| format!("{}{}{suffix}", self.id(verb), capital(sub.name));
        let object = api::builtin::type_name(&sub.group, &sub.version, &sub.kind);
        // A status has its object's type, which a custom kind brings along.
        let object = if *sub.kind == *kind { self.object.to_owned() } else { object };
        let table = parameters::of_subresource(sub.name);
        if sub.name == "log" {
            let read = self.read("get", id("read"), format!("read log of the specified {kind}"), String::new());
            let parameters = of(paths, table, &["PodLogOptions"]);
            return vec![Operation { parameters, produces: LOG, answer: Answer::Text, ..read }];
        }
        if !table.is_empty() {
            return self.connect(paths, sub, table, suffix);
        }
        let about = |verb: &str| format!("{verb} {} of the specified {kind}", sub.name);
        let operation = |verb: &&str| match *verb {
            "get" => Some(self.with_version(paths, self.read("get", id("read"), about("read"), object.clone()))),
            "update" => Some(self.replace(paths, id("replace"), about("replace"), object.clone())),
            "patch" => Some(self.patch(paths, id("patch"), about("partially update"), object.clone())),
            "create" => {
                let text = format!("create {} of{}{kind}", sub.name, article(kind));
                Some(self.create(paths, id("create"), text, object.clone()))
            }
            _ => None,
        };
        let other = Kind::new(&sub.group, &sub.version, &sub.kind);
        let of_its_own = |operation| match self.custom {
            true => operation,
            false => Operation { kind: Some(other.clone()), ..operation },
        };
        sub.verbs.iter().filter_map(operation).map(of_its_own).collect()
    }

    /// What goes on to a kubelet or a Pod: the kind is that of its options.
    fn connect(&self, paths: &Paths<'_, '_>, sub: &Subresource, table: &Table, suffix: &str) -> Vec<Operation> {
        let kind = &self.resource.kind;
        let proxies = sub.name == "proxy";
        let methods = CONNECT.iter().filter(|method| proxies || matches!(**method, "get" | "post"));
        let one = |method: &&'static str| {
            let id = format!("{}{}{suffix}", self.id_of_connection(method), capital(sub.name));
            let text = format!("connect {} requests to {} of {kind}", method.to_uppercase(), sub.name);
            Operation {
                method,
                kind: Some(Kind::new(&sub.group, &sub.version, &sub.kind)),
                parameters: of(paths, table, &[&sub.kind]),
                produces: ANY,
                answer: Answer::Text,
                ..self.read("connect", id, text, String::new())
            }
        };
        methods.map(one).collect()
    }

    /// `connectCoreV1GetNamespacedPod`
    fn id_of_connection(&self, method: &str) -> String {
        let scope = if self.resource.namespaced { "Namespaced" } else { "" };
        format!("connect{}{}{scope}{}", self.names.title, capital(method), self.resource.kind)
    }
}

fn of(paths: &Paths<'_, '_>, table: &Table, kinds: &[&str]) -> Vec<Parameter> {
    let types: Vec<String> = kinds.iter().map(|kind| options(kind)).collect();
    let types: Vec<&str> = types.iter().map(String::as_str).collect();
    Parameter::of(table, &paths.base.words, &types)
}

fn delete_options() -> Body {
    Body { of: format!("{META}.DeleteOptions"), required: false }
}
