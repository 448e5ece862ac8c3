//! Documents about what is built in.

use std::collections::BTreeSet;

use serde_json::json;

use super::*;

const ITEM: &str = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";

#[test]
fn every_served_group_version_has_a_document_and_nothing_else_has() {
    let registry = registry(&RuntimeConfig::default());
    let all = v3_paths(&registry);
    for path in ["api", "api/v1", "apis", "apis/apps", "apis/apps/v1", "version"] {
        assert!(all.contains(&path.to_owned()), "{path}");
    }
    assert!(!all.iter().any(|path| path.contains("alpha") || path.contains("internal")), "{all:?}");
    let press = Press::new(&registry);
    assert!(all.iter().all(|path| press.v3(path).is_some()));
    for path in ["apis/apps/v2", "apis/internal.shardplane/v1", "apis/nope", "logs", ""] {
        assert!(press.v3(path).is_none(), "{path}");
    }
}

#[test]
fn references_lead_somewhere() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let press = Press::new(&registry);
    for path in v3_paths(&registry) {
        assert_closed(&parsed(&press.v3(&path).unwrap().document(Dialect::V3, Form::Json)), &path);
    }
    assert_closed(&parsed(&press.v2().document(Dialect::V2, Form::Json)), "v2");
}

/// kubectl apply looks for this parameter, in the PATCH operation of the kind, before it sends anything.
#[test]
fn patch_operations_offer_field_validation() {
    let apps = v3("apis/apps/v1");
    let patch = apps.at(&["paths", ITEM, "patch"]);
    assert_eq!(
        patch.at(&["x-kubernetes-group-version-kind"]),
        &json!({"group": "apps", "kind": "Deployment", "version": "v1"})
    );
    let names: Vec<&str> = patch.list(&["parameters"]).iter().map(|parameter| parameter.text(&["name"])).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
    // Clients of OpenAPI 2 look there too, and do not follow references.
    let names: Vec<String> = v2()
        .list(&["paths", ITEM, "patch", "parameters"])
        .iter()
        .map(|parameter| format!("{}{}", parameter.text(&["name"]), parameter.text(&["$ref"])))
        .collect();
    assert!(names.contains(&"dryRun".to_owned()) && names.contains(&"fieldValidation".to_owned()), "{names:?}");
    assert!(names.contains(&"#/parameters/force-tOGGb0Yi".to_owned()), "{names:?}");
}

#[test]
fn operation_ids_are_the_references_and_unique() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let document = parsed(&Press::new(&registry).v2().document(Dialect::V2, Form::Json));
    let id = |path: &str, method: &str| document.text(&["paths", path, method, "operationId"]).to_owned();
    assert_eq!(id(ITEM, "get"), "readAppsV1NamespacedDeployment");
    assert_eq!(id(ITEM, "put"), "replaceAppsV1NamespacedDeployment");
    assert_eq!(id("/apis/apps/v1/deployments", "get"), "listAppsV1DeploymentForAllNamespaces");
    assert_eq!(id("/apis/apps/v1/watch/deployments", "get"), "watchAppsV1DeploymentListForAllNamespaces");
    let collection = "/apis/apps/v1/namespaces/{namespace}/deployments";
    assert_eq!(id(collection, "delete"), "deleteAppsV1CollectionNamespacedDeployment");
    assert_eq!(id(&format!("{ITEM}/scale"), "patch"), "patchAppsV1NamespacedDeploymentScale");
    let role = "/apis/rbac.authorization.k8s.io/v1/clusterroles";
    assert_eq!(id(role, "post"), "createRbacAuthorizationV1ClusterRole");
    assert_eq!(document.at(&["paths", role, "post", "tags"]), &json!(["rbacAuthorization_v1"]));
    let eviction = "/api/v1/namespaces/{namespace}/pods/{name}/eviction";
    assert_eq!(id(eviction, "post"), "createCoreV1NamespacedPodEviction");
    let kind = document.at(&["paths", eviction, "post", "x-kubernetes-group-version-kind"]);
    assert_eq!(kind, &json!({"group": "policy", "kind": "Eviction", "version": "v1"}));
    let mut seen = BTreeSet::new();
    for (path, item) in document.at(&["paths"]).as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(method, _)| *method != "parameters") {
            assert!(seen.insert(operation.text(&["operationId"]).to_owned()), "{method} {path}");
        }
    }
}

#[test]
fn schemas_say_how_lists_merge() {
    let core = v3("api/v1");
    let schemas = core.at(&["components", "schemas"]);
    let of = |name: &str, field: &str| {
        let mut found = schemas.at(&[name, "properties", field]).clone();
        assert!(!found.remove(&["description"]).unwrap().as_str().unwrap().is_empty(), "{name} {field}");
        found
    };
    assert_eq!(
        of("io.k8s.api.core.v1.ServiceSpec", "ports"),
        json!({
            "type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.ServicePort"},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "port"
        })
    );
    let int_or_string = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    let reference = json!({"allOf": [{"$ref": format!("#/components/schemas/{int_or_string}")}]});
    assert_eq!(of("io.k8s.api.core.v1.HTTPGetAction", "port"), reference);
    assert_eq!(schemas.text(&[int_or_string, "format"]), "int-or-string");
    let list = schemas.list(&["io.k8s.api.core.v1.PodList", "x-kubernetes-group-version-kind"]);
    assert_eq!(list[0], json!({"group": "", "kind": "PodList", "version": "v1"}));
    assert_eq!(of("io.k8s.api.core.v1.PersistentVolumeSpec", "claimRef")["x-kubernetes-map-type"], "granular");
}

#[test]
fn what_is_said_about_types_and_fields_comes_along() {
    for (document, schemas) in [(v3("apis/apps/v1"), &["components", "schemas"] as &[&str]), (v2(), &["definitions"])] {
        let strategy = document.at(schemas).at(&["io.k8s.api.apps.v1.DeploymentStrategy"]);
        assert!(strategy.text(&["description"]).starts_with("DeploymentStrategy describes how"));
        let of = strategy.text(&["properties", "type", "description"]);
        assert!(of.contains("\"Recreate\" or \"RollingUpdate\""), "{of}");
        let deployment = document.at(schemas).at(&["io.k8s.api.apps.v1.Deployment", "properties"]);
        assert!(deployment.text(&["kind", "description"]).starts_with("Kind is a string value"));
    }
}

/// OpenAPI 2 knows neither several types of one value nor defaults beside references.
#[test]
fn openapi_2_is_plainer() {
    let document = v2();
    let quantity = document.at(&["definitions", "io.k8s.apimachinery.pkg.api.resource.Quantity"]);
    assert_eq!((quantity.text(&["type"]), quantity.at(&["oneOf"]).is_null()), ("string", true));
    let metadata = document.at(&["definitions", "io.k8s.api.core.v1.Pod", "properties", "metadata"]);
    assert_eq!(metadata.text(&["$ref"]), "#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    assert!(!metadata.text(&["description"]).is_empty() && metadata.at(&["default"]).is_null());
    assert_eq!(document.text(&["swagger"]), "2.0");
}
