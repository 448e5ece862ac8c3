use std::collections::BTreeSet;

use super::*;
use crate::resource::Spread;
use crate::schema::{Shape, Type};

fn all() -> Registry {
    registry(&RuntimeConfig::parse("api/all").unwrap())
}

fn paths(registry: &Registry) -> BTreeSet<String> {
    let served = registry.iter().flat_map(|resource| resource.served.iter().map(move |served| (resource, served)));
    let public = served.filter(|(_, served)| served.is_public());
    public.map(|(resource, served)| format!("{}/{}", served.api_version(), resource.plural)).collect()
}

#[test]
fn stable_versions_are_served_by_default_and_no_others() {
    let registry = registry(&RuntimeConfig::default());
    let paths = paths(&registry);
    for path in ["v1/pods", "apps/v1/deployments", "autoscaling/v1/horizontalpodautoscalers", "events.k8s.io/v1/events"]
    {
        assert!(paths.contains(path), "{path}");
    }
    assert!(paths.iter().all(|path| !path.contains("alpha") && !path.contains("beta")), "{paths:?}");
    assert!(registry.resolve("scheduling.k8s.io", "v1alpha2", "podgroups").is_none());
    assert!(registry.named("podgroups.scheduling.k8s.io").is_none());
}

#[test]
fn ids_are_positions_and_names_are_unique() {
    let registry = all();
    let mut names = BTreeSet::new();
    for (resource, at) in registry.iter().zip(0..) {
        assert_eq!(resource.id, ResourceId(at));
        assert!(names.insert(&resource.id_name));
        assert_eq!(registry.named(&resource.id_name).unwrap().id, resource.id);
        for (at, served) in resource.served.iter().enumerate().filter(|(_, served)| served.is_public()) {
            let (found, version) = registry.resolve(&served.group, &served.version, &resource.plural).unwrap();
            assert_eq!((found.id, version), (resource.id, at), "{}", resource.id_name);
        }
    }
}

#[test]
fn runtime_config_switches_and_the_narrowest_rule_wins() {
    let with = |text: &str| paths(&registry(&RuntimeConfig::parse(text).unwrap()));
    assert!(with("api/beta=true").contains("networking.k8s.io/v1beta1/ipaddresses"));
    assert!(!with("api/beta=true").contains("resource.k8s.io/v1alpha3/devicetaintrules"));
    let some = with("api/all=false,v1,networking.k8s.io/v1=true,networking.k8s.io/v1/ingresses=false");
    assert!(some.contains("v1/pods") && some.contains("networking.k8s.io/v1/networkpolicies"));
    assert!(!some.contains("networking.k8s.io/v1/ingresses") && !some.contains("apps/v1/deployments"));
    assert!(with("resource.k8s.io/v1beta1/resourceclaims").contains("resource.k8s.io/v1beta1/resourceclaims"));
    assert!(with("").contains("apps/v1/deployments"));
}

#[test]
fn a_stored_version_that_is_switched_off_stays_the_stored_one() {
    let registry = registry(&RuntimeConfig::parse("autoscaling/v2=false").unwrap());
    assert!(registry.resolve("autoscaling", "v2", "horizontalpodautoscalers").is_none());
    let (autoscalers, version) = registry.resolve("autoscaling", "v1", "horizontalpodautoscalers").unwrap();
    assert_eq!((version, autoscalers.served[0].version.as_str()), (1, "v2"));
    assert!(!autoscalers.served[0].is_public());
}

#[test]
fn runtime_config_names_everything_that_is_wrong() {
    let error = RuntimeConfig::parse("apps/v1=maybe,nope/v1,v1/pods=true").unwrap_err();
    assert!(error.contains("\"maybe\"") && error.contains("\"nope/v1\"") && !error.contains("pods"), "{error}");
    assert!(RuntimeConfig::parse("internal.shardplane/v1").is_err(), "the internal group is nobody's to switch");
}

#[test]
fn the_internal_resource_has_no_path() {
    let registry = all();
    let ports = registry.named("nodeports.internal.shardplane").unwrap();
    assert!(!ports.namespaced && ports.spread == Spread::Name && !ports.served[0].is_public());
    assert!(registry.resolve("internal.shardplane", "v1", "nodeports").is_none());
    assert!(ports.stored_shape().field("spec").is_some());
}

#[test]
fn where_objects_live_is_what_the_design_says() {
    let registry = all();
    let spread = |name: &str| registry.named(name).unwrap().spread.clone();
    assert_eq!(spread("namespaces"), Spread::Namespace);
    assert_eq!(spread("pods"), Spread::Namespace);
    assert_eq!(spread("nodes"), Spread::Name);
    assert_eq!(spread("events"), Spread::Name);
    assert_eq!(spread("leases.coordination.k8s.io"), Spread::NameIn("kube-node-lease"));
    for resource in registry.iter() {
        let by_name = resource.spread == Spread::Name;
        let fits = if resource.namespaced {
            !by_name || resource.plural == "events"
        } else {
            by_name || resource.plural == "namespaces"
        };
        assert!(fits, "{} lives in the wrong place", resource.id_name);
        assert!(!resource.relaxed || resource.plural == "events");
    }
}

#[test]
fn selectable_fields_exist_in_the_schema() {
    for resource in all().iter() {
        for field in &resource.selectable {
            let mut shape = Some(resource.stored_shape());
            for step in &field.path {
                let found =
                    shape.and_then(|shape| shape.field(step)).unwrap_or_else(|| panic!("{}: {step}", resource.id_name));
                shape = shape.and_then(|shape| shape.inside(&found.of));
            }
        }
    }
    let registry = all();
    let pods = registry.named("pods").unwrap();
    assert_eq!(pods.selectable[pods.indexed.unwrap()].label, "spec.nodeName");
}

#[test]
fn status_subresources_and_status_fields_go_together() {
    for resource in all().iter() {
        let field = resource.stored_shape().field("status").is_some();
        assert!(field || !resource.has_status, "{} has a status subresource but no status", resource.id_name);
    }
}

/// Versions without a conversion must be alike, or a client would read fields that its version does not have.
#[test]
fn versions_without_a_conversion_are_alike() {
    for resource in all().iter() {
        for served in resource.served.iter().skip(1).filter(|served| served.convert.is_none()) {
            same(resource.stored_shape(), resource.shape(served), &mut Vec::new());
        }
    }
}

fn same(a: Shape<'_>, b: Shape<'_>, seen: &mut Vec<(u32, u32)>) {
    if a.id == b.id || seen.contains(&(a.id.0, b.id.0)) {
        return;
    }
    seen.push((a.id.0, b.id.0));
    let names = |shape: Shape<'_>| shape.fields().iter().map(|field| field.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(a), names(b), "{} and {}", a.name(), b.name());
    for (x, y) in a.fields().iter().zip(b.fields()) {
        let what = format!("{}.{} and {}.{}", a.name(), x.name, b.name(), y.name);
        assert_eq!((x.presence, kind(&x.of)), (y.presence, kind(&y.of)), "{what}");
        if let (Some(a), Some(b)) = (a.inside(&x.of), b.inside(&y.of)) {
            same(a, b, seen);
        }
    }
}

fn kind(of: &Type) -> String {
    match of {
        Type::Message(_) => "message".to_owned(),
        Type::List(inner) => format!("[{}]", kind(inner)),
        Type::Map(inner) => format!("{{{}}}", kind(inner)),
        other => format!("{other:?}"),
    }
}

#[test]
fn heads_open_a_document() {
    let registry = all();
    let (pods, at) = registry.resolve("", "v1", "pods").unwrap();
    assert_eq!(&pods.served[at].head[..], br#"{"kind":"Pod","apiVersion":"v1","#);
    let (deployments, at) = registry.resolve("apps", "v1", "deployments").unwrap();
    assert_eq!(&deployments.served[at].head[..], br#"{"kind":"Deployment","apiVersion":"apps/v1","#);
    assert_eq!(deployments.id_name, "deployments.apps");
    assert_eq!(deployments.served[at].subresource("scale").unwrap().kind, "Scale");
}
