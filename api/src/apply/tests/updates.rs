//! Updates and patches: who gets what, when times move, and who is forgotten.

use super::super::is_same_but_for_times;
use super::super::scale::ScaleTracking;
use super::*;
use crate::schema::Schema;

#[test]
fn a_creator_owns_what_it_set_and_nothing_of_the_system() {
    let mut story = Story::new("deployments.apps");
    story.update("kubectl-create", "", json!({
        "metadata": {"labels": {"app": "web"}, "uid": "x", "creationTimestamp": "2026-01-01T00:00:00Z", "generation": 1},
        "spec": {
            "replicas": 1, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
                {"name": "web", "image": "web:1", "ports": [{"containerPort": 80, "protocol": "TCP"}]},
            ]}},
        },
        "status": {"replicas": 1},
    }));
    // As kubectl shows it for the reference.
    let wanted = concat!(
        r#"{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:replicas":{},"f:selector":{},"#,
        r#""f:template":{"f:metadata":{"f:labels":{".":{},"f:app":{}}},"f:spec":{"f:containers":{"#,
        r#""k:{\"name\":\"web\"}":{".":{},"f:image":{},"f:name":{},"f:ports":{".":{},"#,
        r#""k:{\"containerPort\":80,\"protocol\":\"TCP\"}":{".":{},"f:containerPort":{},"f:protocol":{}}},"#,
        r#""f:resources":{}}}}}}}"#
    );
    assert_eq!(story.owners(), [format!("kubectl-create Update apps/v1 1 {wanted}")]);
}

#[test]
fn who_changes_a_field_takes_it() {
    let mut story = Story::new("configmaps");
    story.update("one", "", json!({"data": {"a": "1", "b": "2"}}));
    story.update("two", "", json!({"data": {"a": "1", "b": "3", "c": "4"}}));
    assert_eq!(
        story.owners(),
        [r#"one Update v1 1 {"f:data":{".":{},"f:a":{}}}"#, r#"two Update v1 2 {"f:data":{"f:b":{},"f:c":{}}}"#,]
    );
    let before = story.text().to_owned();
    story.update("three", "", json!({"data": {"a": "1", "b": "3", "c": "4"}}));
    assert_eq!(story.text(), before, "who writes the same takes nothing");
    story.update("two", "", json!({"data": {"a": "1", "b": "5"}}));
    assert_eq!(story.owners()[1], r#"two Update v1 4 {"f:data":{"f:b":{}}}"#, "a field that is gone has no owner");
    assert!(
        is_same_but_for_times(&before, &before.replace(":01Z", ":09Z"))
            && !is_same_but_for_times(&before, story.text())
    );
}

#[test]
fn a_status_belongs_to_who_writes_it_there() {
    let mut story = Story::new("nodes");
    story.update("kubelet", "", json!({"spec": {"podCIDR": "10.0.0.0/24"}, "status": {"phase": "Running"}}));
    assert_eq!(story.owners(), [r#"kubelet Update v1 1 {"f:spec":{"f:podCIDR":{}}}"#], "through the main resource");
    story.update(
        "kubelet",
        "status",
        json!({
            "spec": {"podCIDR": "10.0.1.0/24"},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }),
    );
    let wanted = r#"kubelet Update/status v1 2 {"f:status":{"f:conditions":{".":{},"k:{\"type\":\"Ready\"}":{".":{},"f:status":{},"f:type":{}}}}}"#;
    assert!(story.owners()[1].starts_with(&wanted[..60]), "{:?}", story.owners());
    assert!(!story.owners()[1].contains("podCIDR"));
}

#[test]
fn clients_may_reset_and_edit_the_list() {
    let mut story = Story::new("configmaps");
    story.update("one", "", json!({"data": {"a": "1"}}));
    let entry = json!({
        "manager": "edited", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {"f:data": {"f:a": {}}},
    });
    story.update("two", "", json!({"metadata": {"managedFields": [entry]}, "data": {"a": "1"}}));
    assert_eq!(story.owners(), [r#"edited Apply v1 - {"f:data":{"f:a":{}}}"#]);
    let mut broken =
        json!({"metadata": {"managedFields": [{"manager": "x", "operation": "Apply"}]}, "data": {"a": "1"}});
    story.update("two", "", broken.clone());
    assert_eq!(story.owners().len(), 1, "what cannot be read does not count");
    broken.set(&["metadata", "managedFields"], json!([{}]));
    story.update("two", "", broken);
    assert_eq!(story.text(), "");
    story.update("two", "", json!({"data": {"a": "2"}}));
    assert_eq!(story.text(), "", "and is not followed until somebody applies");
}

#[test]
fn the_oldest_updaters_become_one() {
    let mut story = Story::new("configmaps");
    let mut data = json!({"data": {}});
    for at in 0..14 {
        data.set(&["data", &format!("k{at:02}")], "1");
        story.update(&format!("m{at:02}"), "", data.clone());
    }
    let owners = story.owners();
    assert_eq!(owners.len(), 10, "{owners:?}");
    let wanted =
        r#"ancient-changes Update v1 5 {"f:data":{".":{},"f:k00":{},"f:k01":{},"f:k02":{},"f:k03":{},"f:k04":{}}}"#;
    assert_eq!(owners[0], wanted);
}

#[test]
fn replicas_are_owned_through_scale_where_the_object_keeps_them() {
    let schema = Schema::builtin();
    let deployments = resource("deployments.apps");
    let replicas = ["spec".into(), "replicas".into()];
    let scaling = |manager: &'static str| ScaleTracking {
        resource: &deployments,
        served: &deployments.served[0],
        replicas: &replicas,
        shape: schema.named("io.k8s.api.autoscaling.v1.Scale").unwrap(),
        manager,
        now: "2026-01-01T00:00:09Z",
    };
    let mut story = Story::new("deployments.apps");
    story.apply("me", json!({"spec": {"replicas": 1, "paused": true}}));
    let scale = |replicas: i64| {
        json!({
            "kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "it"}, "spec": {"replicas": replicas}, "status": {"replicas": 0},
        })
    };
    let text = scaling("kubectl").update(story.text(), &scale(1), &scale(2));
    story.live.as_mut().unwrap().set(&["metadata", "managedFields"], text);
    assert_eq!(
        story.owners(),
        [
            r#"me Apply apps/v1 1 {"f:spec":{"f:paused":{}}}"#,
            r#"kubectl Update/scale apps/v1 9 {"f:spec":{"f:replicas":{}}}"#,
        ]
    );
    let config =
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {"name": "it"}, "spec": {"replicas": 4}});
    let status = scaling("other").apply(story.text(), &scale(2), &config, false).unwrap_err();
    let wanted = "conflict with \"kubectl\" with subresource \"scale\" using autoscaling/v1: .spec.replicas";
    assert!(status.message().ends_with(wanted), "{}", status.message());
    let applied = scaling("other").apply(story.text(), &scale(2), &config, true).unwrap();
    assert_eq!(applied.document.int(&["spec", "replicas"]), Some(4));
    story.live.as_mut().unwrap().set(&["metadata", "managedFields"], applied.managers);
    assert_eq!(story.owners()[1], r#"other Apply/scale apps/v1 9 {"f:spec":{"f:replicas":{}}}"#);
}
