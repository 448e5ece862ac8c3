//! kubeconfig files: which server, which CA, which credentials.
//!
//! [`load`] finds them as kubectl does: the file that is given, else $KUBECONFIG (several files, the first that says
//! something wins), else `~/.kube/config`, else the service account of the pod that this runs in. The result is a
//! [`Target`]; what cannot be honoured (proxy-url, impersonation, auth-provider) is refused, never left out in silence.

mod exec;
mod file;

use std::fmt;
use std::path::{Path, PathBuf};

use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

pub use exec::Exec;

/// Why there is no usable [`Target`].
#[derive(Clone, Debug, thiserror::Error)]
#[error("{0}")]
pub struct KubeconfigError(pub String);

impl KubeconfigError {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// A server and what is shown to it.
#[derive(Clone, Debug)]
pub struct Target {
    /// `https` or `http`.
    pub scheme: Scheme,
    /// Name or address, without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
    /// What stands in front of every path, without a slash at the end; usually empty.
    pub prefix: String,
    /// The CA to trust; empty: the machine's.
    pub ca: Vec<CertificateDer<'static>>,
    /// insecure-skip-tls-verify
    pub insecure: bool,
    /// tls-server-name: the name to ask for and to check, where it is not the host.
    pub tls_server_name: Option<String>,
    /// Client certificate.
    pub identity: Option<Identity>,
    /// What the Authorization header says.
    pub authorization: Authorization,
    /// The context's namespace; `default` where it has none.
    pub namespace: String,
}

/// How the connection is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// TLS.
    Https,
    /// Plain, as `kubectl proxy` has it.
    Http,
}

/// A client certificate with its key.
pub struct Identity {
    /// The certificate, then what leads to the CA.
    pub chain: Vec<CertificateDer<'static>>,
    /// Its private key.
    pub key: PrivateKeyDer<'static>,
}

impl Clone for Identity {
    fn clone(&self) -> Self {
        Self { chain: self.chain.clone(), key: self.key.clone_key() }
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity(…)")
    }
}

/// What the Authorization header says.
#[derive(Clone, Default)]
pub enum Authorization {
    /// Nothing.
    #[default]
    None,
    /// A bearer token.
    Token(String),
    /// A bearer token that is read from a file, anew every minute: service account tokens rotate.
    TokenFile(PathBuf),
    /// User and password.
    Basic(String, String),
    /// Asked of a program.
    Exec(Box<Exec>),
}

impl fmt::Debug for Authorization {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::TokenFile(_) => "TokenFile(…)",
            Self::Basic(..) => "Basic(…)",
            Self::Exec(_) => "Exec(…)",
        })
    }
}

/// The mount of a pod's service account.
const SERVICE_ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";

/// The target of `file` (or of where kubectl would look) and of `context` (or of current-context).
pub fn load(file: Option<&Path>, context: Option<&str>) -> Result<Target, KubeconfigError> {
    if let Some(file) = file {
        return file::Config::read(file)?.target(context);
    }
    let listed = std::env::var_os("KUBECONFIG").filter(|paths| !paths.is_empty());
    let mut paths: Vec<PathBuf> = listed.iter().flat_map(std::env::split_paths).collect();
    paths.retain(|path| !path.as_os_str().is_empty() && path.exists());
    if paths.is_empty() && listed.is_none() {
        let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".kube/config"));
        paths.extend(home.filter(|path| path.exists()));
    }
    if paths.is_empty() {
        return in_cluster(Path::new(SERVICE_ACCOUNT), |name| std::env::var(name).ok());
    }
    let mut merged = file::Config::default();
    for path in &paths {
        merged.merge(file::Config::read(path)?);
    }
    merged.target(context)
}

/// The target that kubeconfig text describes; relative paths in it are taken from `folder`.
pub fn parse(text: &str, folder: &Path, context: Option<&str>) -> Result<Target, KubeconfigError> {
    file::Config::parse(text, folder)?.target(context)
}

fn in_cluster(folder: &Path, env: impl Fn(&str) -> Option<String>) -> Result<Target, KubeconfigError> {
    let (Some(host), Some(port)) = (env("KUBERNETES_SERVICE_HOST"), env("KUBERNETES_SERVICE_PORT")) else {
        let message = "no kubeconfig: give --kubeconfig, set $KUBECONFIG, or write ~/.kube/config";
        return Err(KubeconfigError::new(message));
    };
    let port = port.parse().map_err(|_| KubeconfigError::new("KUBERNETES_SERVICE_PORT is no port"))?;
    let ca = certificates(&read(&folder.join("ca.crt"))?, "the service account's ca.crt")?;
    let namespace = read(&folder.join("namespace")).ok().and_then(|text| String::from_utf8(text).ok());
    Ok(Target {
        scheme: Scheme::Https,
        host,
        port,
        prefix: String::new(),
        ca,
        insecure: false,
        tls_server_name: None,
        identity: None,
        authorization: Authorization::TokenFile(folder.join("token")),
        namespace: namespace.map_or_else(|| "default".to_owned(), |text| text.trim().to_owned()),
    })
}

fn read(path: &Path) -> Result<Vec<u8>, KubeconfigError> {
    std::fs::read(path).map_err(|error| KubeconfigError(format!("{} cannot be read: {error}", path.display())))
}

fn certificates(pem: &[u8], what: &str) -> Result<Vec<CertificateDer<'static>>, KubeconfigError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(KubeconfigError(format!("{what} holds no certificate"))),
        Err(error) => Err(KubeconfigError(format!("{what} is no PEM: {error}"))),
    }
}

fn identity(certificate: &[u8], key: &[u8]) -> Result<Identity, KubeconfigError> {
    let chain = certificates(certificate, "the client certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|error| KubeconfigError(format!("the client key is no PEM: {error}")))?;
    Ok(Identity { chain, key })
}

#[cfg(test)]
mod tests;
