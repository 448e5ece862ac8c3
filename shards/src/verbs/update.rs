//! Replacing an object: what PUT, PATCH and the subresources share (rest.BeforeUpdate and the generic store's Update).

use std::sync::Arc;

use api::apply::is_same_but_for_times;
use api::document::Document;
use api::resource::Resource;
use api::{Causes, Object, Status, Value};

use super::create::{self, Hook, NewObject};
use super::{Call, Decision, Removal, View, managed_fields, must_be_removed, object_answer, write};
use crate::admission::{self, Attributes, LookedUp, Operation};
use crate::quota;
use crate::service::{Answer, ShardError, Verb};
use crate::webhooks::{self, Phase};

/// Kinds that may only be updated from a known version (AllowUnconditionalUpdate is false).
const NEEDS_VERSION: [&str; 21] = [
    "apiservices.apiregistration.k8s.io",
    "clustertrustbundles.certificates.k8s.io",
    "csidrivers.storage.k8s.io",
    "csinodes.storage.k8s.io",
    "csistoragecapacities.storage.k8s.io",
    "customresourcedefinitions.apiextensions.k8s.io",
    "leasecandidates.coordination.k8s.io",
    "leases.coordination.k8s.io",
    "mutatingadmissionpolicies.admissionregistration.k8s.io",
    "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
    "mutatingwebhookconfigurations.admissionregistration.k8s.io",
    "podcertificaterequests.certificates.k8s.io",
    "poddisruptionbudgets.policy",
    "resourcepoolstatusrequests.resource.k8s.io",
    "runtimeclasses.node.k8s.io",
    "storageversionmigrations.storagemigration.k8s.io",
    "storageversions.internal.apiserver.k8s.io",
    "validatingadmissionpolicies.admissionregistration.k8s.io",
    "validatingadmissionpolicybindings.admissionregistration.k8s.io",
    "validatingwebhookconfigurations.admissionregistration.k8s.io",
    "volumeattachments.storage.k8s.io",
];

/// Whether an update has to say which version it replaces.
pub(super) fn needs_version(resource: &Resource) -> bool {
    resource.is_custom() || NEEDS_VERSION.contains(&resource.id_name.as_str())
}

/// Which part of an object a write may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// Everything but status, where that is a subresource.
    Main,
    /// status, and what its writers may touch of metadata.
    Status,
    /// spec.finalizers of a Namespace.
    Finalizers,
}

/// Makes the new document (stored version, canonical) from what is there, in which managedFields are text; also takes
/// warnings. Where the new document's managedFields are text, who owns what is settled.
pub(crate) type Replace<'a> = dyn FnMut(&Arc<Object>, &Value, &mut Vec<String>) -> Result<Value, Status> + Send + 'a;

/// A replacement: of which part, by what, and what the kind adds.
pub(crate) struct Replacement<'a, 'b> {
    pub(crate) part: Part,
    pub(crate) replace: &'a mut Replace<'b>,
    pub(crate) warnings: Vec<String>,
}

/// PUT of the object itself.
pub(super) async fn update(call: Call<'_>) -> Result<Answer, ShardError> {
    let Verb::Update { body, format, options, .. } = &call.request.verb else {
        return Err(call.method_not_allowed().into());
    };
    if call.resource.create_on_update
        && call.shard.sequencer.newest(call.table, &call.key()).object.is_none()
        && let Some(answer) = {
            check_uid(call)?;
            create_instead(call).await?
        }
    {
        return Ok(answer);
    }
    // Decoded once: it does not depend on what is there.
    let mut warnings = Vec::new();
    let decoded = call.decode(body, *format, options, &mut warnings)?;
    let mut answer = replace(call, options.dry_run, Part::Main, &mut |_, _, _| Ok(decoded.clone())).await?;
    answer.warnings.append(&mut warnings);
    Ok(answer)
}

/// What is not there has not the uid that an update may ask for.
fn check_uid(call: Call<'_>) -> Result<(), ShardError> {
    let Some(new) = NewObject::of(call) else { return Ok(()) };
    let body = call.decode(new.body, new.format, new.options, &mut Vec::new())?;
    if body.uid().is_empty() {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {}, UID in object meta: ", body.uid());
    Err(call.conflict(&why).into())
}

/// Creates by update or apply; `None` when somebody else was faster.
pub(super) async fn create_instead(call: Call<'_>) -> Result<Option<Answer>, ShardError> {
    match create::create(call).await {
        Err(ShardError::Status(status)) if status.reason() == api::status::Reason::AlreadyExists => Ok(None),
        other => other.map(Some),
    }
}

/// Replaces a part of an object. Services reserve what they need first.
pub(crate) async fn replace(
    call: Call<'_>,
    dry_run: bool,
    part: Part,
    replace: &mut Replace<'_>,
) -> Result<Answer, ShardError> {
    if call.is("services") && part == Part::Main {
        return admission::service::update(call, dry_run, replace).await;
    }
    replace_with(call, dry_run, part, replace, &mut |_, _| Ok(())).await
}

/// Replaces a part of an object with what its kind adds.
pub(crate) async fn replace_with(
    call: Call<'_>,
    dry_run: bool,
    part: Part,
    replace: &mut Replace<'_>,
    hook: &mut Hook<'_>,
) -> Result<Answer, ShardError> {
    let looked_up = LookedUp::before_update(call).await?;
    let mut replacement = Replacement { part, replace, warnings: Vec::new() };
    let mut answer = write(call, dry_run, |view| decide(call, view, &mut replacement, &looked_up, hook)).await?;
    answer.warnings.append(&mut replacement.warnings);
    Ok(answer)
}

/// What a replacement comes to, given the newest state.
pub(crate) fn decide(
    call: Call<'_>,
    view: &mut View<'_>,
    replacement: &mut Replacement<'_, '_>,
    looked_up: &LookedUp,
    hook: &mut Hook<'_>,
) -> Result<Decision, Status> {
    let object = view.existing(call)?;
    let mut old = call.working_copy(&object)?;
    replacement.warnings.clear();
    let mut document = (replacement.replace)(&object, &old, &mut replacement.warnings)?;
    call.check_preconditions(&document, &object, old.uid())?;
    let before = managed_fields::take_text(&mut old);
    let sent = managed_fields::take(&mut document);
    // What follows is the server's doing, and nobody's fields.
    let managers = call.managers_after(&before, &old, &document, sent)?;
    let part = replacement.part;
    prepare(call, view, part, &mut document, &old, looked_up)?;
    if webhooks::review(call, view, Phase::Mutating, Operation::Update, Some(&old), &mut document)? {
        // They may change what the writer may.
        prepare(call, view, part, &mut document, &old, looked_up)?;
    }
    if part == Part::Main {
        hook(&mut document, Some(&old))?;
    }
    count_generation(call, &mut document, &old);
    let mut warnings = check(call, part, &document, &old)?;
    view.warnings.append(&mut warnings);
    let mut attributes = Attributes { call, operation: Operation::Update, view, old: Some(&old), looked_up };
    admission::validate(&mut attributes, &document)?;
    webhooks::review(call, view, Phase::Validating, Operation::Update, Some(&old), &mut document)?;
    quota::admit(call, view, Some(&old), &document)?;
    let is_removed = must_be_removed(call, &document, &old);
    // That somebody wrote the same again, and when, is no change.
    let is_same = document == old && is_same_but_for_times(&before, &managers);
    if is_same && !is_removed && call.is_stored_as_it_is(&object) {
        return Ok(Decision::Same(object_answer(200, object)));
    }
    let mut document = call.to_stored(document)?;
    managed_fields::put(&mut document, managers);
    if is_removed {
        return Ok(Decision::Remove(Removal::Document(document)));
    }
    Ok(Decision::Put { document, code: 200 })
}

/// Puts back what a writer of that part cannot change, and lets admission have its say.
fn prepare(
    call: Call<'_>,
    view: &mut View<'_>,
    part: Part,
    document: &mut Value,
    old: &Value,
    looked_up: &LookedUp,
) -> Result<(), Status> {
    call.keep_metadata(document, old);
    let strategy = call.rules();
    match part {
        Part::Main => {
            if call.has_status() {
                take(document, old, "status");
            }
            strategy.prepare_update(document, old);
        }
        Part::Status => {
            keep_for_status(call, document, old);
            strategy.prepare_status(document, old);
        }
        Part::Finalizers => keep_for_finalizers(document, old),
    }
    // Compared and stored with the version it has.
    document.set(&["metadata", "resourceVersion"], old.text(&["metadata", "resourceVersion"]));
    if part != Part::Main {
        return Ok(());
    }
    let mut attributes = Attributes { call, operation: Operation::Update, view, old: Some(old), looked_up };
    admission::admit(&mut attributes, document)
}

/// Complaints about a change, or warnings.
fn check(call: Call<'_>, part: Part, document: &Value, old: &Value) -> Result<Vec<String>, Status> {
    let mut causes = Causes::default();
    call.check_metadata(document, &mut causes);
    api::names::validate_metadata_update(document, old, &mut causes);
    match part {
        Part::Main => {
            call.rules().validate(document, &mut causes);
            call.rules().validate_update(document, old, &mut causes);
        }
        Part::Status => call.rules().validate_status(document, old, &mut causes),
        Part::Finalizers => {}
    }
    let warnings = causes.take_warnings();
    call.invalid_unless_empty(causes).map(|()| warnings)
}

/// Counts a change of anything outside metadata and the status subresource.
fn count_generation(call: Call<'_>, document: &mut Value, old: &Value) {
    if !call.resource.generation {
        return;
    }
    // A status that is no subresource is a part like any other.
    let counts = |(field, _): &(&String, &Value)| *field != "status" || !call.has_status();
    if !outside_metadata(document).filter(counts).eq(outside_metadata(old).filter(counts)) {
        let before = old.int(&["metadata", "generation"]).unwrap_or(0);
        document.set(&["metadata", "generation"], before + 1);
    }
}

fn outside_metadata(document: &Value) -> impl Iterator<Item = (&String, &Value)> {
    let fields = document.as_object().into_iter().flatten();
    fields.filter(|(key, _)| *key != "metadata")
}

/// What writers of a status may change beside it: labels, annotations and finalizers of Pods and Nodes, whose kubelets
/// rely on it; nothing of other kinds.
fn keep_for_status(call: Call<'_>, document: &mut Value, old: &Value) {
    let status = document.remove(&["status"]);
    let mut metadata = old.at(&["metadata"]).clone();
    if matches!(call.resource.id_name.as_str(), "pods" | "nodes") {
        for field in ["labels", "annotations", "finalizers"] {
            match document.remove(&["metadata", field]) {
                Some(value) => metadata.set(&[field], value),
                None => drop(metadata.remove(&[field])),
            }
        }
    }
    let kept = old.as_object().into_iter().flatten();
    let kept = kept.filter(|(field, _)| !matches!(field.as_str(), "metadata" | "status"));
    *document = kept.map(|(field, value)| (field.clone(), value.clone())).collect();
    document.set(&["metadata"], metadata);
    if let Some(status) = status {
        document.set(&["status"], status);
    }
}

fn keep_for_finalizers(document: &mut Value, old: &Value) {
    let finalizers = document.remove(&["spec", "finalizers"]);
    *document = old.clone();
    match finalizers {
        Some(finalizers) => document.set(&["spec", "finalizers"], finalizers),
        None => drop(document.remove(&["spec", "finalizers"])),
    }
}

fn take(document: &mut Value, old: &Value, field: &str) {
    match old.at(&[field]) {
        Value::Null => drop(document.remove(&[field])),
        value => document.set(&[field], value.clone()),
    }
}
