//! Applies: conflicts, lists, what goes with its last owner.

use super::*;

#[test]
fn an_applier_owns_what_it_mentions_and_gives_up_what_it_does_not() {
    let mut story = Story::new("configmaps");
    story.apply("one", json!({"data": {"a": "1", "b": "2"}}));
    assert_eq!(story.owners(), [r#"one Apply v1 1 {"f:data":{"f:a":{},"f:b":{}}}"#]);
    story.apply("two", json!({"data": {"b": "2", "c": "3"}}));
    story.apply("one", json!({"data": {"a": "1"}}));
    assert_eq!(story.at(&["data"]), &json!({"a": "1", "b": "2", "c": "3"}), "b has another owner");
    story.apply("two", json!({"data": {"c": "3"}}));
    assert_eq!(story.at(&["data"]), &json!({"a": "1", "c": "3"}), "b has lost its last one");
    story.apply("two", json!({}));
    assert_eq!(story.owners(), [r#"one Apply v1 1 {"f:data":{"f:a":{}}}"#], "its values have not changed");
    assert_eq!(story.at(&["data"]), &json!({"a": "1"}));
}

#[test]
fn the_same_again_changes_nothing_to_the_byte() {
    let mut story = Story::new("deployments.apps");
    let config = json!({"spec": {
        "replicas": 2, "selector": {"matchLabels": {"app": "web"}},
        "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [
            {"name": "web", "image": "web:1", "ports": [{"containerPort": 80}], "env": [{"name": "A", "value": "1"}]},
        ]}},
    }});
    story.apply("one", config.clone());
    let before = story.live.clone();
    story.apply("one", config.clone());
    story.force("one", config);
    assert_eq!(story.live, before);
}

#[test]
fn another_value_for_somebody_elses_field_is_a_conflict() {
    let mut story = Story::new("deployments.apps");
    let config = |replicas: i64, image: &str| {
        json!({"spec": {
            "replicas": replicas, "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "web", "image": image}]}},
        }})
    };
    story.apply("one", config(2, "web:1"));
    let status = story.refused("two", config(3, "web:1"));
    assert_eq!(
        (status.code(), status.message()),
        (409, "Apply failed with 1 conflict: conflict with \"one\": .spec.replicas")
    );
    let cause = &status.causes()[0];
    assert_eq!(
        (cause.reason, &*cause.message, &*cause.field),
        ("FieldManagerConflict", "conflict with \"one\"", ".spec.replicas")
    );
    assert_eq!(
        status.to_value()["details"],
        json!({"causes": [
            {"reason": "FieldManagerConflict", "message": "conflict with \"one\"", "field": ".spec.replicas"},
        ]})
    );
    let status = story.refused("two", config(3, "web:2"));
    assert_eq!(
        status.message(),
        "Apply failed with 2 conflicts: conflicts with \"one\":\n- .spec.replicas\n\
         - .spec.template.spec.containers[name=\"web\"].image"
    );
    story.force("two", config(3, "web:2"));
    assert_eq!(story.at(&["spec", "replicas"]), &json!(3));
    let owners = story.owners();
    assert!(owners[0].starts_with("one Apply") && !owners[0].contains("replicas"), "{owners:?}");
    assert!(owners[1].starts_with("two Apply") && owners[1].contains("replicas"), "{owners:?}");
}

#[test]
fn updaters_are_named_with_their_version_and_subresource() {
    let mut story = Story::new("deployments.apps");
    story.update("kubectl-create", "", json!({"spec": {"replicas": 1}}));
    let status = story.refused("me", json!({"spec": {"replicas": 2}}));
    assert!(
        status.message().ends_with("conflict with \"kubectl-create\" using apps/v1: .spec.replicas"),
        "{}",
        status.message()
    );
    let mut with_status = story.live.clone().unwrap();
    with_status.remove(&["metadata", "managedFields"]);
    with_status.set(&["status", "replicas"], 1);
    story.update("controller", "status", with_status);
    let status = story.try_apply("me", "status", json!({"status": {"replicas": 7}}), false).unwrap_err();
    let wanted = "conflict with \"controller\" with subresource \"status\" using apps/v1: .status.replicas";
    assert!(status.message().ends_with(wanted), "{}", status.message());
}

#[test]
fn items_of_lists_have_owners_of_their_own() {
    let mut story = Story::new("services");
    let ports = |list: Value| json!({"spec": {"ports": list}});
    story.apply("one", ports(json!([{"port": 80, "name": "http"}])));
    story.apply("two", ports(json!([{"port": 443, "name": "https", "protocol": "TCP"}])));
    let names = |story: &Story| {
        let ports = story.at(&["spec", "ports"]).as_array().cloned().unwrap_or_default();
        ports.iter().map(|port| port.text(&["name"]).to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&story), ["http", "https"]);
    // A key that is left out has its default.
    assert!(story.owners()[0].contains(r#""k:{\"port\":80,\"protocol\":\"TCP\"}":{".":{},"f:name":{},"f:port":{}}"#));
    story.apply("one", ports(json!([])));
    assert_eq!(names(&story), ["https"], "the last owner dropped it");
}

#[test]
fn sets_and_atomic_lists() {
    let mut story = Story::new("pods");
    story.apply("one", json!({"metadata": {"finalizers": ["a.io/x"]}, "spec": {"tolerations": [{"key": "a"}]}}));
    story.apply("two", json!({"metadata": {"finalizers": ["b.io/y"]}}));
    assert_eq!(story.at(&["metadata", "finalizers"]), &json!(["a.io/x", "b.io/y"]));
    let status = story.refused("two", json!({"spec": {"tolerations": [{"key": "b"}]}}));
    assert!(status.message().ends_with(".spec.tolerations"), "{}", status.message());
    story.apply("one", json!({"metadata": {"finalizers": []}, "spec": {"tolerations": [{"key": "c"}]}}));
    assert_eq!(story.at(&["metadata", "finalizers"]), &json!(["b.io/y"]));
    assert_eq!(story.at(&["spec", "tolerations"]), &json!([{"key": "c"}]));
}

#[test]
fn lists_come_in_the_appliers_order() {
    let mut story = Story::new("pods");
    let containers = |names: &[&str]| {
        let list: Vec<Value> = names.iter().map(|name| json!({"name": name})).collect();
        json!({"spec": {"containers": list}})
    };
    let order = |story: &Story| {
        let list = story.at(&["spec", "containers"]).as_array().cloned().unwrap_or_default();
        list.iter().map(|item| item.text(&["name"]).to_owned()).collect::<String>()
    };
    for (live, applied, wanted) in [
        ("abc", "cba", "cba"),
        ("abc", "ad", "abcd"),
        ("abcd", "dxa", "bcdxa"),
        ("ab", "ba", "ba"),
        ("abc", "bxc", "abxc"),
    ] {
        let mut story = Story { resource: story.resource.clone(), served: 0, live: None, seconds: 0 };
        let names = |text: &'static str| text.split("").filter(|name| !name.is_empty()).collect::<Vec<_>>();
        story.apply("one", containers(&names(live)));
        story.apply("two", containers(&names(applied)));
        assert_eq!(order(&story), wanted, "{live} with {applied}");
    }
    story.apply("one", containers(&["a"]));
    let status = story.refused("one", containers(&["a", "a"]));
    assert_eq!(status.code(), 400);
    assert!(
        status.message().contains(r#".spec.containers: duplicate entries for key [name="a"]"#),
        "{}",
        status.message()
    );
}

#[test]
fn nulls_are_owned_and_remove() {
    let mut story = Story::new("deployments.apps");
    story.update("one", "", json!({"spec": {"replicas": 3, "paused": true}}));
    story.force("two", json!({"spec": {"replicas": null}}));
    assert_eq!(story.at(&["spec", "replicas"]), &Value::Null);
    assert!(story.owners()[0].contains(r#"{"f:spec":{"f:replicas":{}}}"#), "{:?}", story.owners());
    let status = story.refused("three", json!({"spec": {"paused": null}}));
    assert!(status.message().contains(".spec.paused"), "{}", status.message());
}

#[test]
fn bodies_that_do_not_fit_are_refused() {
    let mut story = Story::new("deployments.apps");
    for (config, wanted) in [
        (
            json!({"spec": {"replicaz": 1}}),
            "failed to create typed patch object (/it; apps/v1, Kind=Deployment): .spec.replicaz: field not declared in schema",
        ),
        (json!({"spec": {"replicas": "1"}}), ".spec.replicas: expected numeric (int or float), got string"),
        (json!({"spec": {"template": []}}), ".spec.template: expected map, got &{[]}"),
        (
            json!({"metadata": {"labels": {"a": 1}}}),
            ".metadata.labels.a: expected string, got &value.valueUnstructured{Value:1}",
        ),
        (json!({"metadata": {"managedFields": []}}), "metadata.managedFields must be nil"),
        (
            json!({"spec": {"a": 1, "paused": 1}}),
            "errors:\n  .spec.a: field not declared in schema\n  .spec.paused: expected boolean, got &{1}",
        ),
    ] {
        let status = story.refused("one", config);
        assert_eq!(status.code(), 400);
        assert!(status.message().ends_with(wanted), "{}", status.message());
    }
    let tracking = Tracking::of(&story.resource, &story.resource.served[0], "", "one", "");
    let other = json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "it"}});
    assert_eq!(tracking.apply(None, &other, false).unwrap_err().message(), "invalid object type: /v1, Kind=Pod");
}

#[test]
fn what_was_there_before_the_first_apply_has_an_owner() {
    let mut story = Story::new("configmaps");
    story.update("one", "", json!({"data": {"a": "1", "b": "2"}}));
    story.live.as_mut().unwrap().remove(&["metadata", "managedFields"]);
    let status = story.refused("two", json!({"data": {"a": "2"}}));
    assert!(
        status.message().ends_with("conflict with \"before-first-apply\" using v1: .data.a"),
        "{}",
        status.message()
    );
    story.force("two", json!({"data": {"a": "2"}}));
    assert_eq!(
        story.owners(),
        [r#"two Apply v1 3 {"f:data":{"f:a":{}}}"#, r#"before-first-apply Update v1 3 {"f:data":{".":{},"f:b":{}}}"#,]
    );
}

#[test]
fn kubectl_goes_over_from_the_client_without_conflicts() {
    const LAST: [&str; 3] = ["metadata", "annotations", "kubectl.kubernetes.io/last-applied-configuration"];
    let mut story = Story::new("configmaps");
    let mut first = json!({"data": {"a": "1", "b": "2"}});
    let mut applied = first.clone();
    applied.set(&["apiVersion"], "v1");
    applied.set(&["kind"], "ConfigMap");
    first.set(&LAST, applied.to_string());
    story.update("kubectl-client-side-apply", "", first);
    let status = story.refused("other", json!({"data": {"a": "2"}}));
    assert_eq!(status.causes().len(), 1, "only kubectl's own annotation counts");
    story.apply("kubectl", json!({"data": {"a": "2"}}));
    assert_eq!(story.at(&["data"]), &json!({"a": "2", "b": "2"}));
    let last: Value = serde_json::from_str(story.at(&LAST).as_str().unwrap()).unwrap();
    assert_eq!(last["data"], json!({"a": "2"}), "who goes back finds what was applied");
}

#[test]
fn owners_of_another_version_are_compared_in_theirs() {
    let mut story = Story::new("horizontalpodautoscalers.autoscaling");
    story.through("autoscaling/v1");
    let spec = |percent: i64| {
        json!({"spec": {
            "scaleTargetRef": {"kind": "Deployment", "name": "web"}, "maxReplicas": 3, "targetCPUUtilizationPercentage": percent,
        }})
    };
    story.apply("one", spec(50));
    assert!(story.owners()[0].contains("f:targetCPUUtilizationPercentage"));
    story.through("autoscaling/v2");
    let config = json!({"spec": {"metrics": [{"type": "Resource", "resource": {
        "name": "cpu", "target": {"type": "Utilization", "averageUtilization": 60},
    }}]}});
    let status = story.refused("two", config.clone());
    assert!(
        status.message().ends_with("conflict with \"one\": .spec.targetCPUUtilizationPercentage"),
        "{}",
        status.message()
    );
    story.force("two", config);
    assert!(!story.owners()[0].contains("targetCPU"), "{:?}", story.owners());
}
