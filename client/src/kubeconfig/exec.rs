//! Credential plugins (client.authentication.k8s.io): a program that prints an ExecCredential.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use tokio::io::AsyncReadExt;
use tokio::process::Command;
use tokio::time::timeout;

use super::{Identity, KubeconfigError, identity};

/// How long the program may run.
const RUN_TIME: Duration = Duration::from_secs(60);
/// The longest answer that is read.
const LONGEST: u64 = 1 << 20;

/// `users[].user.exec`
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Exec {
    /// The version of the protocol: v1 or v1beta1.
    pub api_version: String,
    /// The program.
    pub command: String,
    /// Its arguments.
    #[serde(default)]
    pub args: Option<Vec<String>>,
    /// Added to its environment.
    #[serde(default)]
    pub env: Option<Vec<ExecEnv>>,
    /// `Always` is refused: nobody is there to answer.
    #[serde(default)]
    pub interactive_mode: Option<String>,
    /// Whether it wants to know the cluster; refused.
    #[serde(default)]
    pub provide_cluster_info: bool,
}

/// One variable of [`Exec::env`].
#[derive(Clone, Debug, Deserialize)]
pub struct ExecEnv {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// What the program gave.
#[derive(Clone, Debug)]
pub struct ExecCredential {
    /// A bearer token.
    pub token: Option<String>,
    /// A client certificate.
    pub identity: Option<Identity>,
    /// Until when, as microseconds since 1970; `None`: as long as the process runs.
    pub expires: Option<i64>,
}

#[derive(Deserialize)]
struct WireCredential {
    status: Option<WireStatus>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WireStatus {
    token: Option<String>,
    client_certificate_data: Option<String>,
    client_key_data: Option<String>,
    expiration_timestamp: Option<String>,
}

impl Exec {
    /// Refuses what cannot be honoured, and finds a relative program beside the file.
    pub(super) fn checked(mut self, folder: &Path) -> Result<Self, KubeconfigError> {
        let version = self.api_version.strip_prefix("client.authentication.k8s.io/");
        if !matches!(version, Some("v1" | "v1beta1")) {
            return Err(KubeconfigError(format!("exec: apiVersion {:?} is not supported", self.api_version)));
        }
        if self.interactive_mode.as_deref() == Some("Always") {
            return Err(KubeconfigError::new("exec: interactiveMode Always is not supported"));
        }
        if self.provide_cluster_info {
            return Err(KubeconfigError::new("exec: provideClusterInfo is not supported"));
        }
        if self.command.contains('/') {
            self.command = folder.join(&self.command).to_string_lossy().into_owned();
        }
        Ok(self)
    }

    /// Runs the program. It is killed when it takes longer than a minute, or when this is cancelled.
    pub async fn run(&self) -> Result<ExecCredential, KubeconfigError> {
        let failed = |what: String| KubeconfigError(format!("exec: {} {what}", self.command));
        let info = json!({"kind": "ExecCredential", "apiVersion": self.api_version, "spec": {"interactive": false}});
        let mut command = Command::new(&self.command);
        command.args(self.args.iter().flatten()).env("KUBERNETES_EXEC_INFO", info.to_string());
        command.envs(self.env.iter().flatten().map(|entry| (&entry.name, &entry.value)));
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
        let mut child = command.spawn().map_err(|error| failed(format!("cannot be started: {error}")))?;
        let output = child.stdout.take().ok_or_else(|| failed("has no output".into()))?;
        let run = async {
            let mut text = Vec::new();
            output.take(LONGEST).read_to_end(&mut text).await?;
            Ok::<_, std::io::Error>((text, child.wait().await?))
        };
        let (text, status) = match timeout(RUN_TIME, run).await {
            Ok(Ok(done)) => done,
            Ok(Err(error)) => return Err(failed(format!("failed: {error}"))),
            Err(_) => return Err(failed(format!("did not end within {} s", RUN_TIME.as_secs()))),
        };
        if !status.success() {
            return Err(failed(format!("failed: {status}")));
        }
        self.read(&text).map_err(|KubeconfigError(what)| failed(what))
    }

    fn read(&self, text: &[u8]) -> Result<ExecCredential, KubeconfigError> {
        // The text holds secrets: it is not quoted.
        let credential: WireCredential =
            serde_json::from_slice(text).map_err(|_| KubeconfigError::new("did not print an ExecCredential"))?;
        let status = credential.status.ok_or_else(|| KubeconfigError::new("gave no status"))?;
        let identity = match (status.client_certificate_data, status.client_key_data) {
            (Some(certificate), Some(key)) => Some(identity(certificate.as_bytes(), key.as_bytes())?),
            _ => None,
        };
        if status.token.is_none() && identity.is_none() {
            return Err(KubeconfigError::new("gave neither a token nor a certificate"));
        }
        let expires = status.expiration_timestamp.and_then(|text| api::time::parse(&text));
        Ok(ExecCredential { token: status.token, identity, expires })
    }
}
