//! What the fields of a kind are (DESIGN D1).

/// Index of a type in its [`Schema`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TypeId(pub u32);

/// A closed set of types: all of the built-in ones, or those of one CustomResourceDefinition.
#[derive(Debug)]
pub struct Schema {}

/// One type of a schema. Cheap to copy; what codecs and patches walk.
#[derive(Clone, Copy, Debug)]
pub struct Shape<'a> {
    /// The set it belongs to.
    pub schema: &'a Schema,
    /// Which of them.
    pub id: TypeId,
}

impl Schema {
    /// The built-in types of Kubernetes v1.36.
    pub fn builtin() -> std::sync::Arc<Schema> {
        todo!()
    }

    /// One of its types.
    pub fn shape(&self, id: TypeId) -> Shape<'_> {
        Shape { schema: self, id }
    }

    /// The type of that name, as in `io.k8s.api.core.v1.Pod`.
    pub fn named(&self, _name: &str) -> Option<Shape<'_>> {
        todo!()
    }
}
