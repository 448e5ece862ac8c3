//! rustls' settings for calling kubelets: the gateway shows its certificate, and checks theirs where it knows their CA.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::ring::default_provider;
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};

use super::ServeError;
use super::server::{certificates, private_key, roots, unusable};
use crate::config::{FrontProxy, KubeletAccess};

pub(crate) fn config(access: &KubeletAccess) -> Result<ClientConfig, ServeError> {
    let provider = Arc::new(default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("ring has ciphers for TLS 1.2 and 1.3");
    let builder = match &access.ca {
        Some(path) => builder.with_root_certificates(roots(path)?),
        None => builder.dangerous().with_custom_certificate_verifier(Arc::new(Unchecked(provider))),
    };
    match &access.identity {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => builder
            .with_client_auth_cert(certificates(certificate)?, private_key(key)?)
            .map_err(|error| unusable(certificate, &error)),
    }
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

/// Takes any certificate, as the reference does without `--kubelet-certificate-authority`: kubelets sign their own.
#[derive(Debug)]
struct Unchecked(Arc<CryptoProvider>);

impl ServerCertVerifier for Unchecked {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
