//! What expressions see of the documents of a built-in kind: the types that a policy is checked against.

use std::sync::Arc;

use expressions::{Declared, DeclaredKind};

use crate::schema::{Shape, Type, TypeId};

/// The type of a shape's documents, called `name` in errors.
pub fn declare(shape: Shape<'_>, name: &str) -> Arc<Declared> {
    message(shape, name, &mut Vec::new())
}

fn message(shape: Shape<'_>, name: &str, around: &mut Vec<TypeId>) -> Arc<Declared> {
    if around.contains(&shape.id) {
        // What contains itself is not looked into twice, as in the reference.
        return Declared::object(name, []);
    }
    around.push(shape.id);
    let fields = shape.fields().iter();
    let fields = fields.filter_map(|field| {
        let of = declared(shape, &field.of, &format!("{name}.{}", field.name), around)?;
        Some((field.name.clone(), of))
    });
    let fields: Vec<_> = fields.collect();
    around.pop();
    Declared::object(name, fields)
}

/// `None` for what may be anything: expressions do not see it.
fn declared(shape: Shape<'_>, of: &Type, name: &str, around: &mut Vec<TypeId>) -> Option<Arc<Declared>> {
    Some(match of {
        Type::String | Type::Quantity => Declared::scalar(DeclaredKind::String),
        Type::Bool => Declared::scalar(DeclaredKind::Bool),
        Type::Int32 | Type::Int64 => Declared::scalar(DeclaredKind::Int),
        Type::Double => Declared::scalar(DeclaredKind::Double),
        Type::Bytes => Declared::scalar(DeclaredKind::Bytes),
        Type::IntOrString => Declared::scalar(DeclaredKind::IntOrString),
        Type::Time | Type::MicroTime => Declared::scalar(DeclaredKind::DateTime),
        Type::RawExtension | Type::FieldsV1 => Declared::object(name, []),
        Type::Any | Type::Union(..) => return None,
        Type::Message(id) => message(shape.schema.shape(*id), name, around),
        Type::List(of) => Declared::list(declared(shape, of, &format!("{name}.@idx"), around)?),
        Type::Map(of) => Declared::map(declared(shape, of, &format!("{name}.@elem"), around)?),
    })
}
