//! What an expression may use: variables, functions, types.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, LazyLock};

use crate::declared::{Declared, DeclaredKind, Name};
use crate::evaluate::{Failure, Meter};
use crate::issue::Issues;
use crate::library;
use crate::program::{CompileError, Program};
use crate::types::Type;
use crate::value::Value;

/// What a function does: a function of its arguments, which fit the overload's parameters (what is inside of lists and
/// maps was not looked at). What takes long counts it as [`Meter::work`] first.
pub type Run = for<'d> fn(&[Value<'d>], &mut Meter<'_>) -> Result<Value<'d>, Failure>;

/// One meaning of a function.
#[derive(Clone)]
pub struct Overload {
    /// The name of the function: `size`, `sets.contains`, `_+_`.
    pub function: &'static str,
    /// As in the reference; costs depend on it.
    pub id: &'static str,
    /// Whether it is called on its first argument.
    pub member: bool,
    /// The types of its arguments; [`Type::Param`] for any, the same everywhere.
    pub params: Vec<Type>,
    /// The type of its value.
    pub result: Type,
    /// What it does.
    pub run: Run,
}

impl Overload {
    /// `function(params…) -> result`
    pub fn global(function: &'static str, id: &'static str, params: &[Type], result: Type, run: Run) -> Self {
        Self { function, id, member: false, params: params.to_vec(), result, run }
    }

    /// `params[0].function(params…) -> result`
    pub fn member(function: &'static str, id: &'static str, params: &[Type], result: Type, run: Run) -> Self {
        Self { function, id, member: true, params: params.to_vec(), result, run }
    }
}

impl fmt::Debug for Overload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

/// Functions and types that belong together.
#[derive(Clone, Debug, Default)]
pub struct Library {
    /// Its functions.
    pub overloads: Vec<Overload>,
    /// Types that expressions may name.
    pub types: Vec<Type>,
}

/// A function with all of its meanings.
#[derive(Debug)]
pub(crate) struct Function {
    pub overloads: Vec<Overload>,
}

/// Messages that expressions may make, and their fields.
pub trait StructTypes: fmt::Debug + Send + Sync {
    /// Whether there is a message of that name.
    fn exists(&self, name: &str) -> bool;
    /// The type of one of its fields.
    fn field(&self, name: &str, field: &str) -> Option<Type>;
}

/// Variables, functions and types. Cheap to copy and to extend.
#[derive(Clone, Debug)]
pub struct Environment {
    functions: Arc<HashMap<&'static str, Arc<Function>>>,
    types: Arc<HashMap<Name, Type>>,
    variables: BTreeMap<Name, Type>,
    declared: BTreeMap<Name, Arc<Declared>>,
    objects: HashMap<Name, BTreeMap<Name, Type>>,
    structs: Option<Arc<dyn StructTypes>>,
}

impl Environment {
    /// CEL's own functions and those of Kubernetes v1.36 that need nothing else. `api` adds `quantity` and `format`.
    pub fn kubernetes() -> Self {
        static KUBERNETES: LazyLock<Environment> = LazyLock::new(|| Environment::empty().with(library::kubernetes()));
        KUBERNETES.clone()
    }

    fn empty() -> Self {
        Self {
            functions: Arc::default(),
            types: Arc::default(),
            variables: BTreeMap::new(),
            declared: BTreeMap::new(),
            objects: HashMap::new(),
            structs: None,
        }
    }

    /// The same with more functions.
    pub fn with(mut self, libraries: impl IntoIterator<Item = Library>) -> Self {
        let mut functions: HashMap<&'static str, Vec<Overload>> =
            self.functions.iter().map(|(name, function)| (*name, function.overloads.clone())).collect();
        let mut types = HashMap::clone(&self.types);
        for library in libraries {
            for overload in library.overloads {
                functions.entry(overload.function).or_default().push(overload);
            }
            types.extend(library.types.into_iter().map(|of| (of.name().into(), of)));
        }
        let functions = functions.into_iter().map(|(name, overloads)| (name, Arc::new(Function { overloads })));
        self.functions = Arc::new(functions.collect());
        self.types = Arc::new(types);
        self
    }

    /// The same with a variable.
    pub fn variable(mut self, name: impl Into<Name>, of: Type) -> Self {
        self.variables.insert(name.into(), of);
        self
    }

    /// The same with a variable that holds documents of a schema.
    pub fn document(self, name: impl Into<Name>, of: &Arc<Declared>) -> Self {
        let name = name.into();
        let mut extended = self.variable(name.clone(), of.cel_type()).objects_of(of);
        extended.declared.insert(name, of.clone());
        extended
    }

    /// The same with a variable that may hold a document of a schema.
    pub fn optional_document(self, name: impl Into<Name>, of: &Arc<Declared>) -> Self {
        let name = name.into();
        let mut extended = self.variable(name.clone(), Type::optional(of.cel_type())).objects_of(of);
        extended.declared.insert(name, of.clone());
        extended
    }

    /// The same with a message type whose fields are given: `variables` of composed programs.
    pub fn object(mut self, name: impl Into<Name>, fields: impl IntoIterator<Item = (Name, Type)>) -> Self {
        self.objects.insert(name.into(), fields.into_iter().collect());
        self
    }

    /// The same with messages that expressions may make.
    pub fn structs(mut self, structs: Arc<dyn StructTypes>) -> Self {
        self.structs = Some(structs);
        self
    }

    fn objects_of(mut self, of: &Arc<Declared>) -> Self {
        let mut found = Vec::new();
        of.objects(&mut found);
        for object in found {
            if let DeclaredKind::Object { name, fields } = &object.kind {
                let fields = fields.iter().map(|(identifier, field)| (identifier.clone(), field.of.cel_type()));
                self.objects.insert(name.clone(), fields.collect());
            }
        }
        self
    }

    /// Reads, checks and plans an expression.
    pub fn compile(&self, source: &str) -> Result<Program, CompileError> {
        Program::compile(self, source)
    }

    /// The variable's type.
    pub(crate) fn variable_type(&self, name: &str) -> Option<&Type> {
        self.variables.get(name)
    }

    /// The type of that name.
    pub(crate) fn named_type(&self, name: &str) -> Option<Type> {
        if let Some(of) = self.types.get(name) {
            return Some(of.clone());
        }
        self.structs.as_ref().filter(|structs| structs.exists(name)).map(|_| Type::object(name))
    }

    pub(crate) fn function(&self, name: &str) -> Option<&Arc<Function>> {
        self.functions.get(name)
    }

    /// Whether a message's fields are known at all, and the type of one.
    pub(crate) fn field(&self, of: &str, field: &str) -> (bool, Option<Type>) {
        if let Some(fields) = self.objects.get(of) {
            let found = fields.get(field).or_else(|| {
                let reserved = crate::escape::is_reserved(field);
                reserved.then(|| fields.get(format!("__{field}__").as_str())).flatten()
            });
            return (true, found.cloned());
        }
        match &self.structs {
            Some(structs) if structs.exists(of) => (true, structs.field(of, field)),
            _ => (self.types.contains_key(of), None),
        }
    }

    /// The schemas of variables, for estimates.
    pub(crate) fn declared(&self) -> &BTreeMap<Name, Arc<Declared>> {
        &self.declared
    }

    /// Only for messages: what is wrong with an expression, without making a program of it.
    pub fn check(&self, source: &str) -> Result<Type, Issues> {
        let ast = crate::parse::parse(source)?;
        crate::check::check(self, ast, source).map(|checked| checked.result().clone())
    }
}
