//! Whom to trust: a certificate of the internal CA, in force, that names a role.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Clock;
use rustls::RootCertStore;
use rustls::client::verify_server_cert_signed_by_trust_anchor;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::time_provider::TimeProvider;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// What a process is to the others. Its certificate says so in a URI, as `shardplane://internal/shard`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Serves the API and calls shards.
    Gateway,
    /// Owns slots; called by gateways and by shards, and calls the store.
    Shard,
    /// Keeps what shards commit.
    Store,
    /// The operator's commands.
    Admin,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Gateway, Self::Shard, Self::Store, Self::Admin];

    /// Its name, in certificates' URIs and as the name of their files.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Shard => "shard",
            Self::Store => "store",
            Self::Admin => "admin",
        }
    }

    /// The URI that stands in its certificate.
    pub fn uri(self) -> String {
        format!("{SCHEME}{}", self.name())
    }

    fn of_uri(uri: &str) -> Option<Self> {
        let name = uri.strip_prefix(SCHEME)?;
        Self::ALL.into_iter().find(|role| role.name() == name)
    }
}

const SCHEME: &str = "shardplane://internal/";

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// Another CA's.
    #[error("the certificate was issued by {issuer:?}, which is not the internal CA {ca:?}")]
    Stranger {
        /// Who signed it, or says to have.
        issuer: String,
        /// Who should have.
        ca: String,
    },
    /// Out of its time.
    #[error("the certificate is not in force: {0}")]
    Time(String),
    /// Of the internal CA, but without a role.
    #[error("the certificate names no role among gateways, shards and stores")]
    NoRole,
    /// Of another role.
    #[error("the certificate is a {is}'s, and a {wanted}'s is wanted")]
    Role {
        /// What it says.
        is: Role,
        /// What it should say.
        wanted: Role,
    },
    /// No certificate that makes sense.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
}

/// The internal CA, as whoever checks certificates sees it.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: RootCertStore,
    /// The CA's subject.
    name: String,
    provider: Arc<CryptoProvider>,
}

impl Trust {
    pub(crate) fn new(ca: CertificateDer<'static>, provider: Arc<CryptoProvider>) -> Result<Self, Distrust> {
        let unusable = |reason: &dyn fmt::Display| Distrust::Unusable(reason.to_string());
        let (_, parsed) = X509Certificate::from_der(&ca).map_err(|error| unusable(&error))?;
        let name = parsed.subject().to_string();
        let mut roots = RootCertStore::empty();
        roots.add(ca).map_err(|error| unusable(&error))?;
        Ok(Self { roots, name, provider })
    }

    pub(crate) fn provider(&self) -> &Arc<CryptoProvider> {
        &self.provider
    }

    /// The role of whoever has the certificate. That they have its key is the handshake's matter.
    pub(crate) fn check(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Role, Distrust> {
        let unusable = |reason: &dyn fmt::Display| Distrust::Unusable(reason.to_string());
        let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| unusable(&error))?;
        let checked = ParsedCertificate::try_from(certificate).map_err(|error| unusable(&error))?;
        // Every internal certificate may serve as well as call, so one check does for both.
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&checked, &self.roots, intermediates, now, algorithms).map_err(
            |error| match error {
                rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer)
                | rustls::Error::InvalidCertificate(rustls::CertificateError::BadSignature) => {
                    Distrust::Stranger { issuer: parsed.issuer().to_string(), ca: self.name.clone() }
                }
                rustls::Error::InvalidCertificate(
                    error @ (rustls::CertificateError::Expired
                    | rustls::CertificateError::ExpiredContext { .. }
                    | rustls::CertificateError::NotValidYet
                    | rustls::CertificateError::NotValidYetContext { .. }),
                ) => Distrust::Time(error.to_string()),
                other => unusable(&other),
            },
        )?;
        let names = parsed.subject_alternative_name().ok().flatten();
        let names = names.map(|names| &names.value.general_names[..]).unwrap_or_default();
        let role = names.iter().find_map(|name| match name {
            GeneralName::URI(uri) => Role::of_uri(uri),
            _ => None,
        });
        role.ok_or(Distrust::NoRole)
    }

    /// The same, where only one role will do.
    pub(crate) fn check_role(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        wanted: Role,
    ) -> Result<(), Distrust> {
        match self.check(certificate, intermediates, now)? {
            is if is == wanted => Ok(()),
            is => Err(Distrust::Role { is, wanted }),
        }
    }
}

/// The process's clock, as rustls asks for it.
#[derive(Clone)]
pub(crate) struct TlsClock(pub(crate) Arc<dyn Clock>);

impl TlsClock {
    pub(crate) fn now(&self) -> UnixTime {
        let micros = u64::try_from(self.0.wall_micros()).unwrap_or(0);
        UnixTime::since_unix_epoch(Duration::from_micros(micros))
    }
}

impl fmt::Debug for TlsClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TlsClock")
    }
}

impl TimeProvider for TlsClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}
