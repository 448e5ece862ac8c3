//! spec.conversion: who converts between versions. Paths are those of the reference's internal type.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::document::{Document, Value};
use crate::names;
use crate::status::Causes;
use crate::strategy::path::Path;
use crate::strategy::{field, webhooks};

const BEGIN: &str = "-----BEGIN CERTIFICATE-----";
const END: &str = "-----END CERTIFICATE-----";

/// Complaints about spec.conversion.
pub(super) fn validate(conversion: &Value, path: &Path<'_>, causes: &mut Causes) {
    field::required_choice(conversion, "strategy", path, &["None", "Webhook"], causes);
    let webhook = conversion.at(&["webhook"]);
    let (client, versions) = (path.child("webhookClientConfig"), path.child("conversionReviewVersions"));
    let (config, list) = (webhook.at(&["clientConfig"]), field::list(webhook, "conversionReviewVersions"));
    if field::text(conversion, "strategy") != "Webhook" {
        let detail = "should not be set when strategy is not set to Webhook";
        if config.is_object() {
            causes.forbidden(client, detail);
        }
        if !list.is_empty() {
            causes.forbidden(versions, detail);
        }
        return;
    }
    match config.is_object() {
        true => webhooks::client(config, &client, causes),
        false => causes.required(client, "required when strategy is set to Webhook"),
    }
    if list.is_empty() {
        causes.required(versions, "");
    }
    for (at, version) in list.iter().enumerate() {
        if list[..at].contains(version) {
            causes.invalid(versions.index(at), version, "duplicate version");
            continue;
        }
        let text = version.as_str().unwrap_or_default();
        field::complain(names::is_dns1035_label(text), text, versions.index(at), causes);
    }
}

/// Complaints about what older servers let in.
pub(super) fn hold(definition: &Value, causes: &mut Causes) {
    let conversion = definition.at(&["spec", "conversion"]);
    let webhook = conversion.at(&["webhook"]);
    if field::text(conversion, "strategy") != "Webhook" {
        return;
    }
    let path = Path::new("spec.conversion");
    let versions = field::list(webhook, "conversionReviewVersions");
    if !versions.is_empty() && !versions.iter().any(|version| version == "v1" || version == "v1beta1") {
        let detail = "must include at least one of v1, v1beta1";
        causes.invalid(path.child("conversionReviewVersions"), &versions.to_vec().into(), detail);
    }
    let bundle = webhook.at(&["clientConfig", "caBundle"]);
    if let Err(why) = certificates(bundle.as_str().unwrap_or_default()) {
        let client = path.child("webhookClientConfig");
        causes.invalid(client.child("caBundle"), bundle, &format!("unable to load root certificates: {why}"));
    }
}

/// Whether a bundle (base64 of PEM) is one: empty, or at least one certificate and none that is none.
fn certificates(bundle: &str) -> Result<(), &'static str> {
    if bundle.is_empty() {
        return Ok(());
    }
    let none = Err("data does not contain any valid RSA or ECDSA certificates");
    let Ok(bytes) = BASE64_STANDARD.decode(bundle) else { return none };
    let Ok(text) = String::from_utf8(bytes) else { return none };
    let mut found = false;
    let mut rest = text.as_str();
    while let Some((_, behind)) = rest.split_once(BEGIN) {
        let Some((inside, after)) = behind.split_once(END) else { break };
        let inside: String = inside.split_ascii_whitespace().collect();
        if !BASE64_STANDARD.decode(inside).is_ok_and(|der| is_sequence(&der)) {
            return Err("x509: malformed certificate");
        }
        found = true;
        rest = after;
    }
    if found { Ok(()) } else { none }
}

/// Whether bytes are one SEQUENCE of DER, as every certificate is.
fn is_sequence(der: &[u8]) -> bool {
    let [0x30, length, rest @ ..] = der else { return false };
    let short = usize::from(*length);
    let many = short & 0x7f;
    if short < 0x80 {
        return rest.len() == short;
    }
    (1..=4).contains(&many)
        && rest.len() >= many
        && rest[..many].iter().fold(0, |all, byte| all << 8 | usize::from(*byte)) == rest.len() - many
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn complaints(conversion: Value) -> Vec<String> {
        let mut causes = Causes::default();
        validate(&conversion, &Path::new("spec").child("conversion"), &mut causes);
        hold(&json!({"spec": {"conversion": conversion}}), &mut causes);
        causes.0.into_iter().map(|cause| format!("{}: {}", cause.field, cause.message)).collect()
    }

    #[test]
    fn a_webhook_says_where_it_is_and_what_it_speaks() {
        let service = json!({"service": {"namespace": "n", "name": "s", "port": 443}});
        let webhook = |config: &Value, versions: Value| {
            json!({
                "strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": versions},
            })
        };
        assert_eq!(complaints(webhook(&service, json!(["v1"]))), [""; 0]);
        assert_eq!(complaints(json!({"strategy": "None"})), [""; 0]);
        assert_eq!(
            complaints(json!({"strategy": "Webhook"})),
            [
                "spec.conversion.webhookClientConfig: Required value: required when strategy is set to Webhook",
                "spec.conversion.conversionReviewVersions: Required value",
            ]
        );
        let mut none = webhook(&service, json!(["v1"]));
        none["strategy"] = "None".into();
        let forbidden = "should not be set when strategy is not set to Webhook";
        assert_eq!(
            complaints(none),
            [
                format!("spec.conversion.webhookClientConfig: Forbidden: {forbidden}"),
                format!("spec.conversion.conversionReviewVersions: Forbidden: {forbidden}"),
            ]
        );
        assert_eq!(
            complaints(webhook(&json!({"url": "http://a"}), json!(["v2", "v2"]))),
            [
                "spec.conversion.webhookClientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; \
                 desired format: https://host[/path]",
                "spec.conversion.conversionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
                "spec.conversion.conversionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, \
                 v1beta1",
            ]
        );
    }

    #[test]
    fn a_bundle_holds_certificates() {
        let pem = |der: &[u8]| format!("{BEGIN}\n{}\n{END}\n", BASE64_STANDARD.encode(der));
        let bundle = |text: &str| certificates(&BASE64_STANDARD.encode(text));
        let long = [&[0x30, 0x81, 0x80][..], &[0; 0x80]].concat();
        assert_eq!(bundle(&(pem(&[0x30, 0]) + &pem(&long))), Ok(()));
        assert_eq!(certificates(""), Ok(()));
        assert_eq!(bundle(&(pem(&[0x30, 0]) + &pem(&[0x30, 1]))), Err("x509: malformed certificate"));
        for none in ["x", BEGIN] {
            assert_eq!(bundle(none), Err("data does not contain any valid RSA or ECDSA certificates"));
        }
    }
}
