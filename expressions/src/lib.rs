//! CEL, the Common Expression Language, as Kubernetes v1.36 has it: what validation rules of CustomResourceDefinitions,
//! admission policies, match conditions of webhooks, authentication and device selectors are written in. No I/O and no
//! clock: an evaluation is a function of the program, its bindings and a limit.
//!
//! An expression goes this way: [`parse()`] makes an [`ast::Ast`] of the text, macros expanded; `check` finds a type for every
//! node and the overloads that each call may mean; [`Program`] is what is left of it. [`Program::evaluate`] runs it over JSON
//! documents that a [`Declared`] schema types, and converts only what it looks at. [`Program::estimate`] says beforehand
//! what it may cost at most.
//!
//! What functions there are is data: a [`Library`] is a list of [`Overload`]s, and a crate further up adds its own (`api`
//! adds `quantity` and `format`, whose rules it owns). [`Environment::kubernetes`] has all that need nothing else.
//!
//! Invariants: no text makes this crate panic; trees are at most [`DEPTH`] deep, so no stack overflows; an evaluation ends
//! within its [`Limit`]: what costs little in CEL's units but much in time (equality of nested lists, joining text) is
//! counted as work, which has a limit of its own. Costs, and the words of errors, are those of the reference.
//!
//! Start reading at [`Environment`], then [`Program`].

pub mod ast;
mod check;
mod constant;
pub mod cost;
mod declared;
mod environment;
mod escape;
mod evaluate;
mod issue;
mod lexer;
mod library;
mod literals;
mod macros;
mod number;
mod parse;
pub mod pattern;
mod program;
pub mod rules;
mod time;
mod types;
mod unify;
mod value;

pub use check::Checked;
pub use declared::{Declared, DeclaredField, DeclaredKind, Document, ListKind, Name};
pub use environment::{Environment, Library, Overload, StructTypes};
pub use escape::{escape, is_reserved, unescape};
pub use evaluate::{Bindings, Evaluation, Failure, Limit, Meter};
pub use issue::{Issue, Issues};
pub use library::authorizer::{Authorizer, Check, Decision, authorizer, resource_authorizer};
pub use library::{authorization, json_patch};
pub use parse::{DEPTH, parse};
pub use program::{CompileError, Program};
pub use time::{parse_duration, parse_open_api_duration};
pub use types::Type;
pub use value::{Entries, List, Map, Opaque, StructValue, Text, Value};

#[cfg(test)]
mod tests;
