//! What the schema says about a place in a document, in the terms of structured merges: a leaf, a list whose items have
//! names, a map, or something that is owned as a whole.

use crate::crd::Props;
use crate::crd::props::Additional;
use crate::document::Value;
use crate::schema::{Field, ListType, Presence, Schema, Shape, Type};
use smol_str::SmolStr;

use super::element::Element;

/// A place in a document.
#[derive(Clone, Copy, Debug)]
pub(super) enum Place<'a> {
    /// One value.
    Scalar(Scalar),
    /// A message; owned as a whole where it is atomic.
    Message(Shape<'a>, bool),
    /// A map with values of that type.
    Map(Shape<'a>, &'a Type, bool),
    /// A list of that type.
    List(Shape<'a>, &'a Type, Items<'a>),
    /// What the schema of a custom kind describes.
    Custom(Custom<'a>),
    /// Whatever is there: maps are merged, lists are owned as a whole.
    Deduced,
    /// Whatever is there, owned as a whole.
    Whole,
}

/// A place in a custom object.
#[derive(Clone, Copy, Debug)]
pub(super) struct Custom<'a> {
    props: &'a Props,
    /// Whether it is an object of its own, with kind, apiVersion and metadata; and where the types of that are.
    object: Option<&'a Schema>,
    schema: &'a Schema,
    /// Whether fields that are not named are kept, as is said here or above.
    open: bool,
}

/// What a leaf may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scalar {
    Text,
    Number,
    Truth,
    /// Quantities, times, numbers that may be text.
    Any,
}

/// How the items of a list are told apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Items<'a> {
    /// Not at all.
    Atomic,
    /// By their value.
    Set,
    /// By these fields of theirs.
    Keyed(&'a [SmolStr]),
}

/// What a value at a place is treated as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form<'a> {
    Scalar(Scalar),
    List(Items<'a>),
    /// Whether it is owned as a whole.
    Map(bool),
}

impl<'a> Place<'a> {
    /// A whole document.
    pub(super) fn root(shape: Shape<'a>) -> Self {
        Self::Message(shape, shape.message().atomic)
    }

    /// A whole document of a custom kind; `shape` belongs to the schema that has the types of metadata.
    pub(super) fn custom(shape: Shape<'a>, props: &'a Props) -> Self {
        let schema = shape.schema;
        Self::Custom(Custom { props, object: Some(schema), schema, open: props.preserve })
    }

    fn of_field(shape: Shape<'a>, field: &'a Field) -> Self {
        match (&field.of, Self::of(shape, &field.of)) {
            (Type::List(items), _) => Self::List(shape, items, Items::of(field)),
            (_, Self::Message(shape, atomic)) => Self::Message(shape, (atomic && !field.granular) || field.atomic),
            (_, Self::Map(shape, values, _)) => Self::Map(shape, values, field.atomic),
            (_, place) => place,
        }
    }

    fn of(shape: Shape<'a>, of: &'a Type) -> Self {
        match of {
            Type::String | Type::Bytes => Self::Scalar(Scalar::Text),
            Type::Bool => Self::Scalar(Scalar::Truth),
            Type::Int32 | Type::Int64 | Type::Double => Self::Scalar(Scalar::Number),
            Type::Quantity | Type::IntOrString | Type::Time | Type::MicroTime => Self::Scalar(Scalar::Any),
            Type::RawExtension => Self::Whole,
            // The reference says of these that they may be anything.
            Type::FieldsV1 | Type::Any | Type::Union(..) => Self::Deduced,
            Type::Message(id) => Self::root(shape.schema.shape(*id)),
            Type::List(items) => Self::List(shape, items, Items::Atomic),
            Type::Map(values) => Self::Map(shape, values, false),
        }
    }

    /// What a value here is treated as. Nothing and null may be anything, and count as a map where that is possible.
    pub(super) fn form(self, value: Option<&Value>) -> Form<'a> {
        let whole = matches!(self, Self::Whole);
        match (self, value) {
            (Self::Scalar(scalar), _) => Form::Scalar(scalar),
            (Self::Message(_, atomic) | Self::Map(_, _, atomic), _) => Form::Map(atomic),
            (Self::List(_, _, items), _) => Form::List(items),
            (Self::Custom(custom), value) => custom.form(value),
            (_, Some(Value::Array(_))) => Form::List(Items::Atomic),
            (_, Some(Value::Object(_)) | None | Some(Value::Null)) => Form::Map(whole),
            (_, Some(_)) => Form::Scalar(Scalar::Any),
        }
    }

    /// The place of a field of a message or a value of a map; `None` where the schema knows none of that name.
    pub(super) fn child(self, key: &str) -> Option<Self> {
        match self {
            Self::Message(shape, _) => match shape.field(key) {
                Some(field) => Some(Self::of_field(shape, field)),
                None => shape.message().open.then_some(Self::Deduced),
            },
            Self::Map(shape, values, _) => Some(Self::of(shape, values)),
            Self::Custom(custom) => custom.child(key),
            Self::Deduced => Some(Self::Deduced),
            Self::Whole => Some(Self::Whole),
            Self::Scalar(_) | Self::List(..) => None,
        }
    }

    /// Whether the schema names that field, rather than allowing any.
    pub(super) fn declares(self, key: &str) -> bool {
        match self {
            Self::Message(shape, _) => shape.field(key).is_some(),
            Self::Custom(custom) => custom.declares(key),
            _ => false,
        }
    }

    /// Whether what is here has no type but that of its value.
    pub(super) fn is_deduced(self) -> bool {
        match self {
            Self::Deduced | Self::Whole => true,
            Self::Custom(custom) => custom.props.of.is_empty() && !custom.props.atomic,
            _ => false,
        }
    }

    /// How the items of this list are told apart; `None` for what is no list.
    fn list(self) -> Option<Items<'a>> {
        match self {
            Self::List(_, _, items) => Some(items),
            Self::Custom(custom) => custom.list(),
            _ => None,
        }
    }

    /// The place of a list's items.
    pub(super) fn items(self) -> Option<Self> {
        match self {
            Self::List(shape, items, _) => Some(Self::of(shape, items)),
            Self::Custom(custom) => custom.items(),
            Self::Deduced | Self::Whole => Some(Self::Whole),
            _ => None,
        }
    }

    /// The place behind one step.
    pub(super) fn step(self, element: &Element) -> Option<Self> {
        match element {
            Element::Field(name) => self.child(name),
            Element::Key(_) | Element::Item(_) | Element::Index(_) => self.items(),
        }
    }

    /// What an absent field of a message is in Go: a list or map that is always written is null, and so not missing.
    pub(super) fn is_null_when_absent(self, key: &str) -> bool {
        let Self::Message(shape, _) = self else { return false };
        shape
            .field(key)
            .is_some_and(|field| field.presence == Presence::Always && matches!(field.of, Type::List(_) | Type::Map(_)))
    }

    /// What tells an item of this list from others, or why nothing does.
    pub(super) fn element(self, item: &Value) -> Result<Element, String> {
        let Some(items) = self.list() else { return Err("invalid indexing of non-associative list".into()) };
        match (items, item) {
            (Items::Atomic, _) => Err("invalid indexing of non-associative list".into()),
            (Items::Set, Value::Object(_)) => {
                Err("associative list without keys has an element that's a map type".into())
            }
            (Items::Set, Value::Array(_)) => Err("not supported: associative list with lists as elements".into()),
            (Items::Set, Value::Null) => {
                Err("associative list without keys has an element that's an explicit null".into())
            }
            (Items::Set, value) => Ok(Element::Item(value.clone())),
            (Items::Keyed(keys), Value::Object(fields)) => {
                let value = |key: &SmolStr| fields.get(key.as_str()).cloned().or_else(|| self.default_key(key));
                let mut found: Vec<(SmolStr, Value)> =
                    keys.iter().filter_map(|key| Some((key.clone(), value(key)?))).collect();
                if found.is_empty() {
                    let quoted: Vec<String> = keys.iter().map(|key| format!("{key:?}")).collect();
                    return Err(format!(
                        "associative list with keys has an element that omits all key fields [{}] (and doesn't have \
                         default values for any key fields)",
                        quoted.join(" ")
                    ));
                }
                found.sort_by(|a, b| a.0.cmp(&b.0));
                Ok(Element::Key(found.into()))
            }
            (Items::Keyed(_), Value::Null) => Err("associative list with keys may not have a null element".into()),
            (Items::Keyed(_), _) => Err("associative list with keys may not have non-map elements".into()),
        }
    }

    /// The value that a key has where an item does not say it: its default, or the zero value of what is always there.
    fn default_key(self, key: &str) -> Option<Value> {
        match self {
            Self::List(shape, of, _) => {
                let inner = shape.inside(of)?;
                let field = inner.field(key)?;
                let zero = || (field.presence == Presence::Always).then(|| inner.schema.zero(&field.of)).flatten();
                field.default.clone().or_else(zero)
            }
            Self::Custom(custom) => custom.props.items.as_ref()?.properties.get(key)?.default.clone(),
            _ => None,
        }
    }

    /// Whether two items of this list are the same one; the items' elements are not made for it.
    pub(super) fn is_same_item(self, a: &Value, b: &Value) -> bool {
        match self.list() {
            Some(Items::Keyed(keys)) => keys.iter().all(|key| {
                let (a, b) = (a.get(key.as_str()), b.get(key.as_str()));
                a == b
            }),
            _ => a == b,
        }
    }
}

impl<'a> Custom<'a> {
    fn of(self, props: &'a Props) -> Place<'a> {
        let object = props.embedded.then_some(self.schema);
        Place::Custom(Custom { props, object, schema: self.schema, open: self.open || props.preserve })
    }

    fn form(self, value: Option<&Value>) -> Form<'a> {
        let props = self.props;
        match (props.of.as_str(), value) {
            ("object", _) => Form::Map(props.atomic),
            ("array", _) => Form::List(self.items_of_list()),
            ("integer" | "number", _) => Form::Scalar(Scalar::Number),
            ("boolean", _) => Form::Scalar(Scalar::Truth),
            ("string", _) if matches!(props.limits.format.as_str(), "" | "byte") => Form::Scalar(Scalar::Text),
            ("string", _) | ("", Some(Value::String(_) | Value::Number(_) | Value::Bool(_))) => {
                Form::Scalar(Scalar::Any)
            }
            (_, Some(Value::Array(_))) => Form::List(self.items_of_list()),
            (_, _) => Form::Map(props.atomic),
        }
    }

    fn items_of_list(self) -> Items<'a> {
        match self.props.list_type.as_str() {
            "map" => Items::Keyed(&self.props.list_keys),
            "set" => Items::Set,
            _ => Items::Atomic,
        }
    }

    fn list(self) -> Option<Items<'a>> {
        matches!(self.props.of.as_str(), "array" | "").then(|| self.items_of_list())
    }

    /// The type of a field that every object has.
    fn meta(self, key: &str) -> Option<Place<'a>> {
        let schema = self.object?;
        match key {
            "apiVersion" | "kind" => Some(Place::Scalar(Scalar::Text)),
            "metadata" => schema.named(OBJECT_META).map(Place::root),
            _ => None,
        }
    }

    fn declares(self, key: &str) -> bool {
        self.meta(key).is_some() || self.props.properties.contains_key(key)
    }

    fn child(self, key: &str) -> Option<Place<'a>> {
        if let Some(meta) = self.meta(key) {
            return Some(meta);
        }
        if let Some(props) = self.props.properties.get(key) {
            return Some(self.of(props));
        }
        let is_free = self.props.properties.is_empty() && self.object.is_none();
        match &self.props.additional {
            Some(Additional::Of(props)) => Some(self.of(props)),
            Some(Additional::Any(allowed)) => allowed.then_some(Place::Deduced),
            None => (self.open || is_free).then_some(Place::Deduced),
        }
    }

    fn items(self) -> Option<Place<'a>> {
        self.list()?;
        Some(self.props.items.as_ref().map_or(Place::Whole, |items| self.of(items)))
    }
}

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

impl<'a> Items<'a> {
    /// Lists that only strategic merge patches merge are merged here by the same key.
    fn of(field: &'a Field) -> Self {
        match (&field.list, field.patch.merge, &field.merge_key) {
            (Some(ListType::Map(keys)), ..) => Self::Keyed(keys),
            (Some(ListType::Set), ..) => Self::Set,
            (Some(ListType::Atomic), ..) => Self::Atomic,
            (None, true, Some(key)) => Self::Keyed(std::slice::from_ref(key)),
            (None, true, None) => Self::Set,
            (None, false, _) => Self::Atomic,
        }
    }
}
