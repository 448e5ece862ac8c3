//! Pod templates: inside of workloads, and alone as PodTemplate.

use super::path::Path;
use super::pod_spec::{self, Owner};
use super::{Strategy, field, fill, labels, pod_annotations};
use crate::document::Value;
use crate::names;
use crate::selector::LabelSelector;
use crate::status::Causes;

/// Defaults of the template in a field.
pub(super) fn default(of: &mut Value, key: &str) {
    pod_spec::default(fill::map(fill::map(of, key), "spec"));
}

/// Every rule of a template.
pub(super) fn validate(template: &Value, path: &Path<'_>, causes: &mut Causes) {
    let metadata = field::get(template, "metadata");
    let spec = field::get(template, "spec");
    labels::labels(metadata, "labels", path, causes);
    labels::annotations(metadata, "annotations", path, causes);
    pod_annotations::validate(metadata, spec, &path.child("annotations"), causes);
    pod_spec::validate(spec, Owner::Template, &path.child("spec"), causes);
    if !field::list(spec, "ephemeralContainers").is_empty() {
        let words = "ephemeral containers not allowed in pod template";
        causes.forbidden(path.child("spec.ephemeralContainers"), words);
    }
}

/// The template of something that keeps Pods running: the selector selects it, and its Pods never end by themselves.
/// `of` is the kind, for the words.
pub(super) fn validate_running(
    template: &Value,
    selector: Option<&LabelSelector>,
    of: &str,
    path: &Path<'_>,
    causes: &mut Causes,
) {
    let Some(selector) = selector else { return };
    selected(template, selector, path, causes);
    validate(template, path, causes);
    always_running(template, of, path, causes);
}

/// The selector must select the template, unless it selects everything.
pub(super) fn selected(template: &Value, selector: &LabelSelector, path: &Path<'_>, causes: &mut Causes) {
    if !selector.is_everything() && !labels::selects_template(selector, template) {
        let labels = field::get(field::get(template, "metadata"), "labels");
        causes.invalid(path.child("metadata.labels"), labels, "`selector` does not match template `labels`");
    }
}

pub(super) fn always_running(template: &Value, of: &str, path: &Path<'_>, causes: &mut Causes) {
    let spec = field::get(template, "spec");
    field::choice(spec, "restartPolicy", &path.child("spec"), &["Always"], causes);
    if field::is_set(spec, "activeDeadlineSeconds") {
        let words = format!("activeDeadlineSeconds in {of} is not Supported");
        causes.forbidden(path.child("spec.activeDeadlineSeconds"), &words);
    }
}

/// core/v1 PodTemplate.
pub(super) struct PodTemplate;

impl Strategy for PodTemplate {
    fn default(&self, object: &mut Value) {
        default(object, "template");
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        validate(field::get(object, "template"), &Path::new("template"), causes);
    }

    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_subdomain(name)
    }
}
