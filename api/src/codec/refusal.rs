//! What is said of a body that could not be read.

use serde::Deserialize;

use super::{Format, Malformed, yaml};
use crate::status::Status;

/// How much of a body is shown.
const SHOWN: usize = 30;

/// What a body says it is.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeMeta {
    #[serde(default)]
    api_version: Option<String>,
    #[serde(default)]
    kind: Option<String>,
}

/// 400 in the reference's words: a body that can be parsed is named by what it says it is, and one that cannot by its
/// first bytes.
pub fn refusal(kind: &str, version: &str, body: &[u8], format: Format, malformed: &Malformed) -> Status {
    let why = &malformed.message;
    let Some(said) = type_of(body, format) else {
        // This goes to the log as well.
        let shown = if kind == "Secret" { "hidden".to_owned() } else { summary(body) };
        return Status::bad_request(format!(
            "the object provided is unrecognized (must be of type {kind}): {why} ({shown})"
        ));
    };
    let said_kind = said.kind.filter(|kind| !kind.is_empty());
    let said_version = said.api_version.filter(|version| !version.is_empty());
    let said_version = said_version.as_deref().map_or(version, |said| said.rsplit('/').next().unwrap_or(said));
    let said_kind = said_kind.as_deref().unwrap_or(kind);
    Status::bad_request(format!("{said_kind} in version {said_version:?} cannot be handled as a {kind}: {why}"))
}

/// `None` where the syntax is broken.
fn type_of(body: &[u8], format: Format) -> Option<TypeMeta> {
    match format {
        Format::Json => serde_json::from_slice(body).ok(),
        Format::Yaml => yaml::read_plain(body),
        // Its reader says itself what it has read.
        Format::Protobuf => Some(TypeMeta::default()),
    }
}

/// The beginning of a body: as text where it may be JSON, in hexadecimal otherwise.
fn summary(body: &[u8]) -> String {
    let (shown, more) = if body.len() > SHOWN { (&body[..SHOWN], " ...") } else { (body, "") };
    match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => format!("{}{more}", String::from_utf8_lossy(shown)),
        Some(_) => shown.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + more,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: &str, format: Format) -> String {
        let malformed = Malformed { message: "why".to_owned() };
        refusal("Pod", "v1", body.as_bytes(), format, &malformed).message().to_owned()
    }

    #[test]
    fn broken_syntax_shows_its_first_bytes() {
        let unrecognized = "the object provided is unrecognized (must be of type Pod): why";
        assert_eq!(said("", Format::Json), format!("{unrecognized} (<empty>)"));
        assert_eq!(said("{\"kind\":", Format::Json), format!("{unrecognized} ({{\"kind\":)"));
        let long = format!("{{\"kind\":\"{}", "x".repeat(40));
        assert_eq!(said(&long, Format::Json), format!("{unrecognized} ({{\"kind\":\"{} ...)", "x".repeat(21)));
        let malformed = Malformed { message: "why".to_owned() };
        let secret = refusal("Secret", "v1", b"{\"stringData\":{\"a\":\"hush", Format::Json, &malformed);
        assert!(!secret.message().contains("hush"), "{secret}");
        assert_eq!(said("api", Format::Json), format!("{unrecognized} (617069)"));
        assert_eq!(said("a: [b", Format::Yaml), format!("{unrecognized} (613a205b62)"));
    }

    #[test]
    fn other_mistakes_name_what_the_body_says_it_is() {
        assert_eq!(said("{}", Format::Json), "Pod in version \"v1\" cannot be handled as a Pod: why");
        let other = "{\"kind\":\"Deployment\",\"apiVersion\":\"apps/v2\"}";
        assert_eq!(said(other, Format::Json), "Deployment in version \"v2\" cannot be handled as a Pod: why");
        assert_eq!(said("kind: Job\nspec: 1", Format::Yaml), "Job in version \"v1\" cannot be handled as a Pod: why");
    }
}
