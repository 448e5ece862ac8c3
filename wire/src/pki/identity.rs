//! A process's own place behind the internal CA.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use parking_lot::{Mutex, RwLock};
use rustls::CipherSuite;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use super::issue::{Authority, CA, Purpose, Wanted};
use super::trust::{Role, TlsClock, Trust};
use super::{PkiError, files};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Who this process is to the others, and by what it knows them. Cheap to clone: clones share it, also when it changes.
#[derive(Clone)]
pub struct Identity(Arc<Shared>);

struct Shared {
    role: Role,
    directory: PathBuf,
    clock: TlsClock,
    parts: RwLock<Arc<Parts>>,
    /// The files as they were read last, whether they could be used or not.
    seen: Mutex<Texts>,
}

/// The CA's certificate, this process's own, and its key.
type Texts = [Option<String>; 3];

/// What is in force: connections that are made from now on use it.
pub(crate) struct Parts {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
    pub(crate) trust: Arc<Trust>,
}

impl Identity {
    /// Reads the certificate of a role from the directory of the internal CA (`--internal-ca-dir`).
    ///
    /// Where the CA's key is, what is missing or about to expire is made; so is the CA, in a directory without one. To other
    /// machines an operator copies `ca.crt`, `ROLE.crt` and `ROLE.key`, and there nothing is ever made.
    pub fn ensure(directory: &Path, role: Role, ambient: &Ambient) -> Result<Self, PkiError> {
        files::protect_directory(directory)?;
        // Processes that start together would otherwise each make a CA.
        let _locked = files::lock(directory)?;
        let exists = |path: &Path| path.try_exists().unwrap_or(true);
        if exists(&files::key(directory, CA)) || !exists(&files::certificate(directory, CA)) {
            // Part of its name is drawn, so that an error can tell two of them apart.
            let name = format!("shardplane-internal-ca-{:08x}", ambient.entropy.next_u64() >> 32);
            let authority = Authority::ensure(directory, &name, ambient)?;
            authority.ensure_signed(directory, &wanted(role), ambient)?;
        }
        let clock = TlsClock(ambient.clock.clone());
        let seen = texts(directory, role);
        let parts = RwLock::new(Arc::new(Parts::read(directory, role, &clock)?));
        let directory = directory.to_owned();
        Ok(Self(Arc::new(Shared { role, directory, clock, parts, seen: Mutex::new(seen) })))
    }

    /// What this process is.
    pub fn role(&self) -> Role {
        self.0.role
    }

    /// Looks at the files for ever, and takes what is new.
    pub async fn keep_fresh(&self) {
        loop {
            tokio::time::sleep(LOOK).await;
            self.refresh();
        }
    }

    /// Takes new certificates, if the files hold any: connections that are made from now on use them. What cannot be used is
    /// said once, and what is in force stays.
    pub fn refresh(&self) {
        let Shared { role, directory, clock, parts, seen } = &*self.0;
        let now = texts(directory, *role);
        if std::mem::replace(&mut *seen.lock(), now.clone()) == now {
            return;
        }
        match Parts::read(directory, *role, clock) {
            Ok(fresh) => {
                *parts.write() = Arc::new(fresh);
                tracing::info!(%role, "new internal certificates are in force");
            }
            Err(error) => tracing::warn!(%role, %error, "the internal certificates cannot be used: the old ones stay"),
        }
    }

    /// The same certificate, but with the other's CA and clock: who shows what the others should refuse.
    #[cfg(test)]
    pub(crate) fn trusting(&self, other: &Self) -> Self {
        let (mine, other_parts) = (self.parts(), other.parts());
        let (chain, key) = (mine.chain.clone(), mine.key.clone_key());
        let parts = RwLock::new(Arc::new(Parts { chain, key, trust: other_parts.trust.clone() }));
        let (role, directory, clock) = (self.role(), self.0.directory.clone(), other.clock().clone());
        Self(Arc::new(Shared { role, directory, clock, parts, seen: Mutex::default() }))
    }

    pub(crate) fn parts(&self) -> Arc<Parts> {
        self.0.parts.read().clone()
    }

    pub(crate) fn clock(&self) -> &TlsClock {
        &self.0.clock
    }
}

impl Parts {
    fn read(directory: &Path, role: Role, clock: &TlsClock) -> Result<Self, PkiError> {
        let (ca, own) = (files::certificate(directory, CA), files::certificate(directory, role.name()));
        let key = files::key(directory, role.name());
        let mut provider = default_provider();
        // Every byte between processes goes through it, and keys of 128 bits are as safe as these certificates.
        provider.cipher_suites.sort_by_key(|suite| suite.suite() != CipherSuite::TLS13_AES_128_GCM_SHA256);
        let provider = Arc::new(provider);
        let trusted = chain(&ca)?.swap_remove(0);
        let trust = Trust::new(trusted, provider).map_err(|error| unusable(&ca, &error))?;
        let (own_chain, secret) = (chain(&own)?, text(&key)?);
        let secret = PrivateKeyDer::from_pem_slice(secret.as_bytes()).map_err(|error| unusable(&key, &error))?;
        let checked = trust.check_role(&own_chain[0], &own_chain[1..], clock.now(), role);
        checked.map_err(|error| unusable(&own, &error))?;
        let parts = Self { chain: own_chain, key: secret, trust: Arc::new(trust) };
        // Whether the key is the certificate's, for one: while files are copied it is not.
        crate::tls::server(&parts, clock).map_err(|error| unusable(&own, &error))?;
        Ok(parts)
    }
}

/// `None` for what cannot be read.
fn texts(directory: &Path, role: Role) -> Texts {
    let (certificate, key) = (files::certificate(directory, role.name()), files::key(directory, role.name()));
    [files::certificate(directory, CA), certificate, key].map(|path| std::fs::read_to_string(path).ok())
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Never the key.
        f.debug_struct("Identity").field("role", &self.0.role).finish_non_exhaustive()
    }
}

fn wanted(role: Role) -> Wanted {
    Wanted {
        file: role.name(),
        common_name: role.name(),
        organizations: &[],
        purpose: Purpose::Peer,
        names: Vec::new(),
        uri: Some(role.uri()),
    }
}

fn text(path: &Path) -> Result<String, PkiError> {
    let missing = "it is missing, and without the CA's key none can be made: copy it from where the CA is";
    files::read_private(path)?.ok_or_else(|| unusable(path, &missing))
}

fn chain(path: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let text = text(path)?;
    let read = CertificateDer::pem_slice_iter(text.as_bytes()).collect::<Result<Vec<_>, _>>();
    match read {
        Ok(chain) if chain.is_empty() => Err(unusable(path, &"it holds no certificate")),
        Ok(chain) => Ok(chain),
        Err(error) => Err(unusable(path, &error)),
    }
}

fn unusable(path: &Path, reason: &dyn fmt::Display) -> PkiError {
    PkiError::Certificate { path: path.display().to_string(), reason: reason.to_string() }
}
