//! StatefulSets.

use serde_json::json;

use super::path::Path;
use super::{ScalePaths, Strategy, claim_spec, field, fill, labels, replicas, template};
use crate::document::Value;
use crate::names;
use crate::status::Causes;

/// apps/v1 StatefulSet.
pub(super) struct StatefulSet;

const COUNTS: &[&str] = &[
    "replicas",
    "readyReplicas",
    "currentReplicas",
    "updatedReplicas",
    "availableReplicas",
    "observedGeneration",
    "collisionCount",
];
const PARTS: &[&str] = &["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
const MUTABLE: &[&str] = &[
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "minReadySeconds",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
];

impl Strategy for StatefulSet {
    fn default(&self, object: &mut Value) {
        let spec = fill::map(object, "spec");
        fill::text(spec, "podManagementPolicy", "OrderedReady");
        update_strategy_default(fill::map(spec, "updateStrategy"));
        let retention = fill::map(spec, "persistentVolumeClaimRetentionPolicy");
        fill::text(retention, "whenDeleted", "Retain");
        fill::text(retention, "whenScaled", "Retain");
        fill::int(spec, "replicas", 1);
        fill::int(spec, "revisionHistoryLimit", 10);
        template::default(spec, "template");
        for claim in fill::each(spec, "volumeClaimTemplates") {
            fill::text(claim, "apiVersion", "v1");
            fill::text(claim, "kind", "PersistentVolumeClaim");
            fill::text(fill::map(claim, "spec"), "volumeMode", "Filesystem");
            fill::text(fill::map(claim, "status"), "phase", "Pending");
        }
    }

    fn validate(&self, object: &Value, causes: &mut Causes) {
        let spec = field::get(object, "spec");
        let path = Path::new("spec");
        if field::required_text(spec, "podManagementPolicy", &path, causes) {
            either(spec, "podManagementPolicy", ["OrderedReady", "Parallel"], &path, causes);
        }
        update_strategy(spec, &path, causes);
        let retention = field::get(spec, "persistentVolumeClaimRetentionPolicy");
        for key in ["whenDeleted", "whenScaled"] {
            let path = path.child("persistentVolumeClaimRetentionPolicy");
            field::choice(retention, key, &path, &["Retain", "Delete"], causes);
        }
        let claims = path.child("volumeClaimTemplates");
        for (at, claim) in field::list(spec, "volumeClaimTemplates").iter().enumerate() {
            claim_spec::validate(field::get(claim, "spec"), &claims.index(at).child("spec"), causes);
        }
        field::nonnegative(spec, "replicas", &path, causes);
        field::nonnegative(spec, "minReadySeconds", &path, causes);
        field::nonnegative(field::get(spec, "ordinals"), "start", &path.child("ordinals"), causes);
        match field::text(spec, "serviceName") {
            "" => {}
            name => field::dns_label(name, path.child("serviceName"), causes),
        }
        let selector = labels::workload_selector(spec, "statefulset", &path, causes);
        let template = as_pods_will_be(spec);
        template::validate_running(&template, selector.as_ref(), "StatefulSet", &path.child("template"), causes);
    }

    fn validate_update(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let fixed = |of: &Value| {
            let mut spec = field::get(of, "spec").clone();
            for key in MUTABLE {
                fill::remove(&mut spec, key);
            }
            spec
        };
        if !field::same(&fixed(object), &fixed(old)) {
            let words = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', \
                         'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and \
                         'minReadySeconds' are forbidden";
            causes.forbidden("spec", words);
        }
    }

    fn validate_status(&self, object: &Value, old: &Value, causes: &mut Causes) {
        let (new, old) = (field::get(object, "status"), field::get(old, "status"));
        replicas::status(new, COUNTS, PARTS, causes);
        replicas::collisions(new, old, causes);
    }

    /// Pods are called after it, and a Pod's name is its host name.
    fn validate_name(&self, name: &str) -> Vec<String> {
        names::is_dns1123_label(name)
    }

    fn scale(&self) -> Option<ScalePaths> {
        Some(replicas::scale())
    }
}

fn update_strategy_default(strategy: &mut Value) {
    if field::text(strategy, "type").is_empty() {
        fill::set(strategy, "type", json!("RollingUpdate"));
        fill::map(strategy, "rollingUpdate");
    }
    if field::text(strategy, "type") == "RollingUpdate"
        && let Some(rolling) = fill::field(strategy, "rollingUpdate")
    {
        fill::int(rolling, "partition", 0);
    }
}

fn either(of: &Value, key: &str, choices: [&str; 2], path: &Path<'_>, causes: &mut Causes) {
    if !choices.contains(&field::text(of, key)) {
        let words = format!("must be '{}' or '{}'", choices[0], choices[1]);
        causes.invalid(path.child(key), field::get(of, key), &words);
    }
}

fn update_strategy(spec: &Value, path: &Path<'_>, causes: &mut Causes) {
    let strategy = field::get(spec, "updateStrategy");
    let path = path.child("updateStrategy");
    let rolling = field::get(strategy, "rollingUpdate");
    match field::text(strategy, "type") {
        "" => causes.required(path, ""),
        "OnDelete" if !rolling.is_null() => {
            let words = "only allowed for updateStrategy 'RollingUpdate'";
            causes.invalid(path.child("rollingUpdate"), rolling, words);
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            field::nonnegative(rolling, "partition", &path, causes);
            let most = field::get(rolling, "maxUnavailable");
            if !most.is_null() {
                replicas::count_or_percent(rolling, "maxUnavailable", &path, causes);
                if replicas::amount(most) == 0 {
                    causes.invalid(path.child("maxUnavailable"), most, "cannot be 0");
                }
                replicas::at_most_all(rolling, "maxUnavailable", &path, causes);
            }
        }
        _ => causes.invalid(path, strategy, "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// The template with what the controller puts into every Pod: names of its own and the claims' volumes.
fn as_pods_will_be(spec: &Value) -> Value {
    let mut template = field::get(spec, "template").clone();
    let Some(pod) = fill::field(&mut template, "spec") else { return template };
    fill::remove(pod, "hostname");
    fill::remove(pod, "subdomain");
    let claims = field::list(spec, "volumeClaimTemplates");
    if claims.is_empty() {
        return template;
    }
    let name_of =
        |claim: &Value| claim.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let names: Vec<String> = claims.iter().map(name_of).collect();
    let mut volumes: Vec<Value> =
        names.iter().map(|name| json!({"name": name, "persistentVolumeClaim": {"claimName": name}})).collect();
    let own = field::list(pod, "volumes").iter();
    volumes.extend(own.filter(|volume| !names.iter().any(|name| name == field::text(volume, "name"))).cloned());
    fill::set(pod, "volumes", volumes.into());
    template
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::tests::{complaints, complaints_update};

    fn stateful_set(change: impl FnOnce(&mut Value)) -> Value {
        let mut object = json!({"spec": {
            "serviceName": "db", "selector": {"matchLabels": {"app": "db"}},
            "template": {"metadata": {"labels": {"app": "db"}}, "spec": {"containers": [
                {"name": "a", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}, "spec": {
                "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}],
        }});
        change(&mut object["spec"]);
        StatefulSet.default(&mut object);
        object
    }

    #[test]
    fn defaults() {
        let object = stateful_set(|_| {});
        let spec = &object["spec"];
        assert_eq!(spec["podManagementPolicy"], "OrderedReady");
        assert_eq!(spec["updateStrategy"], json!({"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}));
        assert_eq!(
            spec["persistentVolumeClaimRetentionPolicy"],
            json!({"whenDeleted": "Retain", "whenScaled": "Retain"})
        );
        assert_eq!(spec["volumeClaimTemplates"][0]["spec"]["volumeMode"], "Filesystem");
    }

    #[test]
    fn rules() {
        let good = stateful_set(|_| {});
        assert_eq!(complaints(&StatefulSet, &good), [], "claims are volumes");
        type Change = fn(&mut Value);
        let cases: [(Change, &str, &str); 4] = [
            (
                |spec| spec["podManagementPolicy"] = json!("Random"),
                "spec.podManagementPolicy",
                "Invalid value: \"Random\": must be 'OrderedReady' or 'Parallel'",
            ),
            (
                |spec| spec["replicas"] = json!(-1),
                "spec.replicas",
                "Invalid value: -1: must be greater than or equal to 0",
            ),
            (
                |spec| spec["updateStrategy"] = json!({"type": "OnDelete", "rollingUpdate": {"partition": 1}}),
                "spec.updateStrategy.rollingUpdate",
                "Invalid value: {\"partition\":1}: only allowed for updateStrategy 'RollingUpdate'",
            ),
            (
                |spec| spec["template"]["metadata"]["labels"] = json!({"app": "x"}),
                "spec.template.metadata.labels",
                "Invalid value: {\"app\":\"x\"}: `selector` does not match template `labels`",
            ),
        ];
        for (change, field, message) in cases {
            let found = complaints(&StatefulSet, &stateful_set(change));
            assert_eq!(found[0], (field.to_owned(), message.to_owned()));
        }
        let scaled = stateful_set(|spec| spec["replicas"] = json!(5));
        assert_eq!(complaints_update(&StatefulSet, &scaled, &good), []);
        let renamed = stateful_set(|spec| spec["serviceName"] = json!("other"));
        assert_eq!(complaints_update(&StatefulSet, &renamed, &good)[0].0, "spec");
    }
}
