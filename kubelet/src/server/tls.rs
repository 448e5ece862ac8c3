//! rustls' settings.

use std::sync::Arc;

use rustls::RootCertStore;
use rustls::server::WebPkiClientVerifier;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::{Identity, ServerError};

pub(super) fn config(
    identity: Identity,
    client_ca: Option<Vec<CertificateDer<'static>>>,
) -> Result<rustls::ServerConfig, ServerError> {
    let bad = |error: &dyn std::fmt::Display| ServerError::Tls(error.to_string());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| bad(&error))?;
    let builder = match client_ca {
        Some(certificates) => {
            let mut roots = RootCertStore::empty();
            for certificate in certificates {
                roots.add(certificate).map_err(|error| bad(&error))?;
            }
            // Who shows no certificate is told so by a 401, which says more than a broken handshake.
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .allow_unauthenticated()
                .build()
                .map_err(|error| bad(&error))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let (chain, key) = match identity {
        Identity::Given(chain, key) => (chain, key),
        Identity::SelfSigned(names) => {
            let made = rcgen::generate_simple_self_signed(names).map_err(|error| bad(&error))?;
            let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|error| bad(&error))?;
            (vec![made.cert.der().clone()], key)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(|error| bad(&error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
