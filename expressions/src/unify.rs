//! Which type fits where: unification of types with free parameters, as the reference does it.
//!
//! What was found out about a parameter is undone where the whole does not fit in the end.

use std::collections::HashMap;

use smol_str::SmolStr;

use crate::types::Type;

/// What free parameters stand for.
#[derive(Debug, Default)]
pub(crate) struct Substitutions {
    bound: HashMap<SmolStr, Type>,
    /// What was there before each change, newest last.
    trail: Vec<(SmolStr, Option<Type>)>,
    fresh: usize,
}

impl Substitutions {
    /// A parameter that stands for nothing yet.
    pub(crate) fn fresh(&mut self) -> Type {
        self.fresh += 1;
        Type::Param(smol_str::format_smolstr!("_var{}", self.fresh - 1))
    }

    fn find(&self, of: &Type) -> Option<&Type> {
        match of {
            Type::Param(name) => self.bound.get(name),
            _ => None,
        }
    }

    fn bind(&mut self, param: &Type, to: Type) {
        if let Type::Param(name) = param {
            let before = self.bound.insert(name.clone(), to);
            self.trail.push((name.clone(), before));
        }
    }

    fn undo(&mut self, mark: usize) {
        for (name, before) in self.trail.drain(mark..).rev() {
            match before {
                Some(of) => self.bound.insert(name, of),
                None => self.bound.remove(&name),
            };
        }
    }

    /// Whether `a` fits `b`. Parameters are bound only if it does.
    pub(crate) fn fits(&mut self, a: &Type, b: &Type) -> bool {
        self.all_fit(std::slice::from_ref(a), std::slice::from_ref(b))
    }

    /// Whether each fits its counterpart, all together.
    pub(crate) fn all_fit(&mut self, a: &[Type], b: &[Type]) -> bool {
        let mark = self.trail.len();
        let fits = self.each(a, b);
        if !fits {
            self.undo(mark);
        }
        fits
    }

    fn each(&mut self, a: &[Type], b: &[Type]) -> bool {
        a.len() == b.len() && a.iter().zip(b).all(|(a, b)| self.assignable(a, b))
    }

    fn assignable(&mut self, a: &Type, b: &Type) -> bool {
        if let Type::Param(_) = b {
            match self.substitutes(a, b) {
                (true, _) => return true,
                (false, true) => return false,
                _ => {}
            }
        }
        if let Type::Param(_) = a {
            return self.substitutes(b, a).0;
        }
        if a.is_dyn_or_error() || b.is_dyn_or_error() {
            return true;
        }
        match (a, b) {
            (Type::Null, other) | (other, Type::Null) => nullable(other),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.assignable(a, b),
            (Type::Map(a), Type::Map(b)) => self.assignable(&a.0, &b.0) && self.assignable(&a.1, &b.1),
            _ => a == b,
        }
    }

    /// Whether the parameter may stand for `of`, and whether it stood for something.
    fn substitutes(&mut self, of: &Type, param: &Type) -> (bool, bool) {
        if of == param {
            return (true, true);
        }
        if let Some(bound) = self.find(param).cloned() {
            if bound == *of {
                return (true, true);
            }
            if !self.assignable(of, &bound) {
                return (false, true);
            }
            let general = most_general(of, &bound).clone();
            if self.absent(param, &general) {
                self.bind(param, general);
            }
            return (true, true);
        }
        if self.absent(param, of) {
            self.bind(param, of.clone());
            return (true, false);
        }
        (false, false)
    }

    /// Whether a parameter does not occur within a type.
    fn absent(&self, param: &Type, within: &Type) -> bool {
        if param == within {
            return false;
        }
        match within {
            Type::Param(_) => self.find(within).is_none_or(|bound| self.absent(param, bound)),
            Type::List(of) | Type::Optional(of) | Type::Type(Some(of)) => self.absent(param, of),
            Type::Map(of) => self.absent(param, &of.0) && self.absent(param, &of.1),
            _ => true,
        }
    }

    /// The type with what is known about its parameters; what is not known becomes `dyn` if `finish`.
    pub(crate) fn apply(&self, of: &Type, finish: bool) -> Type {
        if let Some(bound) = self.find(of) {
            return self.apply(bound, finish);
        }
        match of {
            Type::Param(_) if finish => Type::Dyn,
            Type::List(inner) => Type::list(self.apply(inner, finish)),
            Type::Optional(inner) => Type::optional(self.apply(inner, finish)),
            Type::Map(inner) => Type::map(self.apply(&inner.0, finish), self.apply(&inner.1, finish)),
            Type::Type(Some(inner)) => Type::of_type(self.apply(inner, finish)),
            other => other.clone(),
        }
    }
}

/// The type with an overload's parameters replaced by fresh ones.
pub(crate) fn instantiate(of: &Type, fresh: &HashMap<SmolStr, Type>) -> Type {
    match of {
        Type::Param(name) => fresh.get(name).unwrap_or(of).clone(),
        Type::List(inner) => Type::list(instantiate(inner, fresh)),
        Type::Optional(inner) => Type::optional(instantiate(inner, fresh)),
        Type::Map(inner) => Type::map(instantiate(&inner.0, fresh), instantiate(&inner.1, fresh)),
        Type::Type(Some(inner)) => Type::of_type(instantiate(inner, fresh)),
        other => other.clone(),
    }
}

/// Whether null fits.
fn nullable(of: &Type) -> bool {
    let wrapped = matches!(of, Type::Object(_) | Type::Opaque(_) | Type::Optional(_));
    wrapped || matches!(of, Type::Null | Type::Duration | Type::Timestamp)
}

/// The more general of two types that fit each other.
pub(crate) fn most_general<'a>(a: &'a Type, b: &'a Type) -> &'a Type {
    if equal_or_less_specific(a, b) { a } else { b }
}

fn equal_or_less_specific(a: &Type, b: &Type) -> bool {
    match (a, b) {
        (Type::Dyn | Type::Param(_), _) => true,
        (_, Type::Dyn | Type::Param(_)) => false,
        (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => equal_or_less_specific(a, b),
        (Type::Map(a), Type::Map(b)) => equal_or_less_specific(&a.0, &b.0) && equal_or_less_specific(&a.1, &b.1),
        (Type::Type(_), Type::Type(_)) => true,
        _ => a == b,
    }
}
