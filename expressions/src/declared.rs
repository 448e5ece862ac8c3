//! What a schema says about a JSON document, as far as expressions need it: the type that they see, how a value is
//! converted when it is looked at, and how large it may become.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;
use smol_str::SmolStr;

use crate::escape::{is_reserved, unescape};
use crate::types::Type;

/// A name that is shared.
pub type Name = SmolStr;

/// The largest body of a request: what bounds sizes for which a schema states no limit.
pub(crate) const REQUEST_BYTES: u64 = 3 * 1024 * 1024;

/// How equality and `+` treat a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListKind {
    /// Item by item.
    Atomic,
    /// In any order.
    Set,
    /// In any order, items told apart by these fields (JSON names).
    Map(Vec<Name>),
}

/// A field of an object.
#[derive(Clone, Debug)]
pub struct DeclaredField {
    /// The JSON name.
    pub name: Name,
    /// What it holds.
    pub of: Arc<Declared>,
}

/// What kind of value it is.
#[derive(Clone, Debug)]
pub enum DeclaredKind {
    /// Anything, seen by its JSON type.
    Dyn,
    /// `x-kubernetes-int-or-string`
    IntOrString,
    /// A boolean.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// Text.
    String,
    /// Text in base64.
    Bytes,
    /// Text that is a duration.
    Duration,
    /// Text that is a date.
    Date,
    /// Text that is a time.
    DateTime,
    /// A list.
    List(Arc<Declared>, ListKind),
    /// An object with any keys and values of one type.
    Map(Arc<Declared>),
    /// An object with fields, by the identifiers that expressions reach them by; what its JSON holds beside them is seen
    /// by equality alone.
    Object {
        /// Its type's name in expressions.
        name: Name,
        /// By identifier.
        fields: BTreeMap<Name, DeclaredField>,
    },
}

/// A type of values with their limits.
#[derive(Clone, Debug)]
pub struct Declared {
    /// What it is.
    pub kind: DeclaredKind,
    /// Whether null is a value of it.
    pub nullable: bool,
    /// The most items, entries or characters that it may have. 0 where that makes no sense.
    pub max_elements: u64,
    /// The least bytes that it takes in JSON.
    pub min_bytes: u64,
}

impl Declared {
    /// Anything.
    pub fn anything() -> Arc<Self> {
        Arc::new(Self { kind: DeclaredKind::Dyn, nullable: true, max_elements: REQUEST_BYTES - 2, min_bytes: 1 })
    }

    /// A scalar with the limits that follow from its kind.
    pub fn scalar(kind: DeclaredKind) -> Arc<Self> {
        let (max_elements, min_bytes) = match kind {
            DeclaredKind::Bool => (0, 4),
            DeclaredKind::Int | DeclaredKind::Double => (0, 1),
            DeclaredKind::IntOrString => (REQUEST_BYTES - 2, 1),
            DeclaredKind::Duration => (32, 3),
            DeclaredKind::Date => (12, 12),
            DeclaredKind::DateTime => (32, 21),
            _ => (REQUEST_BYTES - 2, 2),
        };
        Arc::new(Self { kind, nullable: false, max_elements, min_bytes })
    }

    /// An object with those fields: JSON name and type. Names without an identifier are left out.
    pub fn object(name: impl Into<Name>, fields: impl IntoIterator<Item = (Name, Arc<Declared>)>) -> Arc<Self> {
        let fields = fields.into_iter().filter_map(|(name, of)| {
            let identifier = crate::escape::escape(&name)?.into();
            Some((identifier, DeclaredField { name, of }))
        });
        let kind = DeclaredKind::Object { name: name.into(), fields: fields.collect() };
        Arc::new(Self { kind, nullable: false, max_elements: 0, min_bytes: 2 })
    }

    /// A list without a limit.
    pub fn list(of: Arc<Declared>) -> Arc<Self> {
        let max_elements = (REQUEST_BYTES - 2) / (of.min_bytes + 1);
        let kind = DeclaredKind::List(of, ListKind::Atomic);
        Arc::new(Self { kind, nullable: false, max_elements, min_bytes: 2 })
    }

    /// A map without a limit.
    pub fn map(of: Arc<Declared>) -> Arc<Self> {
        let max_elements = (REQUEST_BYTES - 2) / (of.min_bytes + 6);
        Arc::new(Self { kind: DeclaredKind::Map(of), nullable: false, max_elements, min_bytes: 2 })
    }

    /// The type that expressions see.
    pub fn cel_type(&self) -> Type {
        match &self.kind {
            DeclaredKind::Dyn | DeclaredKind::IntOrString => Type::Dyn,
            DeclaredKind::Bool => Type::Bool,
            DeclaredKind::Int => Type::Int,
            DeclaredKind::Double => Type::Double,
            DeclaredKind::String => Type::String,
            DeclaredKind::Bytes => Type::Bytes,
            DeclaredKind::Duration => Type::Duration,
            DeclaredKind::Date | DeclaredKind::DateTime => Type::Timestamp,
            DeclaredKind::List(of, _) => Type::list(of.cel_type()),
            DeclaredKind::Map(of) => Type::map(Type::String, of.cel_type()),
            DeclaredKind::Object { name, .. } => Type::Object(name.clone()),
        }
    }

    /// The field that an identifier reaches.
    pub fn field(&self, identifier: &str) -> Option<&DeclaredField> {
        let DeclaredKind::Object { fields, .. } = &self.kind else { return None };
        fields.get(identifier).or_else(|| {
            // Reserved words may stand behind a dot as they are.
            is_reserved(identifier).then(|| fields.get(format!("__{identifier}__").as_str())).flatten()
        })
    }

    /// Every object type in it, itself included.
    pub(crate) fn objects<'a>(self: &'a Arc<Self>, into: &mut Vec<&'a Arc<Declared>>) {
        match &self.kind {
            DeclaredKind::List(of, _) | DeclaredKind::Map(of) => of.objects(into),
            DeclaredKind::Object { fields, .. } => {
                into.push(self);
                fields.values().for_each(|field| field.of.objects(into));
            }
            _ => {}
        }
    }

    /// The type that a path leads to: identifiers, `@items`, `@values`, `@keys`.
    pub(crate) fn at(&self, path: &[Name]) -> Option<Reached<'_>> {
        let Some((step, rest)) = path.split_first() else { return Some(Reached::Of(self)) };
        match (step.as_str(), &self.kind) {
            ("@items", DeclaredKind::List(of, _)) | ("@values", DeclaredKind::Map(of)) => of.at(rest),
            // What the reference takes for the keys of a map.
            ("@items", DeclaredKind::Map(of)) | ("@values", DeclaredKind::List(of, _)) => of.at(rest),
            ("@keys", DeclaredKind::Map(_)) => rest.is_empty().then_some(Reached::Key),
            (name, _) => self.field(name)?.of.at(rest),
        }
    }
}

/// Where a path led.
pub(crate) enum Reached<'a> {
    Of(&'a Declared),
    /// The key of a map.
    Key,
}

/// A value of a document with what a schema says about it.
#[derive(Clone, Copy, Debug)]
pub struct Document<'d> {
    /// The value.
    pub json: &'d Json,
    /// Its type.
    pub of: &'d Declared,
}

impl<'d> Document<'d> {
    /// The type of a JSON object's value, and where its key leads. `None` for what expressions do not see.
    pub(crate) fn property(&self, key: &str) -> Option<Document<'d>> {
        let map = self.json.as_object()?;
        match &self.of.kind {
            DeclaredKind::Object { .. } => {
                let field = self.of.field(key);
                let field = match field {
                    Some(field) => field,
                    None => self.of.field(&crate::escape::escape(&unescape(key)?)?)?,
                };
                Some(Document { json: map.get(field.name.as_str())?, of: &field.of })
            }
            DeclaredKind::Map(of) => Some(Document { json: map.get(key)?, of }),
            _ => Some(Document { json: map.get(key)?, of: self.of }),
        }
    }
}
