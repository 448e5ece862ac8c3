use serde_json::{Value, json};

use crate::builtin::{RuntimeConfig, registry};
use crate::codec::identity::{Dice, message};
use crate::codec::{DEPTH, Format, Malformed, conform, decode, encode};
use crate::schema::{Field, Message, PatchStrategy, Presence, Schema, Type, TypeId};

fn named(schema: &Schema, name: &'static str) -> TypeId {
    schema.named(name).unwrap_or_else(|| panic!("{name} is not in the table")).id
}

/// A length-delimited field.
fn field(number: u8, bytes: impl AsRef<[u8]>) -> Vec<u8> {
    let bytes = bytes.as_ref();
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length >= 0x80 {
        out.push(length as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend(bytes);
    out
}

fn body(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let meta = [field(1, api_version), field(2, kind)].concat();
    [b"k8s\0".to_vec(), field(1, meta), field(2, raw), field(3, ""), field(4, "")].concat()
}

fn read(name: &'static str, body: &[u8]) -> Result<Value, Malformed> {
    let schema = Schema::builtin();
    decode(schema.shape(named(&schema, name)), body, Format::Protobuf).map(|decoded| decoded.value)
}

const CONFIG_MAP: &str = "io.k8s.api.core.v1.ConfigMap";
const SERVICE: &str = "io.k8s.api.core.v1.Service";
const ENDPOINT_SLICE: &str = "io.k8s.api.discovery.v1.EndpointSlice";

#[test]
fn every_kind_is_the_same_document_after_protobuf() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    for resource in registry.iter() {
        for served in &resource.served {
            let shape = resource.shape(served);
            for seed in 0..40 {
                let mut document = conform(shape, message(shape, &mut Dice(seed), 0)).unwrap().value;
                document["kind"] = shape.short_name().into();
                document["apiVersion"] = served.api_version().into();
                let bytes = encode(shape, &document, Format::Protobuf).unwrap_or_else(|error| panic!("{error}"));
                let again = decode(shape, &bytes, Format::Protobuf);
                let again = again.unwrap_or_else(|error| panic!("{error}: {} seed {seed}: {document}", shape.name()));
                assert_eq!(again.value, document, "{} seed {seed}", shape.name());
                let names = super::names(&bytes).unwrap();
                assert_eq!(names.name, document["metadata"]["name"].as_str().unwrap_or_default());
                assert_eq!(names.generate_name, document["metadata"]["generateName"].as_str().unwrap_or_default());
                assert_eq!(names.namespace, document["metadata"]["namespace"].as_str().unwrap_or_default());
            }
        }
    }
}

#[test]
fn no_number_leads_to_a_value_and_to_a_message_with_more() {
    let schema = Schema::builtin();
    for shape in schema.shapes() {
        for (a, b) in shape.fields().iter().flat_map(|a| shape.fields().iter().map(move |b| (a, b))) {
            let nested = b.number.len() > a.number.len() && !a.number.is_empty() && b.number.starts_with(&a.number);
            assert!(!nested, "{}: {} and {}", shape.name(), a.name, b.name);
        }
    }
}

#[test]
fn golden_bytes_of_a_config_map() {
    // ConfigMap{metadata=1{name=1, labels=11, creationTimestamp=8 (empty: zero)}, data=2, binaryData=3, immutable=4}
    let metadata =
        [field(1, "settings"), field(2, ""), field(8, ""), field(11, [field(1, "app"), field(2, "web")].concat())];
    let raw = [
        field(1, metadata.concat()),
        field(2, [field(1, "a"), field(2, "1")].concat()),
        field(2, [field(1, "b")].concat()),
        field(3, [field(1, "c"), field(2, [0, 1, 2])].concat()),
        vec![4 << 3, 0],
    ];
    let document = json!({
        "kind": "ConfigMap", "apiVersion": "v1",
        "metadata": {"name": "settings", "labels": {"app": "web"}},
        "data": {"a": "1", "b": ""}, "binaryData": {"c": "AAEC"}, "immutable": false,
    });
    assert_eq!(read(CONFIG_MAP, &body("v1", "ConfigMap", &raw.concat())).unwrap(), document);
    let schema = Schema::builtin();
    let written = encode(schema.shape(named(&schema, CONFIG_MAP)), &document, Format::Protobuf).unwrap();
    let expected: &[u8] = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09ConfigMap\
        \x12\x41\x0a\x24\x0a\x08settings\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00\x5a\x0a\x0a\x03app\x12\x03web\
        \x12\x06\x0a\x01a\x12\x011\x12\x05\x0a\x01b\x12\x00\x1a\x08\x0a\x01c\x12\x03\x00\x01\x02\x20\x00\x1a\x00\x22\x00";
    assert_eq!(written, expected);
}

#[test]
fn what_is_no_pointer_is_written_though_it_is_zero() {
    // Volume{name=1, volumeSource=2} without a source; ContainerPort{name=1, hostPort=2, containerPort=3, protocol=4, hostIP=5}.
    let schema = Schema::builtin();
    let written = |name, document: Value| super::object(schema.shape(named(&schema, name)), &document).unwrap();
    assert_eq!(written("io.k8s.api.core.v1.Volume", json!({"name": "v"})), b"\x0a\x01v\x12\x00");
    let port = written("io.k8s.api.core.v1.ContainerPort", json!({"containerPort": 80}));
    assert_eq!(port, b"\x0a\x00\x10\x00\x18\x50\x22\x00\x2a\x00");
    // NodeCondition{type=1, status=2, lastHeartbeatTime=3, lastTransitionTime=4, reason=5, message=6}; times without bytes.
    let condition = written("io.k8s.api.core.v1.NodeCondition", json!({"type": "a", "status": "b"}));
    assert_eq!(condition, b"\x0a\x01a\x12\x01b\x1a\x00\x22\x00\x2a\x00\x32\x00");
    // A pointer is absent: ObjectMeta.deletionTimestamp=9, deletionGracePeriodSeconds=10.
    let pod = written("io.k8s.api.core.v1.Pod", json!({"metadata": {"name": "p"}, "spec": {"containers": []}}));
    let length = super::metadata_length(&pod);
    assert_eq!(&pod[..length], b"\x0a\x11\x0a\x01p\x12\x00\x1a\x00\x22\x00\x2a\x00\x32\x00\x38\x00\x42\x00");
    assert_eq!(
        super::wrap("v1", "Pod", &pod),
        encode(
            schema.shape(named(&schema, "io.k8s.api.core.v1.Pod")),
            &json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": "p"}, "spec": {"containers": []}}),
            Format::Protobuf,
        )
        .unwrap()
    );
}

#[test]
fn what_json_inlines_is_found_in_its_nest() {
    // Pod{spec=2{volumes=1{name=1, volumeSource=2{emptyDir=2{sizeLimit=2}}}, containers=2{livenessProbe=10{handler=1{httpGet=2
    // {port=2}}, periodSeconds=4}, resources=8{requests=2}}, nodeSelector=7}}
    let empty_dir = field(2, field(2, field(1, "1024Ki")));
    let probe = [field(1, field(2, field(2, [vec![8, 1, 16, 0], field(3, "http")].concat()))), vec![4 << 3, 10]];
    let requests = field(2, [field(1, "cpu"), field(2, field(1, "1000m"))].concat());
    let container = [field(1, "c"), field(8, requests), field(10, probe.concat())];
    let spec = [field(1, [field(1, "v"), field(2, empty_dir)].concat()), field(2, container.concat())];
    let pod = read("io.k8s.api.core.v1.Pod", &body("v1", "Pod", &field(2, spec.concat()))).unwrap();
    assert_eq!(
        pod["spec"],
        json!({
            "volumes": [{"name": "v", "emptyDir": {"sizeLimit": "1Mi"}}],
            "containers": [{
                "name": "c",
                "resources": {"requests": {"cpu": "1"}},
                "livenessProbe": {"httpGet": {"port": "http"}, "periodSeconds": 10},
            }],
        })
    );
}

#[test]
fn times_and_numbers_are_read_as_the_reference_writes_them() {
    let minus_seven = [0xf9, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
    // LeaseSpec{leaseDurationSeconds=2, acquireTime=3, renewTime=4}
    // 1,700,000,000 s and 123,999 ns.
    let renew = [8, 0x80, 0xe2, 0xcf, 0xaa, 0x6, 16, 0xdf, 0xc8, 0x7];
    let spec = [vec![2 << 3], minus_seven.to_vec(), field(3, ""), field(4, renew)].concat();
    let lease = read("io.k8s.api.coordination.v1.Lease", &body("coordination.k8s.io/v1", "Lease", &field(2, spec)));
    let expected = json!({"leaseDurationSeconds": -7, "renewTime": "2023-11-14T22:13:20.000123Z"});
    assert_eq!(lease.unwrap()["spec"], expected);
    // The zero of the epoch is a time; a year of five digits is none.
    let created = |time: &[u8]| read(CONFIG_MAP, &body("v1", "ConfigMap", &field(1, field(8, time))));
    assert_eq!(created(&[8, 0, 16, 0]).unwrap()["metadata"]["creationTimestamp"], "1970-01-01T00:00:00Z");
    assert_eq!(created(&[]).unwrap()["metadata"], json!({}));
    let before = created(&[&[8][..], &[0xff; 9], &[1]].concat()).unwrap();
    assert_eq!(before["metadata"]["creationTimestamp"], "1969-12-31T23:59:59Z");
    created(&[8, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).expect_err("a year that JSON has no text for");
}

#[test]
fn repeated_numbers_come_packed_or_one_by_one() {
    // PodSpec{securityContext=14{supplementalGroups=4}}
    let groups = |bytes: &[u8]| {
        let spec = field(2, field(14, bytes));
        let pod = read("io.k8s.api.core.v1.Pod", &body("v1", "Pod", &spec)).unwrap();
        pod["spec"]["securityContext"]["supplementalGroups"].clone()
    };
    assert_eq!(groups(&[4 << 3, 1, 4 << 3, 0x80, 1]), json!([1, 128]));
    assert_eq!(groups(&field(4, [1, 0x80, 1])), json!([1, 128]));
    assert_eq!(groups(&[field(4, [1]), vec![4 << 3, 2]].concat()), json!([1, 2]));
    assert_eq!(groups(&field(4, [])), Value::Null);
}

#[test]
fn lists_in_maps_have_a_message_between() {
    // CertificateSigningRequestSpec{extra=6{key=1, value=2{items=1}}}
    let extra = field(6, [field(1, "k"), field(2, [field(1, "a"), field(1, "b")].concat())].concat());
    let kind = "CertificateSigningRequest";
    let request =
        read("io.k8s.api.certificates.v1.CertificateSigningRequest", &body("", kind, &field(1, [])).to_vec()).unwrap();
    assert!(request.get("apiVersion").is_none());
    let raw = body("certificates.k8s.io/v1", kind, &field(2, extra));
    let request = read("io.k8s.api.certificates.v1.CertificateSigningRequest", &raw).unwrap();
    assert_eq!(request["spec"]["extra"], json!({"k": ["a", "b"]}));
}

#[test]
fn parts_are_merged_and_the_last_value_wins() {
    let metadata =
        |name: &str, key: &str| field(1, [field(1, name), field(11, [field(1, key), field(2, "x")].concat())].concat());
    let raw = [metadata("a", "one"), metadata("b", "two"), vec![4 << 3, 1, 4 << 3, 0]].concat();
    let document = read(CONFIG_MAP, &body("v1", "ConfigMap", &raw)).unwrap();
    assert_eq!(document["metadata"], json!({"name": "b", "labels": {"one": "x", "two": "x"}}));
    assert_eq!(document["immutable"], false);
    let bytes = body("v1", "ConfigMap", &raw);
    assert_eq!(super::names(&bytes).unwrap().name, "b");
    // A zero takes back what OmitZero keeps.
    let named = [metadata("a", "one"), field(1, field(1, ""))].concat();
    assert_eq!(read(CONFIG_MAP, &body("v1", "ConfigMap", &named)).unwrap()["metadata"].get("name"), None);
}

#[test]
fn unknown_fields_of_every_framing_are_skipped() {
    let unknown = [
        vec![0xf8, 0x7f, 5],
        [vec![0xf9, 0x7f], vec![9; 8]].concat(),
        vec![0xfa, 0x7f, 2, 1, 1],
        vec![0xfd, 0x7f, 1, 2, 3, 4],
        // A group within a group.
        vec![0xfb, 0x7f, 0x0b, 8, 1, 0x0c, 0xfc, 0x7f],
    ];
    let raw = [unknown.concat(), field(1, [unknown.concat(), field(1, "n")].concat())].concat();
    let bytes = body("v1", "ConfigMap", &raw);
    assert_eq!(read(CONFIG_MAP, &bytes).unwrap()["metadata"], json!({"name": "n"}));
    assert_eq!(super::names(&bytes).unwrap().name, "n");
}

#[test]
fn what_is_no_document_says_where_it_broke() {
    let config = |raw: &[u8]| read(CONFIG_MAP, &body("v1", "ConfigMap", raw)).unwrap_err().message;
    let start = body("v1", "ConfigMap", &[]).len() - 4;
    assert_eq!(config(&[0x0a, 5, 1]), format!("unexpected EOF at byte {}", start + 3));
    assert_eq!(
        config(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]),
        format!("unexpected EOF at byte {}", start + 10)
    );
    assert!(config(&[0x08, 1]).starts_with("wrong wire type Varint for field \"metadata\" at byte"));
    assert!(config(&[0x0f]).starts_with("illegal wire type 7 at byte"));
    assert!(config(&[0x02, 0]).starts_with("illegal field number at byte"));
    assert!(config(&[0xff; 11]).starts_with("a varint has more than ten bytes at byte"));
    assert!(config(&[0x0c]).starts_with("wrong wire type End"));
    assert!(config(&[0xfc, 0x7f]).starts_with("a group ends that never started"));
    assert!(config(&[0xfb, 0x7f]).starts_with("unexpected EOF"));
    let bad = field(1, field(1, [0xff, 0xfe]));
    assert_eq!(config(&bad), format!("invalid UTF-8 at byte {}", start + 4));
    for (bytes, words) in [
        (&b"{}"[..], "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"", "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"),
        (b"k8s\0", "empty body"),
        (b"k8s\0\x0a", "unexpected EOF at byte 5"),
        (b"k8s\0\x1a\x04gzip", "unknown content encoding \"gzip\" at byte 10"),
    ] {
        assert_eq!(read(CONFIG_MAP, bytes).unwrap_err().message, words);
        assert_eq!(super::names(bytes).unwrap_err().message, words);
    }
    let pod = read(CONFIG_MAP, &body("v1", "Pod", &[])).unwrap_err().message;
    assert_eq!(pod, r#"the body holds a "Pod", not a "ConfigMap""#);
    let service = |port: &[u8]| read(SERVICE, &body("v1", "Service", &field(2, field(1, field(4, port))))).unwrap_err();
    assert!(service(&[8, 2]).message.starts_with("impossible IntOrString.Type at byte"));
    let revision = |raw: &str| {
        let name = "io.k8s.api.apps.v1.ControllerRevision";
        read(name, &body("apps/v1", "ControllerRevision", &field(2, field(1, raw))))
    };
    assert_eq!(revision(r#"{"a":[null]}"#).unwrap()["data"], json!({"a": [null]}));
    assert!(revision("k8s").unwrap_err().message.starts_with("an embedded object is no JSON"));
    let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    revision(&deep(DEPTH - 1)).expect("as deep as may be");
    assert!(revision(&deep(DEPTH)).unwrap_err().message.contains("nested too deeply"));
}

#[test]
fn depth_and_number_of_messages_are_bounded() {
    let next = Field {
        name: "next".into(),
        of: Type::Message(TypeId(0)),
        number: [1].into(),
        required: false,
        presence: Presence::Pointer,
        list: None,
        atomic: false,
        granular: false,
        patch: PatchStrategy::default(),
        merge_key: None,
        default: None,
    };
    let schema = Schema::new(vec![Message::new("Chain", vec![next])]);
    let chain = |links: usize| (0..links).fold(Vec::new(), |inner, _| field(1, inner));
    let read = |links| decode(schema.shape(TypeId(0)), &body("", "Chain", &chain(links)), Format::Protobuf);
    let deepest = read(DEPTH - 1).unwrap().value;
    assert_eq!(encode(schema.shape(TypeId(0)), &deepest, Format::Protobuf).unwrap(), body("", "", &chain(DEPTH - 1)));
    assert!(read(DEPTH).unwrap_err().message.contains("nested too deeply"));
    let bomb = [0x12, 0].repeat(1 << 20);
    let bomb = body("discovery.k8s.io/v1", "EndpointSlice", &bomb);
    assert!(super::tests::read(ENDPOINT_SLICE, &bomb).unwrap_err().message.contains("too many parts"));
}

#[test]
fn documents_without_a_protobuf_form_are_not_written() {
    let schema = Schema::builtin();
    let shape = schema.shape(named(&schema, CONFIG_MAP));
    for document in [
        json!({"nonsense": 1}),
        json!({"metadata": 1}),
        json!({"data": []}),
        json!({"data": {"a": 1}}),
        json!({"binaryData": {"a": "!"}}),
        json!({"metadata": {"generation": "x"}}),
        json!({"metadata": {"creationTimestamp": "yesterday"}}),
        json!([]),
    ] {
        encode(shape, &document, Format::Protobuf).expect_err("not canonical");
    }
}

/// Random bytes, and valid bodies with bytes changed, cut out, doubled and cut off: read or refused, and what was read is
/// canonical.
#[test]
fn hostile_bytes_are_read_or_refused() {
    let registry = registry(&RuntimeConfig::parse("api/all").unwrap());
    let (mut fine, mut refused) = (0, 0);
    for (at, resource) in registry.iter().enumerate() {
        let served = &resource.served[0];
        let shape = resource.shape(served);
        for round in 0..150 {
            let dice = &mut Dice((at * 1000 + round) as u64);
            let mut bytes = match dice.roll(4) {
                0 => {
                    let random: Vec<u8> = (0..dice.roll(200)).map(|_| dice.roll(256) as u8).collect();
                    body("v1", &resource.kind, &random)
                }
                _ => {
                    let document = conform(shape, message(shape, dice, 0)).unwrap().value;
                    encode(shape, &document, Format::Protobuf).unwrap()
                }
            };
            for _ in 0..dice.roll(6) {
                mutate(&mut bytes, dice);
            }
            _ = super::names(&bytes);
            match decode(shape, &bytes, Format::Protobuf) {
                Err(_) => refused += 1,
                Ok(decoded) => {
                    fine += 1;
                    let again = conform(shape, decoded.value.clone());
                    let again = again.unwrap_or_else(|error| panic!("{error}: {}", decoded.value));
                    assert_eq!(again.value, decoded.value, "{} round {round}", shape.name());
                }
            }
        }
    }
    assert!(fine > 1000 && refused > 1000, "{fine} read, {refused} refused: the mutations are no test");
}

fn mutate(bytes: &mut Vec<u8>, dice: &mut Dice) {
    if bytes.is_empty() {
        return;
    }
    let at = dice.roll(bytes.len() as u64) as usize;
    match dice.roll(5) {
        0 => bytes[at] = dice.roll(256) as u8,
        1 => bytes[at] ^= 1 << dice.roll(8),
        2 => bytes.truncate(at),
        3 => drop(bytes.remove(at)),
        _ => {
            let end = (at + dice.roll(16) as usize).min(bytes.len());
            bytes.extend_from_within(at..end);
        }
    }
}
