//! Media types: which form of an answer a client accepts ([`accept`] reads what it says), and how a body is written.

mod accept;

use api::codec::Format;
use api::patch::PatchType;
use api::status::Reason;
use api::{Resource, Status};
use http::header::{ACCEPT, CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderValue};

use crate::query::Query;

const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";
const ACCEPTED: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const STREAMS: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

/// How an answer is written. In the order in which a wildcard offers them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) enum Encoding {
    /// application/json
    #[default]
    Json,
    /// application/yaml
    Yaml,
    /// application/vnd.kubernetes.protobuf
    Protobuf,
}

impl Encoding {
    const ALL: [Self; 3] = [Self::Json, Self::Yaml, Self::Protobuf];

    /// The media type.
    pub(crate) fn media(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => PROTOBUF,
        }
    }

    /// The value of Content-Type.
    pub(crate) fn content_type(self) -> HeaderValue {
        HeaderValue::from_static(self.media())
    }

    /// The value of Content-Type of a watch.
    pub(crate) fn stream_type(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Protobuf => "application/vnd.kubernetes.protobuf;stream=watch",
            other => other.media(),
        })
    }
}

/// What objects are turned into before they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Target {
    /// Themselves.
    #[default]
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Output {
    pub(crate) target: Target,
    pub(crate) encoding: Encoding,
    /// Indented, for people. JSON alone is.
    pub(crate) pretty: bool,
}

/// The group, version and kind that a client wants objects turned into.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wanted<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
}

impl Output {
    /// Reads Accept for an answer about objects of a resource; 406 where nothing in it can be made.
    pub(crate) fn negotiate(headers: &HeaderMap, query: &Query, resource: &Resource) -> Result<Self, Status> {
        let allowed = |encoding, wanted: Option<Wanted<'_>>| match wanted {
            None => (encoding != Encoding::Protobuf || resource.has_protobuf()).then_some(Wish::Object),
            Some(wanted) => wanted.transform(encoding),
        };
        let Some((encoding, wish, pretty)) = choose(headers, allowed) else { return Err(not_acceptable(ACCEPTED)) };
        let target = match wish {
            Wish::Object => Target::Object,
            Wish::Metadata(version) => Target::Metadata(version),
            Wish::Table(version) => Target::Table(version, include_object(query)?),
        };
        Ok(Self { target, encoding, pretty: pretty || is_pretty(headers, query) })
    }

    /// Reads Accept for a watch, for which YAML has no form.
    pub(crate) fn negotiate_stream(headers: &HeaderMap, query: &Query, resource: &Resource) -> Result<Self, Status> {
        let output = Self::negotiate(headers, query, resource)?;
        if output.encoding == Encoding::Yaml { Err(not_acceptable(STREAMS)) } else { Ok(output) }
    }

    /// Reads Accept for an answer that is no object of a resource, and cannot be turned into anything: discovery and
    /// failures. 406 where nothing in it can be made.
    pub(crate) fn plain(headers: &HeaderMap, query: &Query) -> Result<Self, Status> {
        let chosen = choose(headers, |_, wanted| wanted.is_none().then_some(Target::Object));
        let (encoding, target, pretty) = chosen.ok_or_else(|| not_acceptable(ACCEPTED))?;
        Ok(Self { target, encoding, pretty: pretty || is_pretty(headers, query) })
    }

    /// The version of apidiscovery.k8s.io that Accept wants everything in, where it wants that at all.
    pub(crate) fn aggregated(headers: &HeaderMap) -> Option<(Encoding, &'static str)> {
        let wanted = |_, wanted: Option<Wanted<'_>>| match wanted? {
            Wanted { group: "apidiscovery.k8s.io", version: "v2", kind: "APIGroupDiscoveryList" } => Some("v2"),
            Wanted { group: "apidiscovery.k8s.io", version: "v2beta1", kind: "APIGroupDiscoveryList" } => {
                Some("v2beta1")
            }
            _ => None,
        };
        choose(headers, wanted).map(|(encoding, version, _)| (encoding, version))
    }
}

/// A target, before the query was looked at.
enum Wish {
    Object,
    Metadata(&'static str),
    Table(&'static str),
}

impl Wanted<'_> {
    fn transform(self, encoding: Encoding) -> Option<Wish> {
        let version = match (self.group, self.version) {
            ("meta.k8s.io", "v1") => "v1",
            ("meta.k8s.io", "v1beta1") => "v1beta1",
            _ => return None,
        };
        match self.kind {
            "Table" if encoding != Encoding::Protobuf => Some(Wish::Table(version)),
            "PartialObjectMetadata" | "PartialObjectMetadataList" => Some(Wish::Metadata(version)),
            _ => None,
        }
    }
}

/// The first clause of Accept that can be met, what that is, and whether it asks for indentation. Without a header, JSON.
fn choose<T>(
    headers: &HeaderMap,
    allowed: impl Fn(Encoding, Option<Wanted<'_>>) -> Option<T>,
) -> Option<(Encoding, T, bool)> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.is_empty() {
        return allowed(Encoding::Json, None).map(|made| (Encoding::Json, made, false));
    }
    for clause in accept::clauses(accept) {
        for encoding in
            Encoding::ALL.into_iter().filter(|encoding| clause.takes(&encoding.media()["application/".len()..]))
        {
            let (mut wanted, mut pretty, mut possible) = (None::<Wanted<'_>>, false, true);
            for (name, value) in &clause.params {
                match *name {
                    "as" => wanted.get_or_insert_default().kind = value,
                    "g" => wanted.get_or_insert_default().group = value,
                    "v" => wanted.get_or_insert_default().version = value,
                    "stream" => possible &= *value == "watch" && encoding != Encoding::Yaml,
                    "sv" => possible &= *value == "v1",
                    "pretty" => pretty = *value == "1",
                    _ => {}
                }
            }
            if possible && let Some(made) = allowed(encoding, wanted) {
                return Some((encoding, made, pretty));
            }
        }
    }
    None
}

/// Whether the query asks for indentation, or a person does.
fn is_pretty(headers: &HeaderMap, query: &Query) -> bool {
    match query.get("pretty") {
        Some(text) if !text.is_empty() => matches!(text, "1" | "t" | "T" | "true" | "TRUE" | "True"),
        _ => {
            let agent = headers.get(USER_AGENT).and_then(|value| value.to_str().ok()).unwrap_or_default();
            ["curl", "Wget", "Mozilla/5.0"].iter().any(|human| agent.starts_with(human))
        }
    }
}

/// Which of those is the best that Accept takes, of `application/…`. Without a header, the first.
pub(crate) fn first_of(headers: &HeaderMap, offered: &[&str]) -> Option<usize> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if accept.is_empty() {
        return Some(0);
    }
    accept::clauses(accept).iter().find_map(|clause| offered.iter().position(|sub| clause.takes(sub)))
}

/// Whether gzip is among what the client takes.
pub(crate) fn takes_gzip(headers: &HeaderMap) -> bool {
    let encodings =
        headers.get(http::header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    encodings.split(',').any(|encoding| encoding.trim() == "gzip")
}

fn not_acceptable(accepted: &str) -> Status {
    let message = format!("only the following media types are accepted: {accepted}");
    Status::new(Reason::NotAcceptable, message)
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
        "" | "application/json" => Ok(Format::Json),
        "application/yaml" => Ok(Format::Yaml),
        // What client-go sends for built-in kinds.
        PROTOBUF => Ok(Format::Protobuf),
        _ => Err(unsupported(ACCEPTED)),
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
    use api::builtin::{RuntimeConfig, registry};

    use super::*;

    fn headers(name: http::HeaderName, value: &str) -> HeaderMap {
        HeaderMap::from_iter([(name, HeaderValue::from_str(value).unwrap())])
    }

    fn negotiate(accept: &str, query: &str) -> Result<(Encoding, Target), u16> {
        let registry = registry(&RuntimeConfig::default());
        let headers = headers(ACCEPT, accept);
        let output = Output::negotiate(&headers, &Query::parse(Some(query)), registry.named("pods").unwrap());
        output.map(|output| (output.encoding, output.target)).map_err(|status| status.code())
    }

    #[test]
    fn the_best_possible_form_wins() {
        use Encoding::{Json, Protobuf, Yaml};
        let table = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(negotiate(table, ""), Ok((Json, Target::Table("v1", IncludeObject::Metadata))));
        assert_eq!(negotiate(table, "includeObject=Object"), Ok((Json, Target::Table("v1", IncludeObject::Object))));
        assert_eq!(negotiate(table, "includeObject=All"), Err(400));
        for (accept, encoding) in [
            ("", Json),
            ("*/*", Json),
            ("application/*", Json),
            ("application/vnd.kubernetes.protobuf,application/json", Protobuf),
            ("application/json,application/vnd.kubernetes.protobuf", Json),
            ("application/json;q=0.5,application/vnd.kubernetes.protobuf;q=0.9", Protobuf),
            ("application/vnd.kubernetes.protobuf;q=0.9, */*;q=0.8", Protobuf),
            ("application/cbor,application/vnd.kubernetes.protobuf;stream=watch", Protobuf),
            ("application/vnd.kubernetes.protobuf;stream=other,application/yaml", Yaml),
            ("application/yaml;stream=watch,text/html,*/*;q=0.1", Json),
        ] {
            assert_eq!(negotiate(accept, ""), Ok((encoding, Target::Object)), "{accept}");
        }
        let metadata = |media: &str| format!("{media};as=PartialObjectMetadataList;g=meta.k8s.io;v=v1");
        assert_eq!(negotiate(&metadata("application/json"), ""), Ok((Json, Target::Metadata("v1"))));
        let protobuf = "application/vnd.kubernetes.protobuf";
        assert_eq!(negotiate(&metadata(protobuf), ""), Ok((Protobuf, Target::Metadata("v1"))));
        for none in [
            "application/json;as=Thing;g=meta.k8s.io;v=v1",
            "application/json;as=Table;g=meta.k8s.io;v=v2",
            "application/json;as=Table",
            "application/vnd.kubernetes.protobuf;as=Table;g=meta.k8s.io;v=v1",
            "application/cbor",
            "text/html",
        ] {
            assert_eq!(negotiate(none, ""), Err(406), "{none}");
        }
    }

    #[test]
    fn watches_have_no_yaml_and_discovery_has_forms_of_its_own() {
        let registry = registry(&RuntimeConfig::default());
        let (query, pods) = (Query::default(), registry.named("pods").unwrap());
        let refused = Output::negotiate_stream(&headers(ACCEPT, "application/yaml"), &query, pods).unwrap_err();
        assert_eq!((refused.code(), refused.message().contains("application/json;stream=watch, ")), (406, true));
        let aggregated = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
        let accept = format!("application/json,application/vnd.kubernetes.protobuf;{}", &aggregated[17..]);
        assert_eq!(Output::aggregated(&headers(ACCEPT, &accept)), Some((Encoding::Protobuf, "v2")));
        assert_eq!(Output::aggregated(&headers(ACCEPT, "application/json")), None);
        assert_eq!(Output::plain(&headers(ACCEPT, &accept), &query).unwrap().encoding, Encoding::Json);
        assert_eq!(Output::plain(&headers(ACCEPT, aggregated), &query).unwrap_err().code(), 406);
    }

    #[test]
    fn people_get_indented_answers() {
        let headers = headers(USER_AGENT, "curl/8");
        assert!(Output::plain(&headers, &Query::default()).unwrap().pretty);
        assert!(!Output::plain(&headers, &Query::parse(Some("pretty=false"))).unwrap().pretty);
    }

    #[test]
    fn unknown_bodies_are_415() {
        assert_eq!(body_format(&HeaderMap::new()), Ok(Format::Json));
        for (media, format) in [
            ("application/json; charset=utf-8", Ok(Format::Json)),
            ("Application/YAML", Ok(Format::Yaml)),
            ("application/vnd.kubernetes.protobuf", Ok(Format::Protobuf)),
            ("application/cbor", Err(415)),
            ("text/plain", Err(415)),
            ("application/x-www-form-urlencoded", Err(415)),
        ] {
            assert_eq!(body_format(&headers(CONTENT_TYPE, media)).map_err(|status| status.code()), format, "{media}");
        }
    }
}
