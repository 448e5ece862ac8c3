//! What is shown to the server: a client certificate in the handshake, a token in a header. Both may come from a program
//! and expire.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::ClientConfig;
use tokio::sync::Mutex;

use super::{HttpsError, tls};
use crate::kubeconfig::{Authorization, Exec, Target};

/// How long a token file's content is used.
const FILE_AGE: Duration = Duration::from_secs(60);
/// How long before it expires a program's credential is fetched anew.
const EARLY_MICROS: i64 = 10_000_000;
/// How long a program's failure is repeated to everyone who asks, so that it is not run in a loop.
const FAILURE_AGE: Duration = Duration::from_secs(5);

pub(super) struct Credentials {
    target: Target,
    http2: bool,
    ambient: Ambient,
    /// Of the target as it stands.
    tls: Arc<ClientConfig>,
    header: Option<String>,
    fetched: Mutex<Option<Fetched>>,
}

#[derive(Clone)]
struct Fetched {
    outcome: Result<Given, String>,
    /// On the boot clock.
    at: Duration,
    expires: Option<i64>,
}

#[derive(Clone)]
struct Given {
    token: Option<String>,
    tls: Option<Arc<ClientConfig>>,
}

impl Credentials {
    pub(super) fn new(target: &Target, http2: bool, ambient: Ambient) -> Result<Self, HttpsError> {
        let tls = Arc::new(tls::config(target, target.identity.as_ref(), http2)?);
        let header = match &target.authorization {
            Authorization::Token(token) => Some(format!("Bearer {token}")),
            Authorization::Basic(user, password) => {
                Some(format!("Basic {}", STANDARD.encode(format!("{user}:{password}"))))
            }
            Authorization::None | Authorization::TokenFile(_) | Authorization::Exec(_) => None,
        };
        Ok(Self { target: target.clone(), http2, ambient, tls, header, fetched: Mutex::new(None) })
    }

    /// The value of the Authorization header.
    pub(super) async fn authorization(&self) -> Result<Option<String>, String> {
        let fetched = match &self.target.authorization {
            Authorization::TokenFile(file) => self.file(file).await?,
            Authorization::Exec(exec) => self.exec(exec).await?,
            Authorization::None | Authorization::Token(_) | Authorization::Basic(..) => return Ok(self.header.clone()),
        };
        Ok(fetched.token.map(|token| format!("Bearer {token}")))
    }

    /// What the handshake is made with.
    pub(super) async fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let given = match &self.target.authorization {
            Authorization::Exec(exec) => self.exec(exec).await?.tls,
            _ => None,
        };
        Ok(given.unwrap_or_else(|| self.tls.clone()))
    }

    async fn file(&self, file: &Path) -> Result<Given, String> {
        let now = self.ambient.clock.boot();
        let mut fetched = self.fetched.lock().await;
        match &*fetched {
            Some(fetched) if now.saturating_sub(fetched.at) < FILE_AGE => return fetched.outcome.clone(),
            _ => {}
        }
        let text = tokio::fs::read_to_string(file).await;
        let text = text.map_err(|error| format!("the token file {} cannot be read: {error}", file.display()))?;
        let given = Given { token: Some(text.trim().to_owned()), tls: None };
        *fetched = Some(Fetched { outcome: Ok(given.clone()), at: now, expires: None });
        Ok(given)
    }

    async fn exec(&self, exec: &Exec) -> Result<Given, String> {
        let mut fetched = self.fetched.lock().await;
        if let Some(fetched) = &*fetched {
            let fresh = match &fetched.outcome {
                Ok(_) => fetched.expires.is_none_or(|at| self.ambient.clock.wall_micros() + EARLY_MICROS < at),
                Err(_) => self.ambient.clock.boot().saturating_sub(fetched.at) < FAILURE_AGE,
            };
            if fresh {
                return fetched.outcome.clone();
            }
        }
        let (outcome, expires) = match exec.run().await {
            Ok(credential) => {
                let tls = credential.identity.map(|identity| tls::config(&self.target, Some(&identity), self.http2));
                let tls = tls.transpose().map_err(|error| error.to_string());
                (tls.map(|tls| Given { token: credential.token, tls: tls.map(Arc::new) }), credential.expires)
            }
            Err(error) => (Err(error.to_string()), None),
        };
        *fetched = Some(Fetched { outcome: outcome.clone(), at: self.ambient.clock.boot(), expires });
        outcome
    }
}
