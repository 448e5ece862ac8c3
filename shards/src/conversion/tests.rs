//! What a conversion webhook may answer, without one.

use api::crd::definition;
use serde_json::json;

use super::review::{accept, read, request};
use super::*;

fn widgets() -> Resource {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage,
            "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": {
                "type": "object", "properties": {"a": {"type": "string"}},
            }}}},
        })
    };
    let condition = |of: &str| json!({"type": of, "status": "True"});
    definition::resource(&json!({
        "metadata": {"name": "widgets.example.com", "uid": "u", "generation": 1},
        "spec": {
            "group": "example.com", "scope": "Namespaced", "versions": [version("v1", true), version("v2", false)],
            "conversion": {"strategy": "Webhook", "webhook": {
                "clientConfig": {"url": "https://a/b"}, "conversionReviewVersions": ["v3", "v1"],
            }},
        },
        "status": {
            "acceptedNames": {"plural": "widgets", "kind": "Widget"},
            "conditions": [condition("Established"), condition("NamesAccepted")],
        },
    }))
    .unwrap()
}

fn document() -> Value {
    json!({
        "metadata": {
            "name": "a", "namespace": "n", "uid": "1", "labels": {"x": "y"}, "finalizers": ["f/g"],
            "managedFields": "[{\"manager\":\"m\"}]",
        },
        "spec": {"a": "1"},
    })
}

/// What becomes of a document whose webhook answers with these changes.
fn answered(change: impl FnOnce(&mut Value)) -> Result<Value, String> {
    let (resource, document) = (widgets(), document());
    let items = [Item { document: &document, from: 0 }];
    let version =
        ReviewVersion::first(&resource.definition.as_ref().unwrap().webhook.as_ref().unwrap().review_versions);
    let sent: Value = serde_json::from_slice(&request(&resource, 1, &items, version.unwrap(), "7")).unwrap();
    assert_eq!((&sent["apiVersion"], &sent["request"]["uid"]), (&json!("apiextensions.k8s.io/v1"), &json!("7")));
    assert_eq!(sent["request"]["desiredAPIVersion"], "example.com/v2");
    let mut object = sent["request"]["objects"][0].clone();
    assert_eq!((&object["kind"], &object["apiVersion"]), (&json!("Widget"), &json!("example.com/v1")));
    assert_eq!(object["metadata"]["managedFields"], json!([{"manager": "m"}]), "as clients see them");
    object["apiVersion"] = "example.com/v2".into();
    change(&mut object);
    let mut all = accept(&resource, 1, &items, vec![object])?;
    Ok(all.remove(0))
}

#[test]
fn metadata_stays_but_for_labels_and_annotations() {
    let converted = answered(|object| {
        object["spec"] = json!({"a": "2"});
        object["metadata"]["labels"] = json!({"z": "1"});
        object["metadata"]["annotations"] = json!({"k": "v"});
        object["metadata"]["finalizers"] = json!(["other/one"]);
        object["metadata"]["managedFields"] = json!([]);
    });
    let mut expected = document();
    expected["spec"] = json!({"a": "2"});
    expected["metadata"]["labels"] = json!({"z": "1"});
    expected["metadata"]["annotations"] = json!({"k": "v"});
    assert_eq!(converted.unwrap(), expected);
}

#[test]
fn what_is_another_object_is_refused() {
    let why = |change: fn(&mut Value)| answered(change).unwrap_err();
    assert_eq!(
        why(|object| object["apiVersion"] = "example.com/v1".into()),
        "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v1)"
    );
    assert_eq!(
        why(|object| object["kind"] = "Gadget".into()),
        "returned invalid object at index 0: invalid kind (expected Widget, received Gadget)"
    );
    assert_eq!(
        why(|object| object["metadata"]["uid"] = "2".into()),
        "returned invalid object: must have the same UID: 1 != 2"
    );
    assert_eq!(
        why(|object| object["metadata"]["labels"] = json!({"x": 1})),
        "returned invalid metadata: metadata.labels[x] must be a string, but is int64 in converted object"
    );
    assert!(
        why(|object| object["metadata"]["labels"] = json!({"x": "-"}))
            .starts_with("returned invalid metadata: metadata.labels: Invalid value: \"-\"")
    );
    let (resource, document) = (widgets(), document());
    let items = [Item { document: &document, from: 0 }];
    assert_eq!(accept(&resource, 1, &items, Vec::new()).unwrap_err(), "returned 0 objects, expected 1");
}

#[test]
fn answers_are_held_to_what_v1_demands() {
    let v1 = |response: Value| {
        let review = json!({"kind": "ConversionReview", "apiVersion": "apiextensions.k8s.io/v1", "response": response});
        read(review.to_string().as_bytes(), ReviewVersion::V1, "7")
    };
    let success = || json!({"status": "Success"});
    assert_eq!(v1(Value::Null).unwrap_err(), "no response provided");
    assert_eq!(v1(json!({"uid": "8", "result": success()})).unwrap_err(), "expected response.uid=\"7\", got \"8\"");
    assert_eq!(
        v1(json!({"uid": "7", "result": {"status": "Failure"}})).unwrap_err(),
        "response.result.status was 'Failure', not 'Success'"
    );
    assert_eq!(v1(json!({"uid": "7", "result": {"status": "Failure", "message": "no"}})).unwrap_err(), "no");
    assert_eq!(v1(json!({"uid": "7", "result": success(), "convertedObjects": [{}]})), Ok(vec![json!({})]));
    // The older version said neither kind nor uid.
    let old = json!({"response": {"result": success()}}).to_string();
    assert_eq!(read(old.as_bytes(), ReviewVersion::V1Beta1, "7"), Ok(Vec::new()));
    assert_eq!(
        read(old.as_bytes(), ReviewVersion::V1, "7").unwrap_err(),
        "expected webhook response of apiextensions.k8s.io/v1, Kind=ConversionReview, got , Kind="
    );
}

#[tokio::test]
async fn what_somebody_makes_already_is_waited_for() {
    let flights = Flights::default();
    let Role::Leads(first) = flights.join(1) else { panic!("nobody makes it yet") };
    let Role::Waits(landing) = flights.join(1) else { panic!("somebody makes it") };
    assert!(matches!(flights.join(2), Role::Leads(_)));
    drop(first);
    assert!(landing.landed().await.is_none(), "it was given up");
    let Role::Leads(second) = flights.join(1) else { panic!("nobody makes it any more") };
    let Role::Waits(landing) = flights.join(1) else { panic!("somebody makes it") };
    second.land(Err(Status::internal("x")));
    assert!(landing.landed().await.unwrap().is_err());
    assert!(matches!(flights.join(1), Role::Leads(_)));
}
