use serde_json::json;

use super::*;
use crate::schema::Schema;

fn read(kind: &'static str, body: &str, format: Format) -> Result<Decoded, Malformed> {
    let schema = Schema::builtin();
    decode(schema.named(kind).unwrap(), body.as_bytes(), format)
}

const POD: &str = "io.k8s.api.core.v1.Pod";
const DEPLOYMENT: &str = "io.k8s.api.apps.v1.Deployment";
const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";

fn pod(body: &str) -> Decoded {
    read(POD, body, Format::Json).unwrap()
}

fn error(kind: &'static str, body: &str) -> String {
    read(kind, body, Format::Json).unwrap_err().message
}

#[test]
fn what_a_strategic_patch_makes_is_restored_in_words_of_its_own() {
    let schema = Schema::builtin();
    let shape = schema.named(POD).unwrap();
    let restored = |value| restore(shape, value).unwrap_err().message;
    assert_eq!(restored(json!({"metadata": {"labels": "invalid"}})), "cannot restore map from string");
    assert_eq!(restored(json!({"spec": {"containers": {}}})), "cannot restore slice from map");
    assert_eq!(restored(json!({"spec": 7})), "cannot restore struct from: int64");
    let seconds = json!({"spec": {"activeDeadlineSeconds": [true]}});
    assert_eq!(restored(seconds), "cannot convert []interface {} to int64");
}

#[test]
fn unknown_fields_are_pruned_and_told_with_their_path() {
    let got = pod(r#"{"spec":{"containers":[{"name":"a","image":"b","imag":1,"env":[{"nam":{}}]}],"x":[1]},"y":null}"#);
    assert_eq!(
        got.problems,
        [
            r#"unknown field "spec.containers[0].imag""#,
            r#"unknown field "spec.containers[0].env[0].nam""#,
            r#"unknown field "spec.x""#,
            r#"unknown field "y""#
        ]
    );
    let container = &got.value["spec"]["containers"][0];
    assert_eq!(container, &json!({"name": "a", "image": "b", "resources": {}, "env": [{"name": ""}]}));
}

#[test]
fn duplicate_fields_are_told_even_when_the_first_was_dropped_and_the_last_wins() {
    let got = pod(r#"{"spec":{"nodeName":"","nodeName":"n"},"metadata":{"labels":{"a":"1","a":"2"}},"kind":"Pod"}"#);
    assert_eq!(got.problems, [r#"duplicate field "spec.nodeName""#, r#"duplicate field "metadata.labels.a""#]);
    assert_eq!(got.value["spec"]["nodeName"], "n");
    assert_eq!(got.value["metadata"]["labels"]["a"], "2");
}

#[test]
fn nulls_and_zero_values_are_absent_where_go_omits_them_and_pointers_keep_theirs() {
    let got = pod(r#"{"metadata":{"name":"a","labels":{},"annotations":null,"generation":0},
            "spec":{"containers":[],"hostNetwork":false,"enableServiceLinks":false,"terminationGracePeriodSeconds":0,
                    "nodeName":"","securityContext":{},"affinity":null,"tolerations":[]}}"#);
    assert_eq!(
        got.value,
        json!({"metadata": {"name": "a"}, "status": {}, "spec":
            {"enableServiceLinks": false, "terminationGracePeriodSeconds": 0, "securityContext": {}}})
    );
    assert!(got.problems.is_empty());
}

#[test]
fn what_go_always_writes_is_there() {
    let got = read(DEPLOYMENT, r#"{"metadata":{"name":"a"},"spec":{}}"#, Format::Json).unwrap();
    assert_eq!(
        got.value,
        json!({"metadata": {"name": "a"}, "spec": {"strategy": {}, "template": {"metadata": {}, "spec": {}}}, "status": {}})
    );
}

#[test]
fn quantities_times_and_bytes_have_one_form() {
    let got = pod(r#"{"metadata":{"creationTimestamp":"2026-01-02T05:04:05.9+02:00"},
            "spec":{"containers":[{"name":"a","resources":{"requests":{"cpu":0.5,"memory":"1024Ki","x":"1000m"}}}]}}"#);
    assert_eq!(got.value["metadata"]["creationTimestamp"], "2026-01-02T03:04:05Z");
    assert_eq!(
        got.value["spec"]["containers"][0]["resources"]["requests"],
        json!({"cpu": "500m", "memory": "1Mi", "x": "1"})
    );
    let lease = r#"{"spec":{"renewTime":"2026-01-02T05:04:05Z"}}"#;
    let lease = read("io.k8s.api.coordination.v1.Lease", lease, Format::Json).unwrap().value;
    assert_eq!(lease["spec"]["renewTime"], "2026-01-02T05:04:05.000000Z");
    let secret = r#"{"data":{"a":"aGVs\nbG8=","b":""}}"#;
    let secret = read("io.k8s.api.core.v1.Secret", secret, Format::Json).unwrap().value;
    assert_eq!(secret["data"], json!({"a": "aGVsbG8=", "b": ""}));
}

#[test]
fn type_errors_are_worded_as_gos() {
    assert_eq!(
        error(DEPLOYMENT, r#"{"spec":{"replicas":"3"}}"#),
        "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        error(POD, r#"{"metadata":{"labels":{"a":1}}}"#),
        "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string"
    );
    assert_eq!(
        error(POD, r#"{"spec":{"containers":[{"env":[{"name":"a","value":true}]}]}}"#),
        "json: cannot unmarshal bool into Go struct field EnvVar.spec.containers.env.value of type string"
    );
    assert_eq!(
        error(DEPLOYMENT, r#"{"spec":{"replicas":3000000000}}"#),
        "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of type int32"
    );
    assert_eq!(
        error(POD, r#"{"spec":{"containers":{}}}"#),
        "json: cannot unmarshal object into Go struct field PodSpec.spec.containers of type []v1.Container"
    );
    assert_eq!(error(POD, "[]"), "json: cannot unmarshal array into Go value of type v1.Pod");
    assert_eq!(
        error(POD, r#"{"metadata":{"creationTimestamp":1}}"#),
        "json: cannot unmarshal number into Go value of type string"
    );
    assert!(error(POD, r#"{"metadata":{"creationTimestamp":"soon"}}"#).starts_with("parsing time \"soon\" as "));
    let quantity = r#"{"spec":{"containers":[{"resources":{"limits":{"cpu":"much"}}}]}}"#;
    assert!(
        error(POD, quantity).starts_with("quantities must match the regular expression"),
        "{}",
        error(POD, quantity)
    );
    assert_eq!(error("io.k8s.api.core.v1.Secret", r#"{"data":{"a":"aGV*"}}"#), "illegal base64 data at input byte 3");
}

#[test]
fn syntax_errors_name_the_byte_and_win_over_type_errors() {
    assert_eq!(error(POD, "{\"spec\":\n {]}"), "key must be a string at byte 11");
    assert_eq!(error(POD, r#"{"spec":1,"#), "EOF while parsing a value at byte 9");
    assert_eq!(error(POD, ""), "EOF while parsing a value at byte 0");
    assert_eq!(error(POD, "{} {}"), "trailing characters at byte 3");
    assert_eq!(error(POD, r#"{"kind":"Po"#), "EOF while parsing a string at byte 10");
}

#[test]
fn nesting_is_refused_before_the_stack_ends() {
    let deep = format!("{}1{}", r#"{"data":"#.repeat(200_000), "}".repeat(200_000));
    let kept = error("io.k8s.api.apps.v1.ControllerRevision", &deep);
    assert!(kept.starts_with("recursion limit exceeded at byte "), "{kept}");
    assert_eq!(
        read(POD, &deep, Format::Json).unwrap().problems,
        [r#"unknown field "data""#],
        "skipped without a stack"
    );
    let list = "[".repeat(200_000);
    assert!(read(POD, &list, Format::Yaml).is_err());
    let flow = "{a: ".repeat(200_000);
    assert!(read(POD, &flow, Format::Yaml).is_err());
    let mut value = json!({});
    for _ in 0..300 {
        value = json!({ "spec": value });
    }
    let schema = Schema::builtin();
    assert!(conform(schema.named(POD).unwrap(), value).is_err());
}

#[test]
fn yaml_is_read_like_json() {
    let yaml = "
apiVersion: v1
kind: Pod
metadata:
  name: web
  labels: {app: web, port: '8080'}
  creationTimestamp: null
spec:
  containers:
  - name: web
    image: nginx:1.21
    command: [\"sleep\", \"1\"]
    resources: {requests: {cpu: 0.5, memory: 1Gi}}
    ports:
    - containerPort: 80
    - {containerPort: 80, containerPort: 81}
    tty: yes
  spec: 1
";
    let got = read(POD, yaml, Format::Yaml).unwrap();
    let want = pod(r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"app":"web","port":"8080"}},
        "spec":{"containers":[{"name":"web","image":"nginx:1.21","command":["sleep","1"],"tty":true,
        "resources":{"requests":{"cpu":"500m","memory":"1Gi"}},"ports":[{"containerPort":80},{"containerPort":81}]}]}}"#);
    assert_eq!(got.value, want.value);
    assert_eq!(
        got.problems,
        [r#"duplicate field "spec.containers[0].ports[1].containerPort""#, r#"unknown field "spec.spec""#]
    );
}

#[test]
fn yaml_errors_name_the_byte_and_types() {
    let got = read(POD, "kind: Pod\nspec: [\n", Format::Yaml).unwrap_err().message;
    assert!(got.contains(" at byte "), "{got}");
    let got = read(CONFIG_MAP, "data:\n  port: 80\n", Format::Yaml).unwrap_err().message;
    assert_eq!(got, "json: cannot unmarshal number into Go struct field ConfigMap.data of type string");
    let got = read(POD, "kind: Pod\n---\nkind: Pod\n", Format::Yaml);
    assert!(got.is_err(), "two documents in one body");
}

#[test]
fn yaml_aliases_cannot_explode() {
    let mut bomb = String::from("data:\n  a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for at in 1..12 {
        let refs = vec![format!("*a{}", at - 1); 10].join(", ");
        bomb.push_str(&format!("  a{at}: &a{at} [{refs}]\n"));
    }
    assert!(read(CONFIG_MAP, &bomb, Format::Yaml).is_err());
}

#[test]
fn conform_treats_a_patched_value_like_a_body() {
    let schema = Schema::builtin();
    let shape = schema.named(POD).unwrap();
    let value = json!({"metadata": {"name": "a", "labels": null}, "spec": {"bad": 1, "priority": 0}});
    let got = conform(shape, value).unwrap();
    assert_eq!(got.value, json!({"metadata": {"name": "a"}, "spec": {"priority": 0}, "status": {}}));
    assert_eq!(got.problems, [r#"unknown field "spec.bad""#]);
    assert!(conform(shape, json!({"spec": 1})).is_err());
}

#[test]
fn managed_fields_and_raw_extensions_are_kept_to_the_letter() {
    let body = r#"{"metadata":{"managedFields":[{"manager":"m","fieldsV1":{"f:spec":{"f:x":{},".":{}}}}]},
        "data":{"kind":"Thing","zero":0,"none":null,"list":[]}}"#;
    let got = read("io.k8s.api.apps.v1.ControllerRevision", body, Format::Json).unwrap();
    assert!(got.problems.is_empty());
    assert_eq!(got.value["metadata"]["managedFields"][0]["fieldsV1"], json!({"f:spec": {"f:x": {}, ".": {}}}));
    assert_eq!(got.value["data"], json!({"kind": "Thing", "zero": 0, "none": null, "list": []}));
}

#[test]
fn yaml_is_written_in_blocks() {
    let document = json!({
        "kind": "Pod", "list": [{"a": "1", "b": ["x", []]}, [1, {"c": null}], "no"], "map": {}, "text": "two\nlines: #",
        "nested": {"on": true, "~": "y", "n/m": "2001-01-01"},
    });
    let expected = "kind: Pod\nlist:\n- a: \"1\"\n  b:\n  - x\n  - []\n- - 1\n  - c: null\n- \"no\"\nmap: {}\nnested:\n  n/m: \
                    \"2001-01-01\"\n  \"on\": true\n  \"~\": \"y\"\ntext: \"two\\nlines: #\"\n";
    assert_eq!(String::from_utf8(super::yaml::write(&document)).unwrap(), expected);
}
