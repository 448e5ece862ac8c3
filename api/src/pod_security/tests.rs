use serde_json::json;

use super::*;

fn at(level: Level, minor: u64) -> LevelVersion {
    LevelVersion { level, version: Version::Minor(minor) }
}

const NEWEST: u64 = 36;

fn said(at: LevelVersion, pod: &Value) -> String {
    evaluate(at, pod).to_string()
}

fn spec(spec: Value) -> Value {
    json!({ "spec": spec })
}

/// What nobody complains about.
fn harmless() -> Value {
    spec(json!({
        "securityContext": {"runAsNonRoot": true, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [{"name": "a", "securityContext": {
            "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"], "add": ["NET_BIND_SERVICE"]},
        }}],
        "volumes": [{"name": "v", "emptyDir": {}}],
    }))
}

/// The same with something else in its only container, or in its spec.
fn with(container: Value, in_spec: Value) -> Value {
    let mut pod = harmless();
    let merge = |into: &mut Value, patch: Value| {
        for (key, value) in patch.as_object().unwrap() {
            for (inner, value) in value.as_object().unwrap() {
                into[key][inner] = value.clone();
            }
        }
    };
    merge(&mut pod["spec"]["containers"][0], container);
    for (key, value) in in_spec.as_object().unwrap() {
        pod["spec"][key] = value.clone();
    }
    pod
}

#[test]
fn what_is_harmless_passes_and_what_says_nothing_does_not() {
    for minor in 0..=NEWEST {
        for level in [Level::Privileged, Level::Baseline, Level::Restricted] {
            // seccomp was said by annotations before.
            assert_eq!(said(at(level, minor), &harmless()), "", "{level}:v1.{minor}");
        }
    }
    let silent = spec(json!({"containers": [{"name": "a"}, {"name": "b"}]}));
    assert_eq!(said(at(Level::Baseline, NEWEST), &silent), "");
    let expected = "allowPrivilegeEscalation != false (containers \"a\", \"b\" must set \
                    securityContext.allowPrivilegeEscalation=false), unrestricted capabilities (containers \"a\", \"b\" must \
                    set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true (pod or containers \"a\", \"b\" must \
                    set securityContext.runAsNonRoot=true), seccompProfile (pod or containers \"a\", \"b\" must set \
                    securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")";
    assert_eq!(said(at(Level::Restricted, NEWEST), &silent), expected);
}

#[test]
fn baseline_forbids_what_leads_out() {
    let context = |context: Value| with(json!({ "securityContext": context }), json!({}));
    for (pod, expected) in [
        (
            context(json!({"privileged": true})),
            "privileged (container \"a\" must not set securityContext.privileged=true)",
        ),
        (
            with(json!({}), json!({"hostNetwork": true, "hostIPC": true})),
            "host namespaces (hostNetwork=true, hostIPC=true)",
        ),
        (
            context(json!({"capabilities": {"add": ["SYS_TIME", "KILL", "NET_RAW"]}})),
            "non-default capabilities (container \"a\" must not include \"NET_RAW\", \"SYS_TIME\" in \
             securityContext.capabilities.add)",
        ),
        (
            with(json!({}), json!({"volumes": [{"name": "h", "hostPath": {"path": "/"}}]})),
            "hostPath volumes (volume \"h\")",
        ),
        (
            with(json!({}), json!({"initContainers": [{"name": "i", "ports": [{"hostPort": 80}, {"hostPort": 443}]}]})),
            "hostPort (container \"i\" uses hostPorts 443, 80)",
        ),
        (
            with(
                json!({"livenessProbe": {"httpGet": {"host": "h1"}}, "lifecycle": {"preStop": {"tcpSocket": {"host": "h2"}}}}),
                json!({}),
            ),
            "probe or lifecycle host (container \"a\" uses probe or lifecycle hosts \"h1\", \"h2\")",
        ),
        (
            context(json!({"procMount": "Unmasked"})),
            "procMount (container \"a\" must not set securityContext.procMount to \"Unmasked\")",
        ),
        (
            context(json!({"seLinuxOptions": {"type": "evil_t", "user": "u", "role": "r"}})),
            "seLinuxOptions (container \"a\" set forbidden securityContext.seLinuxOptions: type \"evil_t\"; user may not be \
             set; role may not be set)",
        ),
        (
            with(
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
                json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}}),
            ),
            "seccompProfile (pod and container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
        (
            with(
                json!({}),
                json!({"securityContext": {"sysctls": [
                    {"name": "kernel.msgmax"}, {"name": "net.ipv4.tcp_rmem"},
                ]}}),
            ),
            "forbidden sysctls (kernel.msgmax)",
        ),
        (
            context(json!({"windowsOptions": {"hostProcess": true}})),
            "hostProcess (container \"a\" must not set securityContext.windowsOptions.hostProcess=true)",
        ),
        (
            context(json!({"appArmorProfile": {"type": "Unconfined"}})),
            "forbidden AppArmor profile (container \"a\" must not set AppArmor profile type to \"Unconfined\")",
        ),
    ] {
        assert_eq!(said(at(Level::Baseline, NEWEST), &pod), expected);
        assert_eq!(said(at(Level::Privileged, NEWEST), &pod), "");
    }
    let mut annotated = harmless();
    annotated["metadata"]["annotations"]["container.apparmor.security.beta.kubernetes.io/a"] = json!("unconfined");
    let expected = "forbidden AppArmor profile (annotation must not set AppArmor profile type to \
                    \"container.apparmor.security.beta.kubernetes.io/a=\"unconfined\"\")";
    assert_eq!(said(at(Level::Baseline, NEWEST), &annotated), expected);
}

#[test]
fn restricted_forbids_what_is_not_known_to_be_harmless() {
    let context = |context: Value| with(json!({ "securityContext": context }), json!({}));
    for (pod, expected) in [
        (
            context(json!({"capabilities": {"add": ["CHOWN"], "drop": ["KILL"]}})),
            "unrestricted capabilities (container \"a\" must set securityContext.capabilities.drop=[\"ALL\"]; container \"a\" \
             must not include \"CHOWN\" in securityContext.capabilities.add)",
        ),
        (
            with(
                json!({}),
                json!({"volumes": [
                    {"name": "h", "hostPath": {}}, {"name": "n", "nfs": {}}, {"name": "s", "secret": {}}, {"name": "x"},
                ]}),
            ),
            "restricted volume types (volumes \"h\", \"n\", \"x\" use restricted volume types \"hostPath\", \"nfs\", \
             \"unknown\")",
        ),
        (
            context(json!({"runAsNonRoot": false})),
            "runAsNonRoot != true (container \"a\" must not set securityContext.runAsNonRoot=false)",
        ),
        (context(json!({"runAsUser": 0})), "runAsUser=0 (container \"a\" must not set runAsUser=0)"),
        (
            context(json!({"seccompProfile": {"type": "Unconfined"}})),
            "seccompProfile (container \"a\" must not set securityContext.seccompProfile.type to \"Unconfined\")",
        ),
    ] {
        assert_eq!(said(at(Level::Restricted, NEWEST), &pod), expected);
    }
}

#[test]
fn versions_keep_what_they_had() {
    let unmasked = |pod: &mut Value| pod["spec"]["containers"][0]["securityContext"]["procMount"] = json!("Unmasked");
    let mut own_users = harmless();
    own_users["spec"]["hostUsers"] = json!(false);
    let mut masked = own_users.clone();
    unmasked(&mut masked);
    let is_fine = |level, minor, pod: &Value| evaluate(at(level, minor), pod).is_empty();
    assert!(!is_fine(Level::Baseline, 34, &masked) && is_fine(Level::Baseline, 35, &masked));
    assert!(!is_fine(Level::Restricted, 35, &masked));
    let mut root = own_users;
    root["spec"]["securityContext"]["runAsNonRoot"] = json!(false);
    root["spec"]["containers"][0]["securityContext"]["runAsUser"] = json!(0);
    assert!(!is_fine(Level::Restricted, 34, &root) && is_fine(Level::Restricted, 35, &root));
    let windows = spec(json!({
        "os": {"name": "windows"}, "containers": [{"name": "a"}], "securityContext": {"runAsNonRoot": true},
    }));
    assert!(!is_fine(Level::Restricted, 24, &windows) && is_fine(Level::Restricted, 25, &windows));
    for (sysctl, minor) in
        [("net.ipv4.ip_local_reserved_ports", 27), ("net.ipv4.tcp_fin_timeout", 29), ("net.ipv4.tcp_wmem", 32)]
    {
        let pod = spec(json!({"securityContext": {"sysctls": [{"name": sysctl}]}}));
        assert!(!is_fine(Level::Baseline, minor - 1, &pod) && is_fine(Level::Baseline, minor, &pod), "{sysctl}");
    }
    let engine = spec(json!({"securityContext": {"seLinuxOptions": {"type": "container_engine_t"}}}));
    assert!(!is_fine(Level::Baseline, 30, &engine) && is_fine(Level::Baseline, 31, &engine));
    let mut annotated = spec(json!({"containers": [{"name": "a"}]}));
    annotated["metadata"]["annotations"]["seccomp.security.alpha.kubernetes.io/pod"] = json!("unconfined");
    let expected = "seccompProfile (forbidden annotation seccomp.security.alpha.kubernetes.io/pod=\"unconfined\")";
    assert_eq!(said(at(Level::Baseline, 18), &annotated), expected);
    assert!(is_fine(Level::Baseline, 19, &annotated));
}

fn namespace(labels: &[(&str, &str)]) -> Value {
    let labels: serde_json::Map<String, Value> =
        labels.iter().map(|(key, value)| (format!("pod-security.kubernetes.io/{key}"), json!(value))).collect();
    json!({"metadata": {"name": "n", "labels": labels}})
}

#[test]
fn labels_say_the_policy() {
    let of = |labels: &[(&str, &str)]| {
        let (policy, causes) = Policy::of_document(&namespace(labels), &Policy::default());
        let causes: Vec<String> = causes.0.iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect();
        (format!("{} {} {}", policy.enforce, policy.audit, policy.warn), causes)
    };
    let none: Vec<String> = Vec::new();
    for (labels, expected) in [
        (&[][..], "privileged:latest privileged:latest privileged:latest"),
        (&[("enforce", "baseline")], "baseline:latest privileged:latest baseline:latest"),
        (&[("enforce", "baseline"), ("enforce-version", "v1.20")], "baseline:v1.20 privileged:latest baseline:v1.20"),
        (
            &[("enforce", "baseline"), ("enforce-version", "v1.20"), ("warn-version", "v1.21")],
            "baseline:v1.20 privileged:latest baseline:v1.21",
        ),
        (&[("enforce", "baseline"), ("warn", "privileged")], "baseline:latest privileged:latest privileged:latest"),
        (&[("audit", "restricted"), ("warn", "baseline")], "privileged:latest restricted:latest baseline:latest"),
    ] {
        assert_eq!(of(labels), (expected.to_owned(), none.clone()));
    }
    let (policy, causes) = of(&[("enforce", "strict"), ("audit", "x"), ("warn-version", "v1.01")]);
    assert_eq!(policy, "restricted:latest privileged:latest privileged:latest");
    let expected = [
        "metadata.labels[pod-security.kubernetes.io/enforce]: Invalid value: \"strict\": must be one of privileged, baseline, \
         restricted",
        "metadata.labels[pod-security.kubernetes.io/audit]: Invalid value: \"x\": must be one of privileged, baseline, \
         restricted",
        "metadata.labels[pod-security.kubernetes.io/warn-version]: Invalid value: \"v1.01\": must be \"latest\" or \"v1.x\"",
    ];
    assert_eq!(causes, expected);
}

#[test]
fn a_configuration_is_read_and_complained_about() {
    let document = json!({
        "apiVersion": "pod-security.admission.config.k8s.io/v1", "kind": "PodSecurityConfiguration",
        "defaults": {"enforce": "baseline", "warn": "restricted", "warn-version": "v1.30"},
        "exemptions": {"usernames": ["u"], "runtimeClasses": ["r"], "namespaces": ["n"]},
    });
    let configuration = Configuration::of(&document).unwrap();
    assert_eq!(configuration.defaults.enforce.to_string(), "baseline:latest");
    assert_eq!(configuration.defaults.warn.to_string(), "restricted:v1.30");
    let exempt = &configuration.exemptions;
    assert!(exempt.user("u") && exempt.namespace("n") && !exempt.namespace("m"));
    assert!(exempt.runtime_class_of(&spec(json!({"runtimeClassName": "r"}))) && !exempt.runtime_class_of(&harmless()));
    let labelled = namespace(&[("enforce", "restricted"), ("audit", "baseline"), ("audit-version", "v1.2")]);
    let (policy, _) = Policy::of_document(&labelled, &configuration.defaults);
    let warning = "namespace \"n\" is exempt from Pod Security, and the policy (enforce=restricted:latest, \
                   audit=baseline:v1.2) will be ignored";
    assert_eq!(exempt_namespace(&labelled, &policy, &configuration).as_deref(), Some(warning));
    for (path, value, expected) in [
        ("/kind", json!("Other"), "a PodSecurityConfiguration of"),
        ("/defaults/enforce", json!("x"), "must be one of"),
        ("/exemptions/namespaces", json!("n"), "a list is wanted"),
        ("/exemptions/namespaces/0", json!(""), "a name is wanted"),
    ] {
        let mut wrong = document.clone();
        *wrong.pointer_mut(path).unwrap() = value;
        let error = Configuration::of(&wrong).unwrap_err();
        assert!(error.contains(expected), "{error}");
    }
    let mut unknown = document;
    unknown["defaults"]["enforced"] = json!("baseline");
    assert_eq!(Configuration::of(&unknown).unwrap_err(), "unknown field \"defaults.enforced\"");
}

#[test]
fn updates_matter_where_images_change() {
    let pod = |image: &str| spec(json!({"containers": [{"name": "a", "image": image}]}));
    assert!(!is_significant(&pod("x"), &pod("x")));
    assert!(is_significant(&pod("y"), &pod("x")));
    let mut debugged = pod("x");
    debugged["spec"]["ephemeralContainers"] = json!([{"name": "e", "image": "d"}]);
    assert!(is_significant(&debugged, &pod("x")));
    assert!(!is_significant(&debugged, &debugged));
    let cron = json!({"spec": {"jobTemplate": {"spec": {"template": {"spec": {}}}}}});
    assert_eq!(template("cronjobs.batch", &cron), Some(&json!({"spec": {}})));
    assert_eq!(template("replicationcontrollers", &json!({"spec": {}})), None);
    assert_eq!(template("configmaps", &cron), None);
}

#[test]
fn pods_that_are_there_are_warned_of_together() {
    use crate::builtin::{RuntimeConfig, registry};
    use crate::object::Draft;
    let registry = registry(&RuntimeConfig::default());
    let resource = registry.named("pods").unwrap();
    let pod = |name: &str, spec: Value| {
        let owner = json!([{"uid": "u", "controller": true}]);
        let metadata = json!({"name": name, "namespace": "n", "ownerReferences": owner});
        let object = Draft::new(resource, &json!({"metadata": metadata, "spec": spec})).seal(crate::Version(1));
        std::sync::Arc::new(object)
    };
    let host = json!({"hostNetwork": true});
    let root = json!({"containers": [{"name": "c", "securityContext": {"privileged": true}}]});
    let pods = [pod("c", host.clone()), pod("b", root), pod("a", host.clone()), pod("d", host), pod("e", json!({}))];
    let warnings = existing(&pods, "n", at(Level::Baseline, NEWEST), &Configuration::default());
    let expected = [
        "existing pods in namespace \"n\" violate the new PodSecurity enforce level \"baseline:v1.36\"",
        "a (and 2 other pods): host namespaces",
        "b: privileged",
    ];
    assert_eq!(warnings, expected);
}
