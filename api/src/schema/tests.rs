use super::*;

fn shape(schema: &Schema, name: &'static str) -> TypeId {
    schema.named(name).unwrap_or_else(|| panic!("{name} is not in the table")).id
}

fn field<'a>(schema: &'a Schema, name: &'static str, field: &str) -> &'a Field {
    schema.shape(shape(schema, name)).field(field).unwrap_or_else(|| panic!("{name}.{field} is not in the table"))
}

#[test]
fn every_field_has_a_protobuf_number() {
    let schema = Schema::builtin();
    // Envelope fields have none; the reference leaves version.Info out of protobuf altogether.
    let exempt = ["io.k8s.apimachinery.pkg.version.Info"];
    let mut missing = Vec::new();
    for shape in schema.shapes().filter(|shape| !exempt.contains(&shape.name())) {
        let fields = shape.fields().iter().filter(|field| field.number.is_empty());
        let fields = fields.filter(|field| field.name != "kind" && field.name != "apiVersion");
        missing.extend(fields.map(|field| format!("{}.{}", shape.name(), field.name)));
    }
    assert!(missing.is_empty(), "no protobuf number (add them to overlay.txt): {missing:#?}");
}

#[test]
fn numbers_are_not_used_twice_in_a_message() {
    let schema = Schema::builtin();
    for shape in schema.shapes() {
        let mut seen = HashMap::new();
        for field in shape.fields().iter().filter(|field| !field.number.is_empty()) {
            let other = seen.insert(&field.number, &field.name);
            assert!(
                other.is_none(),
                "{}: {} and {} share {:?}",
                shape.name(),
                field.name,
                other.unwrap(),
                field.number
            );
        }
    }
}

#[test]
fn fields_are_sorted_or_binary_search_misses_them() {
    let schema = Schema::builtin();
    for shape in schema.shapes() {
        assert!(shape.fields().is_sorted_by(|a, b| a.name < b.name), "{}", shape.name());
        for field in shape.fields() {
            assert!(shape.field(&field.name).is_some());
        }
    }
}

#[test]
fn list_map_keys_and_merge_keys_name_fields_of_the_items() {
    let schema = Schema::builtin();
    for shape in schema.shapes() {
        for field in shape.fields() {
            let keys = match &field.list {
                Some(ListType::Map(keys)) => keys.to_vec(),
                _ => Vec::new(),
            };
            for key in keys.iter().chain(&field.merge_key) {
                let item = shape.inside(&field.of).unwrap_or_else(|| panic!("{}.{}", shape.name(), field.name));
                assert!(item.field(key).is_some(), "{}.{} has no key {key}", shape.name(), field.name);
            }
            let is_list = matches!(field.of, Type::List(_));
            assert!(field.list.is_none() || is_list, "{}.{} is no list", shape.name(), field.name);
        }
    }
}

#[test]
fn facts_that_everything_leans_on() {
    let schema = Schema::builtin();
    let containers = field(&schema, "io.k8s.api.core.v1.PodSpec", "containers");
    assert_eq!(containers.list, Some(ListType::Map(["name".into()].into())));
    assert!(containers.patch.merge && containers.required);
    assert_eq!(containers.merge_key.as_deref(), Some("name"));
    let ports = field(&schema, "io.k8s.api.core.v1.ServiceSpec", "ports");
    assert_eq!(ports.list, Some(ListType::Map(["port".into(), "protocol".into()].into())));
    assert_eq!(ports.merge_key.as_deref(), Some("port"));
    let volumes = field(&schema, "io.k8s.api.core.v1.PodSpec", "volumes");
    assert!(volumes.patch.merge && volumes.patch.retain_keys);
    assert_eq!(*field(&schema, "io.k8s.api.core.v1.Volume", "emptyDir").number, [2, 2]);
    assert_eq!(field(&schema, "io.k8s.api.apps.v1.DeploymentSpec", "replicas").presence, Presence::Pointer);
    assert_eq!(field(&schema, "io.k8s.api.core.v1.Container", "resources").presence, Presence::Always);
    assert_eq!(field(&schema, "io.k8s.api.core.v1.Container", "image").presence, Presence::OmitZero);
    assert_eq!(field(&schema, "io.k8s.api.core.v1.ContainerPort", "protocol").default, Some("TCP".into()));
    assert_eq!(field(&schema, "io.k8s.api.core.v1.Secret", "data").of, Type::Map(Box::new(Type::Bytes)));
    assert!(schema.shape(shape(&schema, "io.k8s.apimachinery.pkg.apis.meta.v1.LabelSelector")).message().atomic);
}

#[test]
fn an_absent_status_reads_as_the_reference_writes_it() {
    let schema = Schema::builtin();
    let set = schema.named("io.k8s.api.apps.v1.ReplicaSet").unwrap();
    let expected = serde_json::json!({"metadata": {}, "spec": {}, "status": {"replicas": 0}});
    let mut zero = set.zero().clone();
    zero.get_mut("spec").unwrap().as_object_mut().unwrap().clear();
    assert_eq!(Value::Object(zero), expected);
    let pod = schema.named("io.k8s.api.core.v1.Pod").unwrap();
    assert_eq!(Value::Object(pod.zero().clone()), serde_json::json!({"metadata": {}, "spec": {}, "status": {}}));
}

#[test]
fn a_schema_can_be_made_at_run_time() {
    let leaf = Field {
        name: "size".into(),
        of: Type::Int64,
        number: Box::default(),
        required: false,
        presence: Presence::Pointer,
        list: None,
        atomic: false,
        granular: false,
        patch: PatchStrategy::default(),
        merge_key: None,
        default: None,
    };
    let spec = Field { name: "spec".into(), of: Type::Message(TypeId(1)), ..leaf.clone() };
    let schema = Schema::new(vec![Message::new("a.Widget", vec![spec]), Message::new("a.WidgetSpec", vec![leaf])]);
    let widget = schema.named("a.Widget").unwrap();
    let inner = widget.inside(&widget.field("spec").unwrap().of).unwrap();
    assert_eq!(inner.short_name(), "WidgetSpec");
    assert_eq!(inner.field("size").unwrap().of, Type::Int64);
}
