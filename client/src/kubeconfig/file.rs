//! The file format, as `kubectl config` writes it.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{Authorization, Exec, Identity, KubeconfigError, Scheme, Target, certificates, identity, read};

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
pub(super) struct Config {
    current_context: Option<String>,
    clusters: Option<Vec<NamedCluster>>,
    users: Option<Vec<NamedUser>>,
    contexts: Option<Vec<NamedContext>>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
    #[serde(skip)]
    folder: PathBuf,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Cluster {
    server: String,
    tls_server_name: Option<String>,
    insecure_skip_tls_verify: Option<bool>,
    certificate_authority: Option<String>,
    certificate_authority_data: Option<String>,
    proxy_url: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct User {
    client_certificate: Option<String>,
    client_certificate_data: Option<String>,
    client_key: Option<String>,
    client_key_data: Option<String>,
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<String>,
    username: Option<String>,
    password: Option<String>,
    #[serde(rename = "as")]
    impersonate: Option<String>,
    auth_provider: Option<serde::de::IgnoredAny>,
    exec: Option<Exec>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Context {
    cluster: String,
    user: String,
    namespace: Option<String>,
}

impl Config {
    pub(super) fn read(path: &Path) -> Result<Self, KubeconfigError> {
        let text =
            String::from_utf8(read(path)?).map_err(|_| KubeconfigError(format!("{} is no text", path.display())))?;
        let folder = path.parent().unwrap_or_else(|| Path::new(""));
        Self::parse(&text, folder).map_err(|error| KubeconfigError(format!("{}: {error}", path.display())))
    }

    pub(super) fn parse(text: &str, folder: &Path) -> Result<Self, KubeconfigError> {
        let mut config: Self =
            serde_saphyr::from_str(text).map_err(|error| KubeconfigError(format!("not a kubeconfig: {error}")))?;
        config.clusters.iter_mut().flatten().for_each(|entry| entry.folder = folder.to_owned());
        config.users.iter_mut().flatten().for_each(|entry| entry.folder = folder.to_owned());
        Ok(config)
    }

    /// Adds what a later file says; what is already there wins.
    pub(super) fn merge(&mut self, later: Self) {
        if self.current_context.as_deref().unwrap_or_default().is_empty() {
            self.current_context = later.current_context;
        }
        self.clusters.get_or_insert_default().extend(later.clusters.unwrap_or_default());
        self.users.get_or_insert_default().extend(later.users.unwrap_or_default());
        self.contexts.get_or_insert_default().extend(later.contexts.unwrap_or_default());
    }

    pub(super) fn target(&self, context: Option<&str>) -> Result<Target, KubeconfigError> {
        let wanted = context.or(self.current_context.as_deref()).filter(|name| !name.is_empty());
        let wanted = wanted.ok_or_else(|| KubeconfigError::new("there is no current-context"))?;
        let context = self.contexts.iter().flatten().find(|entry| entry.name == wanted);
        let context = &context.ok_or_else(|| missing("context", wanted))?.context;
        let cluster = self.clusters.iter().flatten().find(|entry| entry.name == context.cluster);
        let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?;
        let user = self.users.iter().flatten().find(|entry| entry.name == context.user);
        if user.is_none() && !context.user.is_empty() {
            return Err(missing("user", &context.user));
        }
        let mut target = cluster.cluster.target(&cluster.folder)?;
        if let Some(user) = user {
            target.identity = user.user.identity(&user.folder)?;
            target.authorization = user.user.authorization(&user.folder)?;
        }
        if let Some(namespace) = context.namespace.as_deref().filter(|namespace| !namespace.is_empty()) {
            target.namespace = namespace.to_owned();
        }
        Ok(target)
    }
}

fn missing(what: &str, name: &str) -> KubeconfigError {
    KubeconfigError(format!("{what} {name:?} does not exist"))
}

impl Cluster {
    fn target(&self, folder: &Path) -> Result<Target, KubeconfigError> {
        if filled(&self.proxy_url).is_some() {
            return Err(KubeconfigError::new("proxy-url is not supported: connect without a proxy"));
        }
        let text = if self.server.contains("://") { self.server.clone() } else { format!("http://{}", self.server) };
        let bad = || KubeconfigError(format!("server {:?} is no URL", self.server));
        let url: http::Uri = text.parse().map_err(|_| bad())?;
        let (scheme, port) = match url.scheme_str() {
            Some("https") => (Scheme::Https, 443),
            Some("http") => (Scheme::Http, 80),
            _ => return Err(bad()),
        };
        let host = url.host().filter(|host| !host.is_empty()).ok_or_else(bad)?;
        let ca = pem(&self.certificate_authority_data, &self.certificate_authority, folder)?;
        let insecure = self.insecure_skip_tls_verify.unwrap_or(false);
        if insecure && ca.is_some() {
            let message = "a CA and insecure-skip-tls-verify exclude each other: remove one of them";
            return Err(KubeconfigError::new(message));
        }
        Ok(Target {
            scheme,
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            port: url.port_u16().unwrap_or(port),
            prefix: url.path().trim_end_matches('/').to_owned(),
            ca: ca.map_or_else(|| Ok(Vec::new()), |ca| certificates(&ca, "the certificate authority"))?,
            insecure,
            tls_server_name: filled(&self.tls_server_name).map(str::to_owned),
            identity: None,
            authorization: Authorization::None,
            namespace: "default".to_owned(),
        })
    }
}

impl User {
    fn identity(&self, folder: &Path) -> Result<Option<Identity>, KubeconfigError> {
        let certificate = pem(&self.client_certificate_data, &self.client_certificate, folder)?;
        let key = pem(&self.client_key_data, &self.client_key, folder)?;
        match (certificate, key) {
            (Some(certificate), Some(key)) => identity(&certificate, &key).map(Some),
            (None, None) => Ok(None),
            _ => Err(KubeconfigError::new("client-certificate and client-key go together")),
        }
    }

    fn authorization(&self, folder: &Path) -> Result<Authorization, KubeconfigError> {
        if filled(&self.impersonate).is_some() {
            return Err(KubeconfigError::new("impersonation (as) is not supported"));
        }
        if self.auth_provider.is_some() {
            return Err(KubeconfigError::new("auth-provider was removed from Kubernetes: use exec"));
        }
        if let Some(exec) = &self.exec {
            return Ok(Authorization::Exec(Box::new(exec.clone().checked(folder)?)));
        }
        if let Some(file) = filled(&self.token_file) {
            return Ok(Authorization::TokenFile(folder.join(file)));
        }
        if let Some(token) = filled(&self.token) {
            return Ok(Authorization::Token(token.to_owned()));
        }
        Ok(match filled(&self.username) {
            Some(user) => Authorization::Basic(user.to_owned(), self.password.clone().unwrap_or_default()),
            None => Authorization::None,
        })
    }
}

fn filled(text: &Option<String>) -> Option<&str> {
    text.as_deref().filter(|text| !text.is_empty())
}

/// The PEM text of inline data, or of a file.
fn pem(data: &Option<String>, file: &Option<String>, folder: &Path) -> Result<Option<Vec<u8>>, KubeconfigError> {
    if let Some(data) = filled(data) {
        let data = STANDARD.decode(data.trim());
        return data.map(Some).map_err(|error| KubeconfigError(format!("a …-data field is no base64: {error}")));
    }
    filled(file).map(|file| read(&folder.join(file))).transpose()
}
