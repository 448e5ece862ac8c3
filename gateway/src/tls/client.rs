//! rustls' settings for calling kubelets: the gateway shows its certificate, and checks theirs where it knows their CA.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use wire::Unchecked;

use super::ServeError;
use super::server::{certificates, private_key, roots, unusable};
use crate::config::{FrontProxy, KubeletAccess};

/// For servers whose certificates nobody can check, and without one of our own.
pub(crate) fn unchecked() -> ClientConfig {
    let access = KubeletAccess::default();
    config(&access).expect("no file is read for it")
}

pub(crate) fn config(access: &KubeletAccess) -> Result<ClientConfig, ServeError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for TLS 1.2 and 1.3");
    let builder = match &access.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        // As the reference does without `--kubelet-certificate-authority`: kubelets sign their own.
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
    };
    let mut config = match &access.identity {
        None => builder.with_no_client_auth(),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| unusable(certificate, &error))?,
    };
    // Connections are upgraded, which HTTP/2 cannot be.
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// rustls' settings for calling an aggregated API server, which is trusted by `bundle` (base64 of PEM; the machine's CAs where it is
/// empty) or, if it is to be, whoever it is.
pub(crate) fn towards(bundle: &str, skips: bool, identity: Option<&FrontProxy>) -> Result<ClientConfig, String> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for TLS 1.2 and 1.3");
    let builder = match skips {
        true => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
        false => builder.with_root_certificates(shards::outside::roots(bundle)?),
    };
    let shown = |error: ServeError| error.to_string();
    let mut config = match identity {
        None => builder.with_no_client_auth(),
        Some(FrontProxy { certificate, key, .. }) => builder
            .with_client_auth_cert(certificates(certificate).map_err(shown)?, private_key(key).map_err(shown)?)
            .map_err(|error| shown(unusable(certificate, &error)))?,
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
