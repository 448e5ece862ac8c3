//! The client's side of TLS towards servers outside.

use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Where distributions keep the machine's CAs.
const MACHINE: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// Trusts `caBundle` (base64 of PEM), or the machine's CAs where it is empty.
pub(super) fn config(bundle: &str) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    if bundle.is_empty() {
        let file = std::env::var("SSL_CERT_FILE").ok();
        let places = file.iter().map(String::as_str).chain(MACHINE);
        let found = places.filter_map(|place| CertificateDer::pem_file_iter(place).ok()).next();
        let found = found.ok_or("the configuration names no CA, and this machine has none")?;
        roots.add_parsable_certificates(found.flatten());
    } else {
        let pem = BASE64_STANDARD.decode(bundle).map_err(|error| format!("caBundle is no base64: {error}"))?;
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        if roots.is_empty() {
            return Err("unable to load root certificates: caBundle holds none".to_owned());
        }
    }
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS cannot be set up: {error}"))?;
    let mut config = builder.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}
