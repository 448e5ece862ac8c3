//! A write as an AdmissionRequest (admission.k8s.io), without its objects: what webhooks are sent, and what expressions see.

use api::Value;
use api::document::Document;
use api::resource::Served;
use serde_json::{Map, json};

use super::Subject;
use crate::admission::Operation;
use crate::service::{DeleteOptions, FieldValidation, Propagation, Verb, WriteOptions};
use crate::verbs::Call;

/// The request: its kind and resource in the version that is wanted, and in the one that was asked for.
pub(crate) fn document(call: Call<'_>, subject: &Subject, kind_of: &Served, resource_of: &Served) -> Value {
    let kind = |[group, version, kind]: [String; 3]| json!({"group": group, "version": version, "kind": kind});
    let resource = |of: &Served| json!({"group": of.group, "version": of.version, "resource": call.resource.plural});
    let mut request = json!({
        "kind": kind(subject.kind(call, kind_of)),
        "resource": resource(resource_of),
        "requestKind": kind(subject.kind(call, call.served)),
        "requestResource": resource(call.served),
        "operation": subject.operation.name(),
        "userInfo": user(call),
        "dryRun": call.is_dry_run(),
        "options": options(call, subject.operation),
    });
    let named = call.is("namespaces") && subject.operation != Operation::Create;
    let namespace = if named { &call.request.name } else { &call.request.namespace };
    for (key, text) in [
        ("name", &call.request.name),
        ("namespace", namespace),
        ("subResource", &call.request.subresource),
        ("requestSubResource", &call.request.subresource),
    ] {
        if !text.is_empty() {
            request[key] = json!(text);
        }
    }
    request
}

fn user(call: Call<'_>) -> Value {
    let user = &call.request.user;
    let mut info = Map::new();
    info.insert("username".to_owned(), json!(user.name));
    if !user.uid.is_empty() {
        info.insert("uid".to_owned(), json!(user.uid));
    }
    if !user.groups.is_empty() {
        info.insert("groups".to_owned(), json!(user.groups));
    }
    if !user.extra.is_empty() {
        let extra: Map<String, Value> = user.extra.iter().map(|(key, values)| (key.clone(), json!(values))).collect();
        info.insert("extra".to_owned(), extra.into());
    }
    info.into()
}

/// Those of what is done, which need not be what was asked for: a patch updates or creates.
fn options(call: Call<'_>, operation: Operation) -> Value {
    let mut options = match &call.request.verb {
        Verb::Create { options, .. } | Verb::Update { options, .. } | Verb::Patch { options, .. } => {
            write_options(options)
        }
        Verb::Delete { options } => delete_options(options),
        Verb::Get { .. } | Verb::Restore { .. } => json!({}),
    };
    options["kind"] = json!(match operation {
        Operation::Create => "CreateOptions",
        Operation::Update => "UpdateOptions",
        Operation::Delete => "DeleteOptions",
    });
    options["apiVersion"] = json!("meta.k8s.io/v1");
    options
}

fn write_options(options: &WriteOptions) -> Value {
    let mut said = json!({});
    if options.dry_run {
        said["dryRun"] = json!(["All"]);
    }
    if !options.field_manager.is_empty() {
        said["fieldManager"] = json!(options.field_manager);
    }
    match options.field_validation {
        FieldValidation::Ignore => said["fieldValidation"] = json!("Ignore"),
        FieldValidation::Strict => said["fieldValidation"] = json!("Strict"),
        FieldValidation::Warn => {}
    }
    said
}

fn delete_options(options: &DeleteOptions) -> Value {
    let mut said = json!({});
    if options.dry_run {
        said["dryRun"] = json!(["All"]);
    }
    if let Some(seconds) = options.grace_period_seconds {
        said["gracePeriodSeconds"] = json!(seconds);
    }
    if let Some(propagation) = options.propagation {
        said["propagationPolicy"] = json!(match propagation {
            Propagation::Orphan => "Orphan",
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
        });
    }
    if let Some(uid) = &options.uid {
        said.set(&["preconditions", "uid"], uid.as_str());
    }
    if let Some(version) = options.version {
        said.set(&["preconditions", "resourceVersion"], version.to_string());
    }
    said
}
