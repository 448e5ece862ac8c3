use super::*;

#[test]
fn words_are_the_references() {
    assert_eq!(Status::not_found("apps", "deployments", "web").message(), "deployments.apps \"web\" not found");
    assert_eq!(Status::already_exists("", "pods", "a").message(), "pods \"a\" already exists");
    let stale = Status::stale("", "pods", "a");
    assert!(stale.message().starts_with("Operation cannot be fulfilled on pods \"a\": the object has been modified"));
    assert_eq!((stale.code(), stale.to_value()["reason"].as_str().unwrap()), (409, "Conflict"));
}

#[test]
fn reasons_whose_details_clients_rely_on_have_some() {
    assert_eq!(Status::unknown_path().to_value()["details"], json!({}));
    assert_eq!(Status::not_found("", "pods", "a").to_value()["details"], json!({"kind": "pods", "name": "a"}));
    assert!(Status::bad_request("no").to_value().get("details").is_none());
}

#[test]
fn what_others_say_keeps_its_code_and_reason() {
    let status = Status::said(418, "Teapot", "no");
    assert_eq!((status.code(), &status.to_value()["reason"]), (418, &json!("Teapot")));
    let status = Status::said(200, "", "no").to_value();
    assert_eq!((&status["code"], status.get("reason")), (&json!(500), None));
}

#[test]
fn invalid_lists_every_cause() {
    let mut causes = Causes::default();
    causes.invalid("spec.replicas", &json!(-1), "must be greater than or equal to 0");
    causes.required("spec.selector", "");
    let status = Status::invalid("apps", "Deployment", "web", causes);
    assert_eq!(
        status.message(),
        "Deployment.apps \"web\" is invalid: [spec.replicas: Invalid value: -1: must be greater than or equal to 0, \
         spec.selector: Required value]"
    );
    let value = status.to_value();
    assert_eq!(value["details"]["causes"][1]["reason"], "FieldValueRequired");
    assert_eq!(value["code"], 422);
}

#[test]
fn too_large_a_version_asks_to_retry() {
    let status = Status::version_too_large(10, 5);
    assert_eq!(status.code(), 504);
    assert_eq!(status.to_value()["details"]["causes"][0]["reason"], "ResourceVersionTooLarge");
    assert_eq!(status.to_value()["details"]["retryAfterSeconds"], 1);
}
