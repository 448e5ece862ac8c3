//! Certificates that change on disk: connections that are made from then on use the new ones.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use tokio_rustls::TlsAcceptor;

use super::{ServeError, TlsFiles, server};

/// How often the files are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// What connections are accepted with.
pub(super) struct Fresh {
    files: TlsFiles,
    client_ca: Option<PathBuf>,
    current: RwLock<TlsAcceptor>,
}

/// Certificate, key, and the CA of clients; `None` for what cannot be read.
type Texts = [Option<Vec<u8>>; 3];

impl Fresh {
    pub(super) fn new(files: TlsFiles, client_ca: Option<&Path>) -> Result<Self, ServeError> {
        let current = RwLock::new(acceptor(&files, client_ca)?);
        Ok(Self { files, client_ca: client_ca.map(Path::to_owned), current })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        self.current.read().clone()
    }

    /// Looks at the files for ever.
    pub(super) async fn keep(&self) -> std::convert::Infallible {
        let mut seen = self.texts();
        loop {
            tokio::time::sleep(LOOK).await;
            self.look(&mut seen);
        }
    }

    /// Takes what is new, if it can be used. What cannot is said once, and what is in force stays: while files are copied, the key
    /// is not yet the certificate's.
    fn look(&self, seen: &mut Texts) {
        let now = self.texts();
        if std::mem::replace(seen, now.clone()) == now {
            return;
        }
        match acceptor(&self.files, self.client_ca.as_deref()) {
            Ok(fresh) => {
                *self.current.write() = fresh;
                tracing::info!("a new serving certificate or CA of clients is in force");
            }
            Err(error) => tracing::warn!(%error, "the old certificates stay in force"),
        }
    }

    fn texts(&self) -> Texts {
        let paths = [Some(&self.files.certificate), Some(&self.files.key), self.client_ca.as_ref()];
        paths.map(|path| std::fs::read(path?).ok())
    }
}

fn acceptor(files: &TlsFiles, client_ca: Option<&Path>) -> Result<TlsAcceptor, ServeError> {
    Ok(TlsAcceptor::from(Arc::new(server::config(files, client_ca)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::Pki;
    use crate::testing::ambient;

    #[test]
    fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
        let (one, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (mine, theirs) =
            [&one, &other].map(|directory| Pki::ensure(directory.path(), &[], &ambient()).unwrap()).into();
        let ca = mine.ca();
        let fresh = Fresh::new(mine.server(), Some(&ca)).unwrap();
        let in_force = || Arc::as_ptr(fresh.acceptor().config());
        let (first, mut seen) = (in_force(), fresh.texts());
        fresh.look(&mut seen);
        assert_eq!(in_force(), first, "nothing has changed");
        // The certificate is copied before its key.
        std::fs::copy(theirs.server().certificate, mine.server().certificate).unwrap();
        fresh.look(&mut seen);
        assert_eq!(in_force(), first, "the key is another's");
        std::fs::copy(theirs.server().key, mine.server().key).unwrap();
        fresh.look(&mut seen);
        let second = in_force();
        assert_ne!(second, first);
        std::fs::write(&ca, "no certificate").unwrap();
        fresh.look(&mut seen);
        assert_eq!(in_force(), second);
        std::fs::copy(theirs.ca(), &ca).unwrap();
        fresh.look(&mut seen);
        assert_ne!(in_force(), second);
    }
}
