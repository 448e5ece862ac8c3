//! `authorizer`: what the user of a request may do. Who answers is the caller's [`Authorizer`].

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use super::{Evaluated, text};
use crate::environment::{Library, Overload, Run};
use crate::evaluate::{Failure, Meter};
use crate::types::Type;
use crate::value::{Opaque, Value};

const AUTHORIZER: &str = "kubernetes.authorization.Authorizer";
const PATH: &str = "kubernetes.authorization.PathCheck";
const GROUP: &str = "kubernetes.authorization.GroupCheck";
const RESOURCE: &str = "kubernetes.authorization.ResourceCheck";
const DECISION: &str = "kubernetes.authorization.Decision";

/// What is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The service account (namespace, name) that is asked about, instead of the user of the request.
    pub service_account: Option<(String, String)>,
    /// The path of a request that is for no resource.
    pub path: Option<String>,
    /// The API group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The field selector, as text.
    pub field_selector: String,
    /// The label selector, as text.
    pub label_selector: String,
    /// The verb.
    pub verb: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it is allowed.
    pub allowed: bool,
    /// Why.
    pub reason: String,
    /// What went wrong.
    pub error: Option<String>,
}

/// Who decides. Called while an expression runs, at most twice within a call's limit of costs: it answers from memory.
pub trait Authorizer: fmt::Debug + Send + Sync {
    /// Decides.
    fn authorize(&self, check: &Check) -> Decision;
}

/// A question that is being put together.
#[derive(Clone, Debug)]
struct Question {
    stage: &'static str,
    who: Arc<dyn Authorizer>,
    check: Check,
}

#[derive(Debug)]
struct Answer(Decision);

impl Opaque for Question {
    fn of(&self) -> Type {
        Type::object(self.stage)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Question>().is_some_and(|other| {
            self.stage == other.stage && self.check == other.check && Arc::ptr_eq(&self.who, &other.who)
        })
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Opaque for Answer {
    fn of(&self) -> Type {
        Type::object(DECISION)
    }

    fn equals(&self, other: &dyn Opaque) -> bool {
        other.as_any().downcast_ref::<Answer>().is_some_and(|other| self.0 == other.0)
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The value of the variable `authorizer`. Its type is `kubernetes.authorization.Authorizer`.
pub fn authorizer<'d>(who: Arc<dyn Authorizer>) -> Value<'d> {
    Value::Opaque(Arc::new(Question { stage: AUTHORIZER, who, check: Check::default() }))
}

/// The value of the variable `authorizer.requestResource`: a check of the resource that the request is for. Its type is
/// `kubernetes.authorization.ResourceCheck`.
pub fn resource_authorizer<'d>(who: Arc<dyn Authorizer>, check: Check) -> Value<'d> {
    Value::Opaque(Arc::new(Question { stage: RESOURCE, who, check }))
}

pub(super) fn library() -> Library {
    use Type::{Bool, String};
    let of = |name: &'static str| Type::object(name);
    let step = |function, id, from, to, run: Run| Overload::member(function, id, &[of(from), String], of(to), run);
    let answer = |function, id, result: Type, run: Run| Overload::member(function, id, &[of(DECISION)], result, run);
    let overloads = vec![
        step("path", "authorizer_path", AUTHORIZER, PATH, path),
        step("group", "authorizer_group", AUTHORIZER, GROUP, group),
        Overload::member(
            "serviceAccount",
            "authorizer_serviceaccount",
            &[of(AUTHORIZER), String, String],
            of(AUTHORIZER),
            service_account,
        ),
        step("resource", "groupcheck_resource", GROUP, RESOURCE, resource),
        step("subresource", "resourcecheck_subresource", RESOURCE, RESOURCE, subresource),
        step("namespace", "resourcecheck_namespace", RESOURCE, RESOURCE, namespace),
        step("name", "resourcecheck_name", RESOURCE, RESOURCE, name),
        step("fieldSelector", "authorizer_fieldselector", RESOURCE, RESOURCE, field_selector),
        step("labelSelector", "authorizer_labelselector", RESOURCE, RESOURCE, label_selector),
        step("check", "pathcheck_check", PATH, DECISION, check),
        step("check", "resourcecheck_check", RESOURCE, DECISION, check),
        answer("errored", "decision_errored", Bool, errored),
        answer("error", "decision_error", String, error),
        answer("allowed", "decision_allowed", Bool, allowed),
        answer("reason", "decision_reason", String, reason),
    ];
    Library { overloads, types: [AUTHORIZER, PATH, GROUP, RESOURCE, DECISION].map(of).into() }
}

fn question<'a>(args: &'a [Value<'_>]) -> Result<&'a Question, Failure> {
    match args.first() {
        Some(Value::Opaque(value)) => value.as_any().downcast_ref().ok_or_else(Failure::no_such_overload),
        _ => Err(Failure::no_such_overload()),
    }
}

/// The question with one more thing said.
fn said<'d>(args: &[Value<'d>], stage: &'static str, say: impl FnOnce(&mut Check, String)) -> Evaluated<'d> {
    let mut next = question(args)?.clone();
    next.stage = stage;
    say(&mut next.check, text(args, 1)?.to_owned());
    Ok(Value::Opaque(Arc::new(next)))
}

fn path<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    if text(args, 1)?.trim().is_empty() {
        return Err(Failure::error("path must not be empty"));
    }
    said(args, PATH, |check, path| check.path = Some(path))
}

fn group<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    said(args, GROUP, |check, group| check.group = group)
}

fn service_account<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let (namespace, name) = (text(args, 1)?.to_owned(), text(args, 2)?.to_owned());
    let label = |text: &str| {
        let legal = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=63).contains(&text.len()) && text.bytes().all(legal) && !text.starts_with('-') && !text.ends_with('-')
    };
    if name.len() > 253 || !name.split('.').all(label) {
        return Err(Failure::error("Invalid service account name"));
    }
    if !label(&namespace) {
        return Err(Failure::error("Invalid service account namespace"));
    }
    let mut next = question(args)?.clone();
    next.check.service_account = Some((namespace, name));
    Ok(Value::Opaque(Arc::new(next)))
}

fn resource<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    if text(args, 1)?.trim().is_empty() {
        return Err(Failure::error("resource must not be empty"));
    }
    said(args, RESOURCE, |check, resource| check.resource = resource)
}

fn subresource<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    said(args, RESOURCE, |check, subresource| check.subresource = subresource)
}

fn namespace<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    said(args, RESOURCE, |check, namespace| check.namespace = namespace)
}

fn name<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    said(args, RESOURCE, |check, name| check.name = name)
}

fn field_selector<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    said(args, RESOURCE, |check, selector| check.field_selector = selector)
}

fn label_selector<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    said(args, RESOURCE, |check, selector| check.label_selector = selector)
}

fn check<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    let question = question(args)?;
    let check = Check { verb: text(args, 1)?.to_owned(), ..question.check.clone() };
    Ok(Value::Opaque(Arc::new(Answer(question.who.authorize(&check)))))
}

fn decision<'a>(args: &'a [Value<'_>]) -> Result<&'a Decision, Failure> {
    let Some(Value::Opaque(value)) = args.first() else { return Err(Failure::no_such_overload()) };
    value.as_any().downcast_ref::<Answer>().map(|answer| &answer.0).ok_or_else(Failure::no_such_overload)
}

fn errored<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(decision(args)?.error.is_some()))
}

fn error<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(decision(args)?.error.as_deref().unwrap_or_default()))
}

fn allowed<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::Bool(decision(args)?.allowed))
}

fn reason<'d>(args: &[Value<'d>], _: &mut Meter<'_>) -> Evaluated<'d> {
    Ok(Value::text(decision(args)?.reason.as_str()))
}
