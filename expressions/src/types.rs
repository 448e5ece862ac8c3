//! CEL's types.

use std::fmt;
use std::sync::Arc;

use smol_str::SmolStr;

/// A type.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Type {
    /// Known only when it is evaluated.
    Dyn,
    /// What an error left behind; fits everywhere, so that one mistake is told once.
    Error,
    /// `null`
    Null,
    /// `bool`
    Bool,
    /// `int`, of 64 bits.
    Int,
    /// `uint`, of 64 bits.
    Uint,
    /// `double`
    Double,
    /// `string`
    String,
    /// `bytes`
    Bytes,
    /// `google.protobuf.Duration`
    Duration,
    /// `google.protobuf.Timestamp`
    Timestamp,
    /// The type of a type; of any where none is named.
    Type(Option<Arc<Type>>),
    /// `list(T)`
    List(Arc<Type>),
    /// `map(K, V)`
    Map(Arc<(Type, Type)>),
    /// `optional_type(T)`
    Optional(Arc<Type>),
    /// A message with fields: a schema's object, or one whose values only functions know (`kubernetes.Quantity`).
    Object(SmolStr),
    /// A type without fields: `net.IP`, `net.CIDR`.
    Opaque(SmolStr),
    /// A parameter of an overload, or a type that is yet to be found.
    Param(SmolStr),
}

impl Type {
    /// `list(of)`
    pub fn list(of: Type) -> Self {
        Type::List(Arc::new(of))
    }

    /// `map(key, value)`
    pub fn map(key: Type, value: Type) -> Self {
        Type::Map(Arc::new((key, value)))
    }

    /// `optional_type(of)`
    pub fn optional(of: Type) -> Self {
        Type::Optional(Arc::new(of))
    }

    /// A message.
    pub fn object(name: impl Into<SmolStr>) -> Self {
        Type::Object(name.into())
    }

    /// A type without fields.
    pub fn opaque(name: impl Into<SmolStr>) -> Self {
        Type::Opaque(name.into())
    }

    /// A parameter of an overload.
    pub fn param(name: &'static str) -> Self {
        Type::Param(SmolStr::new_static(name))
    }

    pub(crate) fn of_type(of: Type) -> Self {
        Type::Type(Some(Arc::new(of)))
    }

    pub(crate) fn is_dyn(&self) -> bool {
        matches!(self, Type::Dyn)
    }

    pub(crate) fn is_dyn_or_error(&self) -> bool {
        matches!(self, Type::Dyn | Type::Error)
    }

    /// The type within an optional one, and whether it was one.
    pub(crate) fn unwrap_optional(&self) -> (&Type, bool) {
        match self {
            Type::Optional(inner) => (inner, true),
            other => (other, false),
        }
    }

    /// Whether a value of it has one size: what the reference calls a scalar.
    pub(crate) fn is_scalar(&self) -> bool {
        match self {
            Type::Bool | Type::Double | Type::Duration | Type::Int | Type::Timestamp | Type::Uint => true,
            Type::Optional(inner) => inner.is_scalar(),
            _ => false,
        }
    }

    /// Its name without parameters, as `string(type(x))` has it.
    pub fn name(&self) -> &str {
        match self {
            Type::Dyn => "dyn",
            Type::Error => "!error!",
            Type::Null => "null_type",
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Uint => "uint",
            Type::Double => "double",
            Type::String => "string",
            Type::Bytes => "bytes",
            Type::Duration => "google.protobuf.Duration",
            Type::Timestamp => "google.protobuf.Timestamp",
            Type::Type(_) => "type",
            Type::List(_) => "list",
            Type::Map(_) => "map",
            Type::Optional(_) => "optional_type",
            Type::Object(name) | Type::Opaque(name) | Type::Param(name) => name,
        }
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Type::Duration => f.write_str("duration"),
            Type::Timestamp => f.write_str("timestamp"),
            Type::Null => f.write_str("null"),
            Type::Type(Some(of)) => write!(f, "type({of})"),
            Type::List(of) => write!(f, "list({of})"),
            Type::Map(of) => write!(f, "map({}, {})", of.0, of.1),
            Type::Optional(of) => write!(f, "optional_type({of})"),
            other => f.write_str(other.name()),
        }
    }
}
