//! Parameters of paths and queries. What is said about them stands in the types of options that they belong to.

use crate::Dialect;
use crate::json::{self, Object};
use crate::schemas::META;
use crate::words::Words;

/// Names and types, in order of names.
pub(super) type Table = [(&'static str, &'static str)];

pub(super) const LIST: &Table = &[
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

pub(super) const GET: &Table = &[("resourceVersion", "string")];

pub(super) const WRITE: &Table = &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string")];

pub(super) const PATCH: &Table =
    &[("dryRun", "string"), ("fieldManager", "string"), ("fieldValidation", "string"), ("force", "boolean")];

pub(super) const DELETE: &Table = &[
    ("dryRun", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    ("orphanDependents", "boolean"),
    ("propagationPolicy", "string"),
];

pub(super) const DELETE_COLLECTION: &Table = &[
    ("continue", "string"),
    ("dryRun", "string"),
    ("fieldSelector", "string"),
    ("gracePeriodSeconds", "integer"),
    ("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
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

/// What a subresource of streams takes.
pub(super) fn of_subresource(name: &str) -> &'static Table {
    match name {
        "log" => &[
            ("container", "string"),
            ("follow", "boolean"),
            ("insecureSkipTLSVerifyBackend", "boolean"),
            ("limitBytes", "integer"),
            ("previous", "boolean"),
            ("sinceSeconds", "integer"),
            ("stream", "string"),
            ("tailLines", "integer"),
            ("timestamps", "boolean"),
        ],
        "exec" => &[
            ("command", "string"),
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
        "attach" => &[
            ("container", "string"),
            ("stderr", "boolean"),
            ("stdin", "boolean"),
            ("stdout", "boolean"),
            ("tty", "boolean"),
        ],
        "portforward" => &[("ports", "integer")],
        "proxy" => &[("path", "string")],
        _ => &[],
    }
}

/// One parameter.
#[derive(Clone, Debug)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    of: &'static str,
    place: &'static str,
    /// The inside of a JSON string.
    text: String,
}

impl Parameter {
    /// The query parameters of a table, described by the first of those types that knows them.
    pub(super) fn of(table: &Table, words: &Words, types: &[&str]) -> Vec<Self> {
        let about = |name: &str| {
            let lower = name.to_lowercase();
            let said = types.iter().map(|of| (words.of_field(of, name), words.of_field(of, &lower)));
            let said = said.flat_map(|(exact, lower)| [exact, lower]).find(|text| !text.is_empty());
            said.unwrap_or_else(|| ours(name)).to_owned()
        };
        let one = |(name, of): &(&'static str, &'static str)| Self { name, of, place: "query", text: about(name) };
        table.iter().map(one).collect()
    }

    pub(super) fn pretty() -> Self {
        Self { name: "pretty", of: "string", place: "query", text: ours("pretty").to_owned() }
    }

    /// The name in a path of objects of a kind.
    pub(super) fn name(kind: &str) -> Self {
        Self { name: "name", of: "string", place: "path", text: json::inside(&format!("name of the {kind}")) }
    }

    pub(super) fn namespace() -> Self {
        Self { name: "namespace", of: "string", place: "path", text: ours("namespace").to_owned() }
    }

    /// The rest of a path, which goes on to somebody else.
    pub(super) fn path() -> Self {
        Self { name: "path", of: "string", place: "path", text: ours("path").to_owned() }
    }

    pub(super) fn write(&self, object: &mut Object<'_>, dialect: Dialect) {
        object.words("description", &self.text);
        object.text("in", self.place);
        object.text("name", self.name);
        if self.place == "path" {
            object.flag("required", true);
        }
        let of = |object: &mut Object<'_>| {
            object.text("type", self.of);
            object.flag("uniqueItems", true);
        };
        match dialect {
            Dialect::V2 => of(object),
            Dialect::V3 => object.object("schema", of),
        }
    }

    /// The text by which OpenAPI 2 names it, where it stands once for all paths: `None` for what each has for itself.
    pub(super) fn identity(&self) -> Option<String> {
        if matches!(self.name, "name" | "dryRun" | "fieldValidation") {
            return None;
        }
        Some(json::object(|object| {
            object.flag("uniqueItems", true);
            object.text("type", self.of);
            object.words("description", &escaped(&self.text));
            object.text("name", self.name);
            object.text("in", self.place);
            if self.place == "path" {
                object.flag("required", true);
            }
        }))
    }
}

/// As Go's encoder leaves these signs.
fn escaped(inside: &str) -> String {
    inside.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// The name of a parameter of OpenAPI 2 that all paths share: its own, and a hash of what it is (FNV-1, of which six bytes
/// are kept), as kube-openapi makes it.
pub(super) fn shared_name(name: &str, identity: &str) -> String {
    let hash = identity
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| hash.wrapping_mul(0x0100_0000_01b3) ^ u64::from(byte));
    // Base64 for URLs.
    let sign = |at: u32| {
        let six = (hash >> (58 - 6 * at)) & 63;
        char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[six as usize])
    };
    let hash: String = (0..8).map(sign).collect();
    format!("{name}-{hash}")
}

/// Full names of the types of options.
pub(super) fn options(kind: &str) -> String {
    match kind {
        "ListOptions" | "DeleteOptions" | "CreateOptions" | "UpdateOptions" | "PatchOptions" | "GetOptions" => {
            format!("{META}.{kind}")
        }
        kind => format!("io.k8s.api.core.v1.{kind}"),
    }
}

/// What no source says.
fn ours(name: &str) -> &'static str {
    match name {
        "pretty" => {
            "Whether the answer is indented. It is when the client is a browser, curl or wget, and not otherwise."
        }
        "namespace" => "the namespace of the objects",
        "path" => "the rest of the path, which is sent on as it is",
        "shardSelector" => {
            "Restricts the answer to objects whose uid or namespace hashes into a range, as in \
             shardRange(object.metadata.uid, '0x0000000000000000', '0x8000000000000000'), so that several clients can \
             share the work on one kind (KEP-5866)."
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A name that Kubernetes v1.36 publishes.
    #[test]
    fn shared_parameters_are_named_as_by_the_reference() {
        let words = Words::open();
        let types = [options("DeleteOptions")];
        let types: Vec<&str> = types.iter().map(String::as_str).collect();
        let all = Parameter::of(DELETE, &words, &types);
        let named = |name: &str| {
            let parameter = all.iter().find(|parameter| parameter.name == name).unwrap();
            shared_name(name, &parameter.identity().unwrap())
        };
        assert_eq!(named("gracePeriodSeconds"), "gracePeriodSeconds--K5HaBOS");
        assert_eq!(named("propagationPolicy"), "propagationPolicy-6jk3prlO");
        assert!(all.iter().find(|parameter| parameter.name == "dryRun").unwrap().identity().is_none());
    }
}
