//! Types as OpenAPI sees them. [`Schemas`] collects what one document mentions and what that reaches; [`Base`] keeps the
//! text of each type for as long as documents are made, since most of them mention the same ones. [`message`] writes the
//! types of the table, [`scalars`] those that are no messages.

mod message;
mod scalars;

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use api::Registry;
use api::schema::Schema;

use crate::Dialect;
use crate::json::{self, Object};
use crate::kinds::{Kind, Kinds};
use crate::words::Words;

pub(crate) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// What every document is made from.
pub(crate) struct Base {
    pub(crate) words: Words,
    pub(crate) kinds: Kinds,
    schema: Arc<Schema>,
    texts: RefCell<HashMap<(Dialect, String), Arc<Text>>>,
}

/// A type as JSON, and the types that it mentions.
#[derive(Default)]
struct Text {
    json: Arc<str>,
    mentions: Vec<String>,
}

/// The types of one document.
pub(crate) struct Schemas<'a> {
    base: &'a Base,
    dialect: Dialect,
    /// Of which groups and versions the options and events are that all of them share.
    shared: Vec<(String, String)>,
    done: BTreeMap<String, Arc<str>>,
}

impl Base {
    pub(crate) fn of(registry: &Registry) -> Self {
        Self { words: Words::open(), kinds: Kinds::of(registry), schema: Schema::builtin(), texts: RefCell::default() }
    }

    fn text(&self, dialect: Dialect, name: &str) -> Arc<Text> {
        if let Some(text) = self.texts.borrow().get(&(dialect, name.to_owned())) {
            return text.clone();
        }
        let text = Arc::new(self.make(dialect, name));
        self.texts.borrow_mut().insert((dialect, name.to_owned()), text.clone());
        text
    }

    fn make(&self, dialect: Dialect, name: &str) -> Text {
        if let Some(shape) = self.schema.named(name) {
            return message::write(self, dialect, shape);
        }
        let item = name.strip_suffix("List").and_then(|item| self.schema.named(item));
        match item {
            Some(item) => message::list(self, dialect, name, item),
            None => scalars::write(self, dialect, name),
        }
    }
}

impl<'a> Schemas<'a> {
    pub(crate) fn new(base: &'a Base, dialect: Dialect, shared: Vec<(String, String)>) -> Self {
        Self { base, dialect, shared, done: BTreeMap::new() }
    }

    /// Makes a type and all that it reaches part of the document.
    pub(crate) fn mention(&mut self, name: &str) {
        if self.done.contains_key(name) {
            return;
        }
        let text = self.base.text(self.dialect, name);
        let json = match name.strip_prefix(META) {
            Some(".DeleteOptions" | ".WatchEvent") => self.shared(&name[META.len() + 1..], &text.json),
            _ => text.json.clone(),
        };
        self.done.insert(name.to_owned(), json);
        for name in &text.mentions {
            self.mention(name);
        }
    }

    /// Adds a type that is nobody else's. It must not mention any that the document lacks.
    pub(crate) fn insert(&mut self, name: &str, schema: &serde_json::Value) {
        self.done.insert(name.to_owned(), schema.to_string().into());
    }

    /// A type of which each version of each group has its own kind.
    fn shared(&self, kind: &str, json: &str) -> Arc<str> {
        let kinds: Vec<Kind> = self.shared.iter().map(|(group, version)| Kind::new(group, version, kind)).collect();
        let kinds = json::object(|object| object.list(GVK, |list| Kind::write_all(&kinds, list)));
        let open = json.strip_suffix('}').expect("a type is an object");
        format!("{open},{}", &kinds[1..]).into()
    }

    /// Everything that was mentioned, by name.
    pub(crate) fn finish(self) -> BTreeMap<String, Arc<str>> {
        self.done
    }
}

pub(crate) const GVK: &str = "x-kubernetes-group-version-kind";

/// Writes the fields of a reference to a type: nothing may stand beside a bare one in OpenAPI 3.
pub(crate) fn refer(object: &mut Object<'_>, dialect: Dialect, name: &str, alone: bool) {
    let to = dialect.reference(name);
    match dialect {
        Dialect::V3 if !alone => object.list("allOf", |list| list.object(|inner| inner.text("$ref", &to))),
        _ => object.text("$ref", &to),
    }
}
