use serde_json::json;

use super::*;
use crate::schema::Schema;

fn patched(kind: &'static str, document: &Value, patch: &Value) -> Result<Value, Status> {
    let schema = Schema::builtin();
    let shape = schema.named(kind).unwrap_or_else(|| panic!("{kind} is not in the schema"));
    apply(patch.clone(), document, shape)
}

fn pod(document: Value, patch: Value) -> Value {
    patched("io.k8s.api.core.v1.PodSpec", &document, &patch).unwrap_or_else(|why| panic!("{patch}: {:?}", why.causes()))
}

fn code(document: Value, patch: Value) -> u16 {
    patched("io.k8s.api.core.v1.PodSpec", &document, &patch).map_or_else(|status| status.code(), |_| 200)
}

#[test]
fn maps_merge_and_nulls_remove() {
    let document = json!({"nodeSelector": {"a": "1", "b": "2"}, "hostname": "h", "priority": 1});
    let patch = json!({"nodeSelector": {"a": null, "c": "3", "d": null}, "hostname": null, "subdomain": "s"});
    let wanted = json!({"nodeSelector": {"b": "2", "c": "3"}, "priority": 1, "subdomain": "s"});
    assert_eq!(pod(document, patch), wanted);
    let fresh = pod(json!({}), json!({"securityContext": {"runAsUser": 1, "runAsGroup": null}}));
    assert_eq!(fresh, json!({"securityContext": {"runAsUser": 1}}), "nulls of what is added go");
}

#[test]
fn containers_merge_by_name() {
    let document =
        json!({"containers": [{"name": "a", "image": "a:1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]});
    let patch = json!({"containers": [{"name": "a", "image": "a:2", "env": [{"name": "Y", "value": "2"}]}]});
    let wanted = json!({"containers": [
        {"name": "a", "image": "a:2", "env": [{"name": "Y", "value": "2"}, {"name": "X", "value": "1"}]}, {"name": "b"},
    ]});
    assert_eq!(pod(document, patch), wanted);
}

#[test]
fn added_items_follow_the_patchs_order() {
    let named =
        |names: &[&str]| json!({"containers": names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>()});
    let cases: [(&[&str], &[&str], &[&str]); 5] = [
        (&["a", "b"], &["c"], &["c", "a", "b"]),
        (&["a", "b"], &["b", "c"], &["a", "b", "c"]),
        (&["a", "b", "c"], &["c", "a"], &["b", "c", "a"]),
        (&[], &["b", "a"], &["b", "a"]),
        (&["a", "b"], &[], &["a", "b"]),
    ];
    for (before, patch, wanted) in cases {
        assert_eq!(pod(named(before), named(patch)), named(wanted), "{before:?} patched with {patch:?}");
    }
}

#[test]
fn directives_delete_and_replace_items() {
    let document = || json!({"containers": [{"name": "a", "image": "1"}, {"name": "b"}, {"name": "c"}]});
    let deleted =
        pod(document(), json!({"containers": [{"name": "b", "$patch": "delete"}, {"name": "a", "image": "2"}]}));
    assert_eq!(deleted, json!({"containers": [{"name": "a", "image": "2"}, {"name": "c"}]}));
    let replaced = pod(document(), json!({"containers": [{"$patch": "replace"}, {"name": "z"}]}));
    assert_eq!(replaced, json!({"containers": [{"name": "z"}]}));
    let missing = pod(document(), json!({"containers": [{"name": "nobody", "$patch": "delete"}]}));
    assert_eq!(missing, document());
    assert_eq!(pod(json!({}), json!({"containers": [{"name": "a", "$patch": "delete"}]})), json!({"containers": []}));
    for item in
        [json!({"$patch": "delete"}), json!({"$patch": "merge", "name": "a"}), json!({"$patch": "guess"}), json!({})]
    {
        assert_eq!(code(document(), json!({"containers": [item]})), 422, "{item}");
    }
}

#[test]
fn directives_delete_and_replace_maps() {
    let document = || json!({"securityContext": {"runAsUser": 1, "fsGroup": 2}, "hostname": "h"});
    let replaced = pod(document(), json!({"securityContext": {"$patch": "replace", "runAsGroup": 3}}));
    assert_eq!(replaced, json!({"securityContext": {"runAsGroup": 3}, "hostname": "h"}));
    let deleted = pod(document(), json!({"securityContext": {"$patch": "delete"}}));
    assert_eq!(deleted, json!({"securityContext": {}, "hostname": "h"}));
    assert_eq!(pod(document(), json!({"$patch": "replace", "hostname": "x"})), json!({"hostname": "x"}));
    assert_eq!(code(document(), json!({"securityContext": {"$patch": "merge"}})), 422);
}

#[test]
fn lists_without_a_strategy_are_replaced() {
    let document = json!({"containers": [{"name": "a", "args": ["1", "2"]}], "tolerations": [{"key": "a"}]});
    let patch = json!({"containers": [{"name": "a", "args": ["3"]}], "tolerations": [{"key": "b"}]});
    let wanted = json!({"containers": [{"name": "a", "args": ["3"]}], "tolerations": [{"key": "b"}]});
    assert_eq!(pod(document, patch), wanted);
}

#[test]
fn scalars_merge_as_a_set() {
    let meta = |document: Value, patch: Value| {
        patched("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", &document, &patch).unwrap()
    };
    let document = || json!({"finalizers": ["a/1", "a/2", "a/3"]});
    let merged = meta(document(), json!({"finalizers": ["a/4", "a/2"]}));
    assert_eq!(merged, json!({"finalizers": ["a/4", "a/1", "a/2", "a/3"]}));
    let deleted = meta(document(), json!({"$deleteFromPrimitiveList/finalizers": ["a/2", "a/9"]}));
    assert_eq!(deleted, json!({"finalizers": ["a/1", "a/3"]}));
    let both = meta(
        document(),
        json!({
            "$deleteFromPrimitiveList/finalizers": ["a/1"], "$setElementOrder/finalizers": ["a/5", "a/3", "a/2"], "finalizers": ["a/5"],
        }),
    );
    assert_eq!(both, json!({"finalizers": ["a/5", "a/3", "a/2"]}));
    assert_eq!(meta(json!({}), json!({"$deleteFromPrimitiveList/finalizers": ["a/2"]})), json!({}));
}

#[test]
fn kubectls_order_is_kept() {
    let document = json!({"containers": [{"name": "side"}, {"name": "a", "image": "1"}, {"name": "b"}]});
    let patch = json!({
        "$setElementOrder/containers": [{"name": "b"}, {"name": "new"}, {"name": "a"}],
        "containers": [{"name": "new", "image": "n"}, {"name": "a", "image": "2"}],
    });
    let wanted = json!({"containers": [
        {"name": "side"}, {"name": "b"}, {"name": "new", "image": "n"}, {"name": "a", "image": "2"},
    ]});
    assert_eq!(pod(document.clone(), patch), wanted);
    let only_order = json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]});
    assert_eq!(
        pod(document.clone(), only_order),
        json!({"containers": [
            {"name": "side"}, {"name": "b"}, {"name": "a", "image": "1"},
        ]})
    );
    let delete = json!({
        "$setElementOrder/containers": [{"name": "a"}],
        "containers": [{"name": "b", "$patch": "delete"}, {"name": "side", "$patch": "delete"}],
    });
    assert_eq!(pod(document.clone(), delete), json!({"containers": [{"name": "a", "image": "1"}]}));
    let wrong = json!({"$setElementOrder/containers": [{"name": "a"}], "containers": [{"name": "b"}]});
    assert_eq!(code(document.clone(), wrong), 422);
    assert_eq!(code(document.clone(), json!({"$setElementOrder/containers": 1})), 400);
    assert_eq!(code(document, json!({"$setElementOrder": []})), 400);
}

#[test]
fn retained_keys_clear_the_others() {
    let deployment = |patch: Value| {
        let document = json!({"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}});
        patched("io.k8s.api.apps.v1.Deployment", &document, &patch)
    };
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}});
    assert_eq!(deployment(patch).unwrap(), json!({"spec": {"strategy": {"type": "Recreate"}}}));
    let volumes = json!({"volumes": [{"name": "v", "emptyDir": {}}]});
    let patch = json!({"volumes": [{"name": "v", "$retainKeys": ["name", "hostPath"], "hostPath": {"path": "/"}}]});
    assert_eq!(pod(volumes, patch), json!({"volumes": [{"name": "v", "hostPath": {"path": "/"}}]}));
    let patch = json!({"spec": {"strategy": {"$retainKeys": ["rollingUpdate"], "type": "Recreate"}}});
    assert_eq!(deployment(patch).unwrap_err().code(), 400);
}

#[test]
fn ports_merge_by_number() {
    let service = |patch: Value| {
        let document = json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443}]}});
        patched("io.k8s.api.core.v1.Service", &document, &patch).unwrap()
    };
    let merged = service(json!({"spec": {"ports": [{"port": 443, "nodePort": 30001}]}}));
    assert_eq!(
        merged,
        json!({"spec": {"ports": [{"port": 80, "targetPort": 8080}, {"port": 443, "nodePort": 30001}]}})
    );
}

#[test]
fn nothing_of_a_patch_leaks_into_what_it_adds() {
    let patch = json!({"affinity": {"nodeAffinity": {"$retainKeys": ["x"]}, "podAffinity": {"$patch": "delete"}}});
    assert_eq!(pod(json!({}), patch), json!({"affinity": {"nodeAffinity": {}}}));
    assert_eq!(code(json!({}), json!({"nodeSelector": {"$patch": "guess"}})), 200, "dropped, as in the reference");
    assert_eq!(patched("io.k8s.api.core.v1.PodSpec", &json!({}), &json!([])).unwrap_err().code(), 400);
}
