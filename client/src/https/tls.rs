//! The client's side of TLS.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use super::HttpsError;
use crate::kubeconfig::{Identity, Target};

/// Where distributions keep the machine's CAs.
const MACHINE: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn config(target: &Target, identity: Option<&Identity>, http2: bool) -> Result<ClientConfig, HttpsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| HttpsError(format!("TLS cannot be set up: {error}")))?;
    let builder = if target.insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(Anyone { provider }))
    } else {
        builder.with_root_certificates(roots(target)?)
    };
    let mut config = match identity.cloned() {
        Some(Identity { chain, key }) => builder
            .with_client_auth_cert(chain, key)
            .map_err(|error| HttpsError(format!("the client certificate cannot be used: {error}")))?,
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    if http2 {
        config.alpn_protocols.insert(0, b"h2".to_vec());
    }
    Ok(config)
}

fn roots(target: &Target) -> Result<RootCertStore, HttpsError> {
    let mut roots = RootCertStore::empty();
    if target.ca.is_empty() {
        let file = std::env::var("SSL_CERT_FILE").ok();
        let places = file.iter().map(String::as_str).chain(MACHINE);
        let found = places.filter_map(|place| CertificateDer::pem_file_iter(place).ok()).next();
        let found = found.ok_or_else(|| HttpsError("the kubeconfig names no CA, and this machine has none".into()))?;
        roots.add_parsable_certificates(found.flatten());
    }
    for certificate in &target.ca {
        roots.add(certificate.clone()).map_err(|error| HttpsError(format!("the CA cannot be used: {error}")))?;
    }
    Ok(roots)
}

/// The name that the server's certificate must carry.
pub(super) fn server_name(target: &Target) -> Result<ServerName<'static>, HttpsError> {
    let name = target.tls_server_name.as_ref().unwrap_or(&target.host);
    ServerName::try_from(name.clone()).map_err(|_| HttpsError(format!("{name:?} is no name of a server")))
}

/// insecure-skip-tls-verify: signatures are checked, so that the peer holds the key it shows, but any key will do.
#[derive(Debug)]
struct Anyone {
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
