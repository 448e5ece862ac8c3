//! Expressions of admission: match conditions of webhooks, and all that admission policies say.
//!
//! Each sees `object`, `oldObject`, `request` and `namespaceObject`; where it is offered, `params`, `authorizer`, the `variables`
//! of its policy, and the messages that patches are made of. Whoever validates a configuration and whoever runs it compile with
//! the same [`Compiler`], so that what was accepted runs.

mod messages;
mod typecheck;
mod types;

use std::collections::BTreeMap;
use std::sync::LazyLock;

use expressions::{CompileError, Environment, Name, Program, Type};

pub use messages::{json_patch, object_patch};
pub use typecheck::type_check;
pub use types::{namespace, request};

/// What one expression may cost when it runs: the reference's PerCallLimit.
pub const PER_CALL: u64 = expressions::Limit::PER_CALL;
/// What the expressions of one kind (validations, messages, annotations) of one binding may cost together.
pub const BUDGET: u64 = 10_000_000;
/// What the match conditions of one webhook, or of one binding of a policy, may cost together.
pub const MATCH_BUDGET: u64 = 2_500_000;

const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const RESOURCE_CHECK: &str = "kubernetes.authorization.ResourceCheck";
const VARIABLES: &str = "kubernetes.variables";

/// What an expression may use beside what all of them see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offers {
    /// `params`
    pub params: bool,
    /// `authorizer` and `authorizer.requestResource`
    pub authorizer: bool,
    /// `Object`, `JSONPatch` and `jsonpatch.escapeKey`
    pub patches: bool,
}

impl Offers {
    const ALL: usize = 8;

    fn index(self) -> usize {
        usize::from(self.params) | usize::from(self.authorizer) << 1 | usize::from(self.patches) << 2
    }

    fn of(index: usize) -> Self {
        Self { params: index & 1 != 0, authorizer: index & 2 != 0, patches: index & 4 != 0 }
    }

    fn environment(self) -> Environment {
        let mut environment = super::environment()
            .with([expressions::authorization()])
            .variable("object", Type::Dyn)
            .variable("oldObject", Type::Dyn)
            .document("namespaceObject", namespace())
            .document("request", request());
        if self.params {
            environment = environment.variable("params", Type::Dyn);
        }
        if self.authorizer {
            environment = environment
                .variable("authorizer", Type::object(AUTHORIZER))
                .variable("authorizer.requestResource", Type::object(RESOURCE_CHECK));
        }
        if self.patches {
            environment = environment.with([expressions::json_patch()]).structs(messages::types());
        }
        environment
    }
}

/// What the value of an expression has to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// A condition.
    Bool,
    /// A message.
    Text,
    /// An audit annotation, which null leaves out.
    TextOrNull,
    /// A list of operations of a JSON patch.
    JsonPatch,
    /// An apply configuration.
    Object,
    /// A variable.
    Anything,
}

impl Wanted {
    fn types(self) -> Vec<Type> {
        match self {
            Self::Bool => vec![Type::Bool],
            Self::Text => vec![Type::String],
            Self::TextOrNull => vec![Type::String, Type::Null],
            Self::JsonPatch => vec![Type::list(Type::object(messages::JSON_PATCH))],
            Self::Object => vec![Type::object(messages::OBJECT)],
            Self::Anything => Vec::new(),
        }
    }
}

/// What is wrong with an expression, in the reference's words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// It cannot be.
    #[error("{0}")]
    Invalid(String),
    /// It can be read, but a constant in it has no value.
    #[error("{0}")]
    Internal(String),
}

/// Compiles the expressions of one webhook or policy.
#[derive(Clone, Debug, Default)]
pub struct Compiler {
    /// Types of the variables so far; `None` where there is no `variables`.
    variables: Option<BTreeMap<Name, Type>>,
}

impl Compiler {
    /// Without `variables`.
    pub fn plain() -> Self {
        Self::default()
    }

    /// With `variables`, which are empty yet.
    pub fn composed() -> Self {
        Self { variables: Some(BTreeMap::new()) }
    }

    /// Compiles an expression.
    pub fn compile(&self, expression: &str, offers: Offers, wanted: Wanted) -> Result<Program, Mistake> {
        let program = self.environment(offers).compile(expression).map_err(|error| match error {
            CompileError::Issues(issues) => Mistake::Invalid(format!("compilation failed: {issues}")),
            CompileError::Constant(failure) => Mistake::Internal(format!("program instantiation failed: {failure}")),
        })?;
        let (types, found) = (wanted.types(), program.result_type());
        if types.is_empty() || types.contains(found) {
            return Ok(program);
        }
        let names: Vec<String> = types.iter().map(declared_name).collect();
        let found = declared_name(found);
        Err(Mistake::Invalid(match names.as_slice() {
            [one] => format!("must evaluate to {one} but got {found}"),
            several => format!("must evaluate to one of [{}] but got {found}", several.join(" ")),
        }))
    }

    /// Compiles a variable, which those that follow may use.
    pub fn variable(&mut self, name: &str, expression: &str, offers: Offers) -> Result<Program, Mistake> {
        let compiled = self.compile(expression, offers, Wanted::Anything);
        let of = compiled.as_ref().map_or(Type::Dyn, |program| known_type(program.result_type()));
        self.variables.get_or_insert_default().insert(name.into(), of);
        compiled
    }

    fn environment(&self, offers: Offers) -> Environment {
        static ENVIRONMENTS: LazyLock<[Environment; Offers::ALL]> =
            LazyLock::new(|| std::array::from_fn(|index| Offers::of(index).environment()));
        let environment = ENVIRONMENTS[offers.index()].clone();
        self.extended(environment)
    }

    /// The same environment with the variables.
    fn extended(&self, environment: Environment) -> Environment {
        let Some(variables) = &self.variables else { return environment };
        environment
            .object(VARIABLES, variables.iter().map(|(name, of)| (name.clone(), of.clone())))
            .variable("variables", Type::object(VARIABLES))
    }
}

/// What others know of a variable's type: messages are anything to them, as in the reference.
fn known_type(of: &Type) -> Type {
    match of {
        Type::Bool
        | Type::Bytes
        | Type::Double
        | Type::Duration
        | Type::Int
        | Type::Null
        | Type::String
        | Type::Timestamp
        | Type::Uint => of.clone(),
        Type::List(of) => Type::list(known_type(of)),
        Type::Map(of) => Type::map(known_type(&of.0), known_type(&of.1)),
        _ => Type::Dyn,
    }
}

/// A type as the reference names it where it does not fit.
fn declared_name(of: &Type) -> String {
    match of {
        Type::List(of) => format!("list({})", declared_name(of)),
        Type::Map(of) => format!("map({}, {})", declared_name(&of.0), declared_name(&of.1)),
        Type::Optional(of) => format!("optional_type({})", declared_name(of)),
        Type::Type(Some(of)) => format!("type({})", declared_name(of)),
        other => other.name().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Offers = Offers { params: true, authorizer: true, patches: false };

    fn said(expression: &str, offers: Offers, wanted: Wanted) -> String {
        match Compiler::plain().compile(expression, offers, wanted) {
            Ok(_) => "ok".to_owned(),
            Err(mistake) => mistake.to_string(),
        }
    }

    #[test]
    fn conditions_have_to_be_conditions() {
        for fits in [
            "object.metadata.name == 'a' && oldObject == null",
            "request.userInfo.username.startsWith('system:') || !has(request.namespace)",
            "has(namespaceObject.metadata.labels.x) && namespaceObject != null",
            "params.data.x == 'y'",
            "authorizer.group('').resource('pods').check('get').allowed()",
            "authorizer.requestResource.check('delete').allowed()",
        ] {
            assert_eq!(said(fits, ALL, Wanted::Bool), "ok", "{fits}");
        }
        assert_eq!(said("object.spec", ALL, Wanted::Bool), "must evaluate to bool but got dyn");
        assert_eq!(said("1", ALL, Wanted::TextOrNull), "must evaluate to one of [string null_type] but got int");
        assert_eq!(
            said("params.x", Offers::default(), Wanted::Bool),
            "compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.x\n | ^"
        );
        assert_eq!(
            said("request.uid == ''", ALL, Wanted::Bool),
            "compilation failed: ERROR: <input>:1:8: undefined field 'uid'\n | request.uid == ''\n | .......^"
        );
        let words = said("object.x.find('(') == ''", ALL, Wanted::Bool);
        assert!(words.starts_with("program instantiation failed: "), "{words}");
    }

    #[test]
    fn variables_see_those_before_them() {
        let mut compiler = Compiler::composed();
        compiler.variable("a", "1 + 1", ALL).unwrap();
        compiler.variable("b", "[variables.a]", ALL).unwrap();
        compiler.compile("variables.b[0] == 2", ALL, Wanted::Bool).unwrap();
        let mistake = compiler.compile("variables.c == 2", ALL, Wanted::Bool).unwrap_err();
        assert!(mistake.to_string().contains("undefined field 'c'"), "{mistake}");
        assert!(compiler.compile("variables.a == 'x'", ALL, Wanted::Bool).is_err(), "its type is known");
        // What a message is, nobody knows outside.
        compiler.variable("d", "request", ALL).unwrap();
        compiler.compile("variables.d.anything == 1", ALL, Wanted::Bool).unwrap();
    }

    #[test]
    fn patches_are_made_of_messages() {
        let offers = Offers { patches: true, ..ALL };
        let apply = "Object{spec: Object.spec{replicas: object.spec.replicas + 1}}";
        assert_eq!(said(apply, offers, Wanted::Object), "ok");
        assert_eq!(said(apply, offers, Wanted::JsonPatch), "must evaluate to list(JSONPatch) but got Object");
        let patch = "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/c'), value: {'x': 1}}]";
        assert_eq!(said(patch, offers, Wanted::JsonPatch), "ok");
        assert!(said(patch, ALL, Wanted::JsonPatch).contains("undeclared reference"));
        assert!(
            said("[JSONPatch{op: 1}]", offers, Wanted::JsonPatch).contains("expected type of field 'op' is 'string'")
        );
    }
}
