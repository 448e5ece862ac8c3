//! rustls' settings for calling kubelets: the gateway shows its certificate, and checks theirs where it knows their CA.

use std::sync::Arc;

use rustls::ClientConfig;
use rustls::crypto::ring::default_provider;
use wire::Unchecked;

use super::ServeError;
use super::server::{certificates, private_key, roots, unusable};
use crate::config::KubeletAccess;

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
