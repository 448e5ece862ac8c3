//! The runtime's AppArmor profile may be exchanged for one of the node's, not taken away.

use super::{Check, since};
use crate::document::{Document, Value};
use crate::pod_security::Finding;
use crate::pod_security::level::Level;
use crate::pod_security::subject::{Subject, Values, plural, quoted, security};

pub(super) const CHECK: Check =
    Check { id: "appArmorProfile", level: Level::Baseline, revisions: &[since(0, profile)] };

/// What said so before there were fields.
const ANNOTATION: &str = "container.apparmor.security.beta.kubernetes.io/";

fn profile(subject: &Subject<'_>) -> Option<Finding> {
    let mut values = Values::new();
    let pod = is_wrong(subject.security(&["appArmorProfile"]), &mut values);
    let wrong = subject.containers_that(|container| is_wrong(security(container, &["appArmorProfile"]), &mut values));
    let annotations = subject.annotations.as_object().into_iter().flatten();
    let annotations = annotations.filter_map(|(key, value)| {
        let value = value.as_str().unwrap_or_default();
        let is_fine = matches!(value, "" | "runtime/default") || value.starts_with("localhost/");
        (key.starts_with(ANNOTATION) && !is_fine).then(|| format!("{key}={value:?}"))
    });
    let annotations: Vec<String> = annotations.collect();
    let mut setters: Vec<String> = wrong.or_pod(pod).into_iter().collect();
    if !annotations.is_empty() {
        setters.push(plural(annotations.len(), "annotation", "annotations").to_owned());
    }
    let values: Vec<String> = values.into_iter().map(str::to_owned).chain(annotations).collect();
    (!setters.is_empty()).then(|| Finding {
        reason: plural(values.len(), "forbidden AppArmor profile", "forbidden AppArmor profiles").to_owned(),
        detail: format!("{} must not set AppArmor profile type to {}", setters.join(" and "), quoted(&values)),
    })
}

fn is_wrong<'a>(profile: &'a Value, values: &mut Values<'a>) -> bool {
    let kind = profile.text(&["type"]);
    let wrong = !profile.is_null() && !matches!(kind, "RuntimeDefault" | "Localhost");
    if wrong {
        values.insert(kind);
    }
    wrong
}
