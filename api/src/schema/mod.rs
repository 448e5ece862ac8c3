//! What the fields of a kind are (DESIGN D1): the one description that codecs, patches, OpenAPI and defaults walk.
//!
//! A [`Schema`] is a closed set of message types that refer to each other by [`TypeId`]. The built-in one is read from a
//! committed table (`api/schema/v1.36.txt`, written by `cargo xtask schema`); a CustomResourceDefinition makes its own at
//! run time with [`Schema::new`]. Nothing here knows which of the two it is.
//!
//! Invariants: fields are sorted by JSON name and names are unique within a message; every [`TypeId`] in a schema is one of
//! its own; a message never contains itself without a pointer, list or map in between.
//!
//! Start reading at [`Shape`].

mod table;

use std::collections::HashMap;
use std::sync::{Arc, LazyLock};

use serde_json::{Map, Value};
use smol_str::SmolStr;

/// Index of a type in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// What the value of a field is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// Truth.
    Bool,
    /// A whole number of 32 bits.
    Int32,
    /// A whole number of 64 bits.
    Int64,
    /// A floating point number.
    Double,
    /// Bytes, base64 in JSON.
    Bytes,
    /// resource.Quantity, text in JSON (numbers are read too).
    Quantity,
    /// intstr.IntOrString
    IntOrString,
    /// metav1.Time, to the second.
    Time,
    /// metav1.MicroTime, to the microsecond.
    MicroTime,
    /// runtime.RawExtension: any object, kept as it is.
    RawExtension,
    /// metav1.FieldsV1: an object, kept as it is.
    FieldsV1,
    /// Any JSON, kept as it is.
    Any,
    /// A message of the same schema.
    Message(TypeId),
    /// A message, or something shorter in its place: the unions of apiextensions.
    Union(TypeId, Shortened),
    /// A list of those.
    List(Box<Type>),
    /// A map from text to those.
    Map(Box<Type>),
}

/// What may stand in a message's place in JSON. In protobuf each has a field of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortened {
    /// A list of such messages: JSONSchemaPropsOrArray.
    List,
    /// Whether anything goes: JSONSchemaPropsOrBool.
    Bool,
    /// A list of texts: JSONSchemaPropsOrStringArray.
    Strings,
}

/// How a field behaves when it is absent, null or zero. Named after what the reference's Go structs do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// A value without omitempty: always written. An absent scalar or message reads as its zero value; an absent list or
    /// map stays absent, and so does an empty one (protobuf cannot tell them apart).
    Always,
    /// A value with omitempty: the zero value (`""`, 0, false, an empty list or map) is the same as absent, and dropped.
    OmitZero,
    /// A pointer: absent and zero differ. A null is dropped.
    Pointer,
}

/// How server-side apply merges a list (`x-kubernetes-list-type`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListType {
    /// Replaced as a whole.
    Atomic,
    /// Scalars, each at most once.
    Set,
    /// Messages, told apart by these fields.
    Map(Box<[SmolStr]>),
}

/// How a strategic merge patch changes a field.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PatchStrategy {
    /// `merge`: list items are merged (messages by [`Field::merge_key`], scalars as a set) instead of replaced.
    pub merge: bool,
    /// `retainKeys`: `$retainKeys` may list the only keys that stay.
    pub retain_keys: bool,
    /// `replace`: a message is replaced instead of merged.
    pub replace: bool,
}

/// One field of a message.
#[derive(Clone, Debug)]
pub struct Field {
    /// JSON name.
    pub name: SmolStr,
    /// What it holds.
    pub of: Type,
    /// Protobuf field numbers from this message down to the value: one, or more where protobuf nests what JSON inlines
    /// (`[2, 2]` for Volume.emptyDir, which lives in Volume.volumeSource). Empty for `kind` and `apiVersion` of kinds,
    /// which protobuf carries in its envelope, and in schemas of custom resources.
    pub number: Box<[u32]>,
    /// Whether OpenAPI lists it as required.
    pub required: bool,
    /// What absence means.
    pub presence: Presence,
    /// Server-side apply's view of a list.
    pub list: Option<ListType>,
    /// Whether server-side apply replaces this map or message as a whole.
    pub atomic: bool,
    /// Whether it is merged field by field although its type is replaced as a whole elsewhere.
    pub granular: bool,
    /// patchStrategy
    pub patch: PatchStrategy,
    /// patchMergeKey
    pub merge_key: Option<SmolStr>,
    /// The default that the schema states (`+default`); most defaults are a strategy's.
    pub default: Option<Value>,
}

/// One message type.
#[derive(Clone, Debug)]
pub struct Message {
    /// As in `io.k8s.api.core.v1.Pod`.
    pub name: SmolStr,
    /// Sorted by name.
    pub fields: Vec<Field>,
    /// Whether server-side apply replaces it as a whole (`x-kubernetes-map-type: atomic`).
    pub atomic: bool,
    /// Whether unknown fields are kept (`x-kubernetes-preserve-unknown-fields`).
    pub open: bool,
    /// The canonical form of `{}`, made by [`Schema::new`].
    zero: Map<String, Value>,
    /// Positions of the fields that have a number, by descending number.
    numbered: Box<[usize]>,
}

impl Message {
    /// A message of those fields.
    pub fn new(name: impl Into<SmolStr>, mut fields: Vec<Field>) -> Self {
        fields.sort_by(|a, b| a.name.cmp(&b.name));
        let mut numbered: Vec<usize> = (0..fields.len()).filter(|at| !fields[*at].number.is_empty()).collect();
        numbered.sort_by(|a, b| fields[*b].number.cmp(&fields[*a].number));
        let numbered = numbered.into();
        Self { name: name.into(), fields, atomic: false, open: false, zero: Map::new(), numbered }
    }
}

/// A closed set of types: all of the built-in ones, or those of one CustomResourceDefinition.
#[derive(Debug)]
pub struct Schema {
    messages: Vec<Message>,
    by_name: HashMap<SmolStr, TypeId>,
}

/// One type of a schema. Cheap to copy; what codecs and patches walk.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The set it belongs to.
    pub schema: &'a Schema,
    /// Which of them.
    pub id: TypeId,
}

impl Schema {
    /// A schema of those messages; a [`TypeId`] is a position in the list.
    pub fn new(messages: Vec<Message>) -> Self {
        let by_name = messages.iter().zip(0..).map(|(message, id)| (message.name.clone(), TypeId(id))).collect();
        let mut schema = Self { messages, by_name };
        for id in 0..schema.messages.len() {
            let zero = schema.zero_message(id);
            schema.messages[id].zero = zero;
        }
        schema
    }

    /// The built-in types of Kubernetes v1.36.
    pub fn builtin() -> Arc<Schema> {
        static BUILTIN: LazyLock<Arc<Schema>> = LazyLock::new(|| Arc::new(table::parse(table::V1_36)));
        BUILTIN.clone()
    }

    /// One of its types.
    pub fn shape(&self, id: TypeId) -> Shape<'_> {
        Shape { schema: self, id }
    }

    /// The type of that name, as in `io.k8s.api.core.v1.Pod`.
    pub fn named(&self, name: &str) -> Option<Shape<'_>> {
        self.by_name.get(name).map(|id| self.shape(*id))
    }

    /// Every type.
    pub fn shapes(&self) -> impl Iterator<Item = Shape<'_>> {
        (0..self.messages.len() as u32).map(|id| self.shape(TypeId(id)))
    }

    /// The zero value of a type as the reference writes it; `None` where an absent one stays absent.
    pub fn zero(&self, of: &Type) -> Option<Value> {
        match of {
            Type::String | Type::Bytes => Some(Value::String(String::new())),
            Type::Bool => Some(Value::Bool(false)),
            Type::Int32 | Type::Int64 | Type::IntOrString => Some(Value::from(0)),
            Type::Double => Some(Value::from(0.0)),
            Type::Quantity => Some(Value::from("0")),
            Type::Message(id) => Some(Value::Object(self.messages[id.0 as usize].zero.clone())),
            Type::List(_) | Type::Map(_) => None,
            Type::Time | Type::MicroTime | Type::RawExtension | Type::FieldsV1 | Type::Any | Type::Union(..) => None,
        }
    }

    fn zero_message(&self, id: usize) -> Map<String, Value> {
        let always = self.messages[id].fields.iter().filter(|field| field.presence == Presence::Always);
        let zeros = always.filter_map(|field| {
            let zero = match &field.of {
                Type::Message(inner) => Some(Value::Object(self.zero_message(inner.0 as usize))),
                Type::Bytes => None,
                other => self.zero(other),
            };
            Some((field.name.to_string(), zero?))
        });
        zeros.collect()
    }
}

impl<'a> Shape<'a> {
    /// The message itself.
    pub fn message(self) -> &'a Message {
        &self.schema.messages[self.id.0 as usize]
    }

    /// Its full name, as in `io.k8s.api.core.v1.Pod`.
    pub fn name(self) -> &'a str {
        &self.message().name
    }

    /// Its name without the package, as in `Pod`.
    pub fn short_name(self) -> &'a str {
        self.name().rsplit('.').next().unwrap_or_default()
    }

    /// Its fields, sorted by name.
    pub fn fields(self) -> &'a [Field] {
        &self.message().fields
    }

    /// Positions in [`Shape::fields`] of what protobuf holds, by descending number.
    pub fn numbered(self) -> &'a [usize] {
        &self.message().numbered
    }

    /// The field of that JSON name.
    pub fn field(self, name: &str) -> Option<&'a Field> {
        self.position(name).map(|at| &self.fields()[at])
    }

    /// Where the field of that JSON name stands in [`Shape::fields`].
    pub fn position(self, name: &str) -> Option<usize> {
        self.fields().binary_search_by(|field| field.name.as_str().cmp(name)).ok()
    }

    /// The shape behind a type: of a message itself, of a list's items, of a map's values. `None` for scalars.
    pub fn inside(self, of: &Type) -> Option<Shape<'a>> {
        match of {
            Type::Message(id) | Type::Union(id, _) => Some(self.schema.shape(*id)),
            Type::List(inner) | Type::Map(inner) => self.inside(inner),
            _ => None,
        }
    }

    /// What the canonical form of an empty document holds: the fields that are always written.
    pub fn zero(self) -> &'a Map<String, Value> {
        &self.message().zero
    }
}

impl Field {
    /// Whether it holds a list of messages.
    pub fn is_message_list(&self) -> bool {
        matches!(&self.of, Type::List(item) if matches!(**item, Type::Message(_)))
    }
}

#[cfg(test)]
mod tests;
