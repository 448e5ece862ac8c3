//! Making an object.

use api::document::Document;
use api::schema::Presence;
use api::{Status, Value};

use super::{Call, Decision, View, managed_fields, write};
use crate::admission::{self, Attributes, LookedUp, Operation};
use crate::quota;
use crate::service::{Answer, Format, PatchType, ShardError, Verb, WriteOptions};
use crate::webhooks::{self, Phase};

/// Kinds whose creator may say a status: a kubelet registers its Node with one.
const STATUS_FROM_CREATOR: [&str; 1] = ["nodes"];

/// What one kind adds to a write, between admission and validation: the document, and what it replaces.
pub(crate) type Hook<'a> = dyn FnMut(&mut Value, Option<&Value>) -> Result<(), Status> + Send + 'a;

/// A create request's own parts.
#[derive(Clone, Copy)]
pub(crate) struct NewObject<'a> {
    pub(crate) body: &'a [u8],
    pub(crate) format: Format,
    pub(crate) options: &'a WriteOptions,
    pub(crate) uid: &'a str,
}

impl<'a> NewObject<'a> {
    /// Of a request that creates, or that may create by update.
    pub(crate) fn of(call: Call<'a>) -> Option<Self> {
        match &call.request.verb {
            Verb::Create { body, format, options, uid } | Verb::Update { body, format, options, uid } => {
                Some(Self { body, format: *format, options, uid })
            }
            Verb::Patch { body, patch: PatchType::Apply, options, uid } => {
                Some(Self { body, format: Format::Yaml, options, uid })
            }
            _ => None,
        }
    }

    /// The new object's document, as the client wants it.
    fn document(self, call: Call<'_>, warnings: &mut Vec<String>) -> Result<Value, Status> {
        if matches!(call.request.verb, Verb::Patch { .. }) {
            return call.applied(None, self.body, self.options, warnings);
        }
        call.decode(self.body, self.format, self.options, warnings)
    }
}

/// Creates an object. Services reserve what they need first.
pub(crate) async fn create(call: Call<'_>) -> Result<Answer, ShardError> {
    if call.is("services") {
        return admission::service::create(call).await;
    }
    let new = NewObject::of(call).ok_or_else(|| call.method_not_allowed())?;
    create_with(call, new, new.options.dry_run, &mut |_, _| Ok(())).await
}

/// Creates an object with what its kind adds.
pub(crate) async fn create_with(
    call: Call<'_>,
    new: NewObject<'_>,
    dry_run: bool,
    hook: &mut Hook<'_>,
) -> Result<Answer, ShardError> {
    let mut warnings = Vec::new();
    let document = new.document(call, &mut warnings)?;
    let looked_up = LookedUp::before_create(call, &document).await?;
    let mut first = Some(document);
    let result = write(call, dry_run, |view| {
        let document = match first.take() {
            Some(document) => document,
            None => new.document(call, &mut Vec::new())?,
        };
        decide(call, view, document, new.uid, &looked_up, hook)
    });
    let mut answer = result.await?;
    answer.warnings.append(&mut warnings);
    Ok(answer)
}

/// What a decoded document comes to as a new object.
pub(crate) fn decide(
    call: Call<'_>,
    view: &mut View<'_>,
    mut document: Value,
    uid: &str,
    looked_up: &LookedUp,
    hook: &mut Hook<'_>,
) -> Result<Decision, Status> {
    let sent = managed_fields::take(&mut document);
    call.fill_metadata(&mut document, uid)?;
    // What follows is the server's doing, and nobody's fields.
    let managers = call.managers_of_new(&document, sent)?;
    prepare(call, view, &mut document, looked_up)?;
    if webhooks::review(call, view, Phase::Mutating, Operation::Create, None, &mut document)? {
        // Theirs is a creator's document like any other.
        call.fill_metadata(&mut document, uid)?;
        prepare(call, view, &mut document, looked_up)?;
    }
    hook(&mut document, None)?;
    let mut warnings = call.check_new(&document)?;
    view.warnings.append(&mut warnings);
    let mut attributes = Attributes { call, operation: Operation::Create, view, old: None, looked_up };
    admission::validate(&mut attributes, &document)?;
    webhooks::review(call, view, Phase::Validating, Operation::Create, None, &mut document)?;
    quota::admit(call, view, None, &document)?;
    match &view.object {
        None => {
            let mut document = call.to_stored(document)?;
            managed_fields::put(&mut document, managers);
            Ok(Decision::Put { document, code: 201 })
        }
        Some(existing) => Err(call.already_exists(existing.document().is_deleting())),
    }
}

/// Takes away what a creator cannot say, and lets the kind and admission add what they do.
fn prepare(call: Call<'_>, view: &mut View<'_>, document: &mut Value, looked_up: &LookedUp) -> Result<(), Status> {
    if call.has_status() && !STATUS_FROM_CREATOR.contains(&call.resource.id_name.as_str()) {
        clear_status(call, document);
    }
    call.rules().prepare_create(document);
    let mut attributes = Attributes { call, operation: Operation::Create, view, old: None, looked_up };
    admission::admit(&mut attributes, document)
}

/// A new object has the status of its type's zero value.
fn clear_status(call: Call<'_>, document: &mut Value) {
    document.remove(&["status"]);
    let shape = call.resource.stored_shape();
    if let Some(field) = shape.field("status").filter(|field| field.presence == Presence::Always)
        && let Some(zero) = call.resource.schema.zero(&field.of)
    {
        document.set(&["status"], zero);
    }
}

impl Call<'_> {
    fn already_exists(&self, is_deleting: bool) -> Status {
        let (group, plural, name) = (&self.served.group, &self.resource.plural, &self.request.name);
        let status = Status::already_exists(group, plural, name);
        if !is_deleting {
            return status;
        }
        let message = format!("object is being deleted: {}", status.message());
        Status::new(status.reason(), message).about(group, plural, name)
    }
}
