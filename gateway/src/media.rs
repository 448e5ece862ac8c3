//! Media types: which form of an answer a client accepts, and how a body is written.

use api::codec::Format;
use api::patch::PatchType;
use api::status::Reason;
use api::{Resource, Status};
use http::HeaderMap;
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};

use crate::query::Query;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// What objects are turned into before they are sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// Themselves.
    Object,
    /// metav1.PartialObjectMetadata, or its list. The field is the version of meta.k8s.io.
    Metadata(&'static str),
    /// metav1.Table
    Table(&'static str, IncludeObject),
}

/// What stands beside the cells of a table's row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IncludeObject {
    Nothing,
    Metadata,
    Object,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) target: Target,
    /// Indented, for people.
    pub(crate) pretty: bool,
}

impl Output {
    /// Reads Accept; 406 where nothing in it can be made.
    pub(crate) fn negotiate(headers: &HeaderMap, query: &Query) -> Result<Self, Status> {
        let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let pretty = match query.get("pretty") {
            Some(text) if !text.is_empty() => matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
            _ => {
                let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
                ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
            }
        };
        if accept.trim().is_empty() {
            return Ok(Self { target: Target::Object, pretty });
        }
        for clause in by_quality(accept) {
            if let Some(target) = clause.target(query)? {
                return Ok(Self { target, pretty: pretty || clause.param("pretty") == Some("1") });
            }
        }
        let message = "only the following media types are accepted: application/json";
        Err(Status::new(Reason::NotAcceptable, message))
    }
}

/// One of Accept's alternatives.
pub(crate) struct Clause<'a> {
    pub(crate) media: &'a str,
    params: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default();
        let params = parts.filter_map(|part| part.split_once('=')).map(|(k, v)| (k.trim(), v.trim().trim_matches('"')));
        Self { media, params: params.collect() }
    }

    /// The value of a parameter.
    pub(crate) fn param(&self, name: &str) -> Option<&'a str> {
        self.params.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    /// Whether JSON will do.
    pub(crate) fn takes_json(&self) -> bool {
        matches!(self.media, "application/json" | "application/*" | "*/*")
    }

    fn target(&self, query: &Query) -> Result<Option<Target>, Status> {
        if !self.takes_json() {
            return Ok(None);
        }
        let Some(kind) = self.param("as") else { return Ok(Some(Target::Object)) };
        let version = match (self.param("g"), self.param("v")) {
            (Some("meta.k8s.io"), Some("v1")) => "v1",
            (Some("meta.k8s.io"), Some("v1beta1")) => "v1beta1",
            _ => return Ok(None),
        };
        match kind {
            "Table" => Ok(Some(Target::Table(version, include_object(query)?))),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Ok(Some(Target::Metadata(version))),
            _ => Ok(None),
        }
    }
}

/// The clauses, best first; equals stay in their order.
pub(crate) fn by_quality(accept: &str) -> impl Iterator<Item = Clause<'_>> {
    let mut clauses: Vec<(u16, Clause<'_>)> = accept
        .split(',')
        .map(|text| {
            let clause = Clause::parse(text);
            let quality: f32 = clause.param("q").and_then(|q| q.parse().ok()).unwrap_or(1.0);
            ((quality.clamp(0.0, 1.0) * 1000.0) as u16, clause)
        })
        .collect();
    clauses.sort_by(|(a, _), (b, _)| b.cmp(a));
    clauses.into_iter().filter(|(quality, _)| *quality > 0).map(|(_, clause)| clause)
}

fn include_object(query: &Query) -> Result<IncludeObject, Status> {
    match query.text("includeObject") {
        "None" => Ok(IncludeObject::Nothing),
        "" | "Metadata" => Ok(IncludeObject::Metadata),
        "Object" => Ok(IncludeObject::Object),
        other => Err(Status::bad_request(format!(
            "Unable to convert to Table as requested: includeObject: Invalid value: {other:?}: \
             must be 'Metadata', 'Object', 'None', or empty"
        ))),
    }
}

fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn unsupported(accepted: &str) -> Status {
    let message =
        format!("the body of the request was in an unknown format - accepted media types include: {accepted}");
    Status::new(Reason::UnsupportedMediaType, message)
}

/// How the body of a create, update or delete is written; 415 where that is unknown.
pub(crate) fn body_format(headers: &HeaderMap) -> Result<Format, Status> {
    match content_type(headers).as_str() {
        // Some clients send DeleteOptions without saying what they are.
        "" | "application/json" | "application/octet-stream" | "text/plain" => Ok(Format::Json),
        "application/yaml" | "application/x-yaml" | "text/yaml" => Ok(Format::Yaml),
        // What client-go sends for built-in kinds.
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(unsupported(&format!("application/json, application/yaml, {PROTOBUF}"))),
    }
}

/// Which patch a body is; 415 where that is unknown.
pub(crate) fn patch_type(headers: &HeaderMap, resource: &Resource) -> Result<PatchType, Status> {
    match content_type(headers).as_str() {
        "application/json-patch+json" => Ok(PatchType::Json),
        "application/merge-patch+json" => Ok(PatchType::Merge),
        // How lists of custom kinds would merge nobody has said.
        "application/strategic-merge-patch+json" if resource.served.iter().any(|served| served.custom.is_some()) => {
            Err(unsupported("application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml"))
        }
        "application/strategic-merge-patch+json" => Ok(PatchType::Strategic),
        "application/apply-patch+yaml" => Ok(PatchType::Apply),
        _ => Err(unsupported(
            "application/json-patch+json, application/merge-patch+json, application/strategic-merge-patch+json, \
             application/apply-patch+yaml",
        )),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn negotiate(accept: &str, query: &str) -> Result<Target, u16> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        let output = Output::negotiate(&headers, &Query::parse(Some(query)));
        output.map(|output| output.target).map_err(|status| status.code())
    }

    #[test]
    fn the_best_possible_form_wins() {
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(table, ""), Ok(Target::Table("v1", IncludeObject::Metadata)));
        assert_eq!(negotiate(table, "includeObject=Object"), Ok(Target::Table("v1", IncludeObject::Object)));
        assert_eq!(negotiate(table, "includeObject=All"), Err(400));
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf,application/json", ""), Ok(Target::Object));
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf", ""), Err(406));
        assert_eq!(negotiate("application/vnd.kubernetes.protobuf;q=0.9, */*;q=0.8", ""), Ok(Target::Object));
        let metadata = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
        assert_eq!(negotiate(metadata, ""), Ok(Target::Metadata("v1")));
        assert_eq!(negotiate("application/json;as=Thing;g=meta.k8s.io;v=v1", ""), Err(406));
    }

    #[test]
    fn people_get_indented_answers() {
        let mut headers = HeaderMap::new();
        headers.insert(USER_AGENT, HeaderValue::from_static("curl/8"));
        assert!(Output::negotiate(&headers, &Query::default()).unwrap().pretty);
        assert!(!Output::negotiate(&headers, &Query::parse(Some("pretty=false"))).unwrap().pretty);
    }

    #[test]
    fn unknown_bodies_are_415() {
        let mut headers = HeaderMap::new();
        assert_eq!(body_format(&headers), Ok(Format::Json));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/yaml; charset=utf-8"));
        assert_eq!(body_format(&headers), Ok(Format::Yaml));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/vnd.kubernetes.protobuf"));
        assert_eq!(body_format(&headers), Ok(Format::Protobuf));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/cbor"));
        assert_eq!(body_format(&headers).unwrap_err().code(), 415);
    }
}
