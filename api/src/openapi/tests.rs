use serde_json::json;

use super::*;
use crate::builtin::{RuntimeConfig, registry};
use crate::document::Document;

fn apps() -> Value {
    document(&registry(&RuntimeConfig::default()), "apps", "v1").unwrap()
}

const ITEM: &str = "/apis/apps/v1/namespaces/{namespace}/deployments/{name}";

#[test]
fn every_served_group_version_has_a_document_and_nothing_else_has() {
    let registry = registry(&RuntimeConfig::default());
    let all = group_versions(&registry);
    assert!(all.contains(&"api/v1".to_owned()) && all.contains(&"apis/apps/v1".to_owned()));
    assert!(!all.iter().any(|path| path.contains("alpha") || path.contains("internal")), "{all:?}");
    assert!(document(&registry, "apps", "v2").is_none());
    assert!(document(&registry, "internal.shardplane", "v1").is_none());
}

#[test]
fn references_lead_somewhere() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    for path in group_versions(&registry) {
        let parts: Vec<&str> = path.split('/').collect();
        let (group, version) = if parts.len() == 2 { ("", parts[1]) } else { (parts[1], parts[2]) };
        let document = document(&registry, group, version).unwrap();
        let mut open = vec![&document];
        while let Some(value) = open.pop() {
            match value {
                Value::Object(map) => {
                    if let Some(Value::String(reference)) = map.get("$ref") {
                        let name = reference.strip_prefix("#/components/schemas/").unwrap();
                        assert!(document.at(&["components", "schemas", name]).is_object(), "{path}: {name}");
                    }
                    open.extend(map.values());
                }
                Value::Array(items) => open.extend(items),
                _ => {}
            }
        }
    }
}

/// kubectl apply looks for this parameter, in the PATCH operation of the kind, before it sends anything.
#[test]
fn patch_operations_offer_field_validation() {
    let apps = apps();
    let patch = apps.at(&["paths", ITEM, "patch"]);
    assert_eq!(
        patch.at(&["x-kubernetes-group-version-kind"]),
        &json!({"group": "apps", "kind": "Deployment", "version": "v1"})
    );
    let names: Vec<&str> = patch.list(&["parameters"]).iter().map(|parameter| parameter.text(&["name"])).collect();
    assert_eq!(names, ["dryRun", "fieldManager", "fieldValidation", "force"]);
}

#[test]
fn operation_ids_are_the_references() {
    let apps = apps();
    let id = |path: &str, method: &str| apps.text(&["paths", path, method, "operationId"]).to_owned();
    assert_eq!(id(ITEM, "get"), "readAppsV1NamespacedDeployment");
    assert_eq!(id(ITEM, "put"), "replaceAppsV1NamespacedDeployment");
    assert_eq!(id("/apis/apps/v1/deployments", "get"), "listAppsV1DeploymentForAllNamespaces");
    let collection = "/apis/apps/v1/namespaces/{namespace}/deployments";
    assert_eq!(id(collection, "delete"), "deleteAppsV1CollectionNamespacedDeployment");
    assert_eq!(id(&format!("{ITEM}/scale"), "patch"), "patchAppsV1NamespacedDeploymentScale");
    let registry = registry(&RuntimeConfig::default());
    let rbac = document(&registry, "rbac.authorization.k8s.io", "v1").unwrap();
    let roles = rbac.at(&["paths", "/apis/rbac.authorization.k8s.io/v1/clusterroles", "post"]);
    assert_eq!(roles.text(&["operationId"]), "createRbacAuthorizationV1ClusterRole");
    assert_eq!(roles.at(&["tags"]), &json!(["rbacAuthorization_v1"]));
    let core = document(&registry, "", "v1").unwrap();
    let eviction = core.at(&["paths", "/api/v1/namespaces/{namespace}/pods/{name}/eviction", "post"]);
    assert_eq!(eviction.text(&["operationId"]), "createCoreV1NamespacedPodEviction");
    assert_eq!(eviction.text(&["x-kubernetes-group-version-kind", "group"]), "policy");
}

#[test]
fn schemas_say_how_lists_merge() {
    let registry = registry(&RuntimeConfig::default());
    let core = document(&registry, "", "v1").unwrap();
    let ports = core.at(&["components", "schemas", "io.k8s.api.core.v1.ServiceSpec", "properties", "ports"]);
    assert_eq!(
        ports,
        &json!({
            "type": "array", "items": {"$ref": "#/components/schemas/io.k8s.api.core.v1.ServicePort"},
            "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["port", "protocol"],
            "x-kubernetes-patch-strategy": "merge", "x-kubernetes-patch-merge-key": "port"
        })
    );
    let port = core.at(&["components", "schemas", "io.k8s.api.core.v1.HTTPGetAction", "properties", "port"]);
    let int_or_string = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";
    assert_eq!(port, &json!({"allOf": [{"$ref": format!("#/components/schemas/{int_or_string}")}]}));
    assert_eq!(core.text(&["components", "schemas", int_or_string, "format"]), "int-or-string");
    let list = core.at(&["components", "schemas", "io.k8s.api.core.v1.PodList"]);
    assert_eq!(
        list.list(&["x-kubernetes-group-version-kind"])[0],
        json!({"group": "", "kind": "PodList", "version": "v1"})
    );
}
