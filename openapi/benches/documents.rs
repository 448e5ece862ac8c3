//! How long documents take. A gateway makes all of OpenAPI 3 once, when somebody first asks for the index, and must be done
//! within 100 ms.

use std::hint::black_box;

use api::builtin::{RuntimeConfig, registry};
use api::{Value, crd};
use criterion::{Criterion, criterion_group, criterion_main};
use openapi::{Dialect, Form, Press, v3_paths};
use serde_json::json;

fn builtin(criterion: &mut Criterion) {
    let registry = registry(&RuntimeConfig::default());
    let mut group = criterion.benchmark_group("documents");
    group.sample_size(20);
    group.bench_function("openapi 3 of all groups", |bencher| {
        bencher.iter(|| {
            let press = Press::new(&registry);
            let made = v3_paths(&registry).into_iter().filter_map(|path| press.v3(&path));
            made.map(|parts| black_box(parts.document(Dialect::V3, Form::Json)).len()).sum::<usize>()
        });
    });
    group.bench_function("openapi 3 of apps/v1", |bencher| {
        bencher.iter(|| Press::new(&registry).v3("apis/apps/v1").map(|parts| parts.document(Dialect::V3, Form::Json)));
    });
    for (name, form) in [("openapi 2", Form::Json), ("openapi 2 in protobuf", Form::Protobuf)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| Press::new(&registry).v2().document(Dialect::V2, form));
        });
    }
    group.finish();
}

/// A schema of about 100 kB, as operators have them.
fn schema(depth: usize) -> Value {
    let properties = (0..9).map(|number| {
        let inner =
            if depth == 0 { json!({"type": "string", "description": "What this is for."}) } else { schema(depth - 1) };
        (format!("field{number}"), inner)
    });
    json!({"type": "object", "description": "Some of them.", "properties": properties.collect::<serde_json::Map<_, _>>()})
}

fn custom(criterion: &mut Criterion) {
    let registry = registry(&RuntimeConfig::default());
    let names = json!({"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"});
    let definition = json!({
        "metadata": {"name": "widgets.example.com"},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "names": names,
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema(2)}}],
        },
        "status": {"acceptedNames": names, "conditions": [
            {"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"},
        ]},
    });
    let resource = crd::definition::resource(&definition).expect("it is established");
    let press = Press::new(&registry);
    criterion.bench_function("documents/a custom kind", |bencher| {
        bencher.iter(|| {
            let parts = press.custom(Dialect::V3, &definition, &resource, &resource.served[0]);
            parts.sections(Dialect::V3, Form::Json)
        });
    });
}

criterion_group!(benches, builtin, custom);
criterion_main!(benches);
