//! The options of writes: from the query and, for deletions, from the body.

use api::codec::{self, Format};
use api::document::Document;
use api::schema::Schema;
use api::status::{Causes, Reason};
use api::{Status, Value, Version};
use http::HeaderMap;
use http::header::USER_AGENT;
use shards::service::{DeleteOptions, FieldValidation, Propagation, WriteOptions};

use crate::query::Query;

const META_GROUP: &str = "meta.k8s.io";
const DELETE_OPTIONS: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions";

/// CreateOptions, UpdateOptions, PatchOptions; `kind` names the one for errors.
pub(crate) fn write_options(kind: &str, query: &Query, headers: &HeaderMap) -> Result<WriteOptions, Status> {
    let mut causes = Causes::default();
    let dry_run = dry_run(query.all("dryRun"), &mut causes);
    let field_validation = match query.text("fieldValidation") {
        "" | "Warn" => FieldValidation::Warn,
        "Ignore" => FieldValidation::Ignore,
        "Strict" => FieldValidation::Strict,
        other => {
            causes.not_supported("fieldValidation", &other.into(), &["", "Ignore", "Strict", "Warn"]);
            FieldValidation::Warn
        }
    };
    let manager = query.text("fieldManager");
    if manager.len() > 128 {
        causes.too_long("fieldManager", 128);
    }
    if manager.chars().any(char::is_control) {
        causes.invalid("fieldManager", &manager.into(), "should only contain printable characters");
    }
    if !causes.is_empty() {
        return Err(Status::invalid(META_GROUP, kind, "", causes));
    }
    let field_manager = if manager.is_empty() { manager_of_agent(headers) } else { manager.to_owned() };
    Ok(WriteOptions { dry_run, field_manager, field_validation, force: false })
}

fn dry_run<'a>(values: impl Iterator<Item = &'a str>, causes: &mut Causes) -> bool {
    let mut dry = false;
    for value in values.filter(|value| !value.is_empty()) {
        if value != "All" {
            causes.not_supported("dryRun", &value.into(), &["All"]);
        }
        dry = true;
    }
    dry
}

/// What stands before the first slash of User-Agent.
fn manager_of_agent(headers: &HeaderMap) -> String {
    let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = agent.split('/').next().unwrap_or_default();
    let printable = name.chars().filter(|c| !c.is_control());
    match printable.take(128).collect::<String>() {
        name if name.is_empty() => "unknown".to_owned(),
        name => name,
    }
}

/// DeleteOptions of the query.
pub(crate) fn query_delete_options(query: &Query) -> Result<DeleteOptions, Status> {
    from_value(&query_value(query)?)
}

/// DeleteOptions of a body. Those of the query do not count then.
pub(crate) fn body_delete_options(body: &[u8], format: Format) -> Result<DeleteOptions, Status> {
    let schema = Schema::builtin();
    let shape = schema.named(DELETE_OPTIONS).expect("the schema table has DeleteOptions");
    let value = codec::decode(shape, body, format).map_err(|error| Status::bad_request(error.message))?.value;
    match value.text(&["kind"]) {
        "" | "DeleteOptions" => from_value(&value),
        _ => Err(Status::bad_request("decoded object cannot be converted to DeleteOptions")),
    }
}

/// The query's options in the form that a body has.
fn query_value(query: &Query) -> Result<Value, Status> {
    let mut value = Value::Object(Default::default());
    if let Some(seconds) = query.number::<i64>("gracePeriodSeconds")? {
        value.set(&["gracePeriodSeconds"], seconds);
    }
    if let Some(orphan) = query.flag("orphanDependents") {
        value.set(&["orphanDependents"], orphan);
    }
    if !query.text("propagationPolicy").is_empty() {
        value.set(&["propagationPolicy"], query.text("propagationPolicy"));
    }
    let dry: Vec<Value> = query.all("dryRun").map(Value::from).collect();
    if !dry.is_empty() {
        value.set(&["dryRun"], dry);
    }
    Ok(value)
}

fn from_value(value: &Value) -> Result<DeleteOptions, Status> {
    let mut causes = Causes::default();
    let dry_run = dry_run(value.list(&["dryRun"]).iter().filter_map(Value::as_str), &mut causes);
    let orphan = value.at(&["orphanDependents"]).as_bool();
    let policy = value.text(&["propagationPolicy"]);
    let propagation = match (orphan, policy) {
        (Some(_), policy) if !policy.is_empty() => {
            let detail = "orphanDependents and deletionPropagation cannot be both set";
            causes.invalid("propagationPolicy", &policy.into(), detail);
            None
        }
        (Some(true), _) | (None, "Orphan") => Some(Propagation::Orphan),
        (Some(false), _) | (None, "Background") => Some(Propagation::Background),
        (None, "Foreground") => Some(Propagation::Foreground),
        (None, "") => None,
        (None, other) => {
            causes.not_supported("propagationPolicy", &other.into(), &["Background", "Foreground", "Orphan"]);
            None
        }
    };
    if !causes.is_empty() {
        return Err(Status::invalid(META_GROUP, "DeleteOptions", "", causes));
    }
    let text = |path: &[&str]| Some(value.text(path)).filter(|text| !text.is_empty());
    let version = text(&["preconditions", "resourceVersion"]).map(str::parse::<Version>).transpose();
    Ok(DeleteOptions {
        dry_run,
        grace_period_seconds: value.int(&["gracePeriodSeconds"]),
        propagation,
        uid: text(&["preconditions", "uid"]).map(str::to_owned),
        version: version.map_err(|error| Status::new(Reason::BadRequest, error.to_string()))?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deletions_read_body_or_query() {
        let body = br#"{"kind":"DeleteOptions","apiVersion":"v1","gracePeriodSeconds":0,"propagationPolicy":"Foreground","preconditions":{"uid":"u","resourceVersion":"7"}}"#;
        let options = body_delete_options(body, Format::Json).unwrap();
        assert_eq!((options.grace_period_seconds, options.propagation), (Some(0), Some(Propagation::Foreground)));
        assert_eq!((options.uid.as_deref(), options.version.map(|v| v.0)), (Some("u"), Some(7)));
        let query = Query::parse(Some("orphanDependents=true&dryRun=All"));
        let options = query_delete_options(&query).unwrap();
        assert_eq!((options.dry_run, options.propagation), (true, Some(Propagation::Orphan)));
        // gracePeriodSeconds=1, propagationPolicy=4
        let body = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x0c\x08\x05\x22\x08Orphaned";
        assert_eq!(body_delete_options(body, Format::Protobuf).unwrap_err().code(), 422);
        let body = b"k8s\0\x0a\x13\x0a\x02v1\x12\x0dDeleteOptions\x12\x0a\x08\x05\x22\x06Orphan";
        let options = body_delete_options(body, Format::Protobuf).unwrap();
        assert_eq!((options.grace_period_seconds, options.propagation), (Some(5), Some(Propagation::Orphan)));
    }

    #[test]
    fn nonsense_is_refused() {
        for (body, code) in [
            (&b"{"[..], 400),
            (br#"{"kind":"Pod"}"#, 400),
            (br#"{"gracePeriodSeconds":"soon"}"#, 400),
            (br#"{"propagationPolicy":"Maybe"}"#, 422),
            (br#"{"propagationPolicy":"Orphan","orphanDependents":true}"#, 422),
            (br#"{"dryRun":["Some"]}"#, 422),
        ] {
            assert_eq!(body_delete_options(body, Format::Json).unwrap_err().code(), code);
        }
        let headers = HeaderMap::new();
        let bad = Query::parse(Some("fieldValidation=Perhaps&dryRun=x"));
        let status = write_options("CreateOptions", &bad, &headers).unwrap_err();
        assert_eq!((status.code(), status.causes().len()), (422, 2));
        let options = write_options("CreateOptions", &Query::default(), &headers).unwrap();
        assert_eq!((options.field_manager.as_str(), options.field_validation), ("unknown", FieldValidation::Warn));
    }
}
