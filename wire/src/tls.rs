//! rustls' settings within: TLS 1.3, both sides show a certificate, and both are checked against the internal CA.
//!
//! A client wants a server of one role. A server takes any role of the internal CA, and each service then says whom it
//! serves ([`crate::serve::only`]), so that who may not is told so in words.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, DistinguishedName, OtherError, ServerConfig,
    SignatureScheme, version,
};

use crate::pki::{Distrust, Parts, Role, TlsClock, Trust};

const ALPN: &[u8] = b"h2";

pub(crate) fn client(parts: &Parts, clock: &TlsClock, wanted: Role) -> Result<ClientConfig, rustls::Error> {
    let provider = parts.trust.provider().clone();
    let builder = ClientConfig::builder_with_details(provider, Arc::new(clock.clone()));
    let check = Check { trust: parts.trust.clone(), wanted: Some(wanted) };
    let builder = builder.with_protocol_versions(&[&version::TLS13])?;
    let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(check));
    let mut config = builder.with_client_auth_cert(parts.chain.clone(), parts.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Connections live long, and each one's certificates shall be looked at.
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    Ok(config)
}

pub(crate) fn server(parts: &Parts, clock: &TlsClock) -> Result<ServerConfig, rustls::Error> {
    let provider = parts.trust.provider().clone();
    let builder = ServerConfig::builder_with_details(provider, Arc::new(clock.clone()));
    let check = Check { trust: parts.trust.clone(), wanted: None };
    let builder = builder.with_protocol_versions(&[&version::TLS13])?.with_client_cert_verifier(Arc::new(check));
    let mut config = builder.with_single_cert(parts.chain.clone(), parts.key.clone_key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What was wrong with the other side's certificate, if that is what an error of TLS is about.
pub(crate) fn distrust(error: &rustls::Error) -> Option<Distrust> {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(other))) => {
            other.downcast_ref::<Distrust>().cloned()
        }
        _ => None,
    }
}

#[derive(Debug)]
struct Check {
    trust: Arc<Trust>,
    wanted: Option<Role>,
}

impl Check {
    fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let checked = match self.wanted {
            Some(wanted) => self.trust.check_role(certificate, intermediates, now, wanted),
            None => self.trust.check(certificate, intermediates, now).map(|_| ()),
        };
        checked.map_err(|why| rustls::Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(why)))))
    }
}

impl Check {
    fn provider(&self) -> &CryptoProvider {
        self.trust.provider()
    }
}

/// Takes any certificate of a server, as long as the server has its key: for those who sign their own.
#[derive(Debug)]
pub struct Unchecked(pub Arc<CryptoProvider>);

impl Unchecked {
    fn provider(&self) -> &CryptoProvider {
        &self.0
    }
}

/// How signatures are checked is the same for all.
macro_rules! signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider().signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider().signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider().signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for Check {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // Addresses come and go with processes; the role is what counts.
        self.check(certificate, intermediates, now).map(|()| ServerCertVerified::assertion())
    }

    signatures!();
}

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

    signatures!();
}

impl ClientCertVerifier for Check {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        self.check(certificate, intermediates, now).map(|()| ClientCertVerified::assertion())
    }

    signatures!();
}
