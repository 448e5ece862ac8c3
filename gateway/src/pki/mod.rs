//! The cluster's own CA and the certificates that it signs, made on first start and kept in one directory.
//!
//! Keys are P-256; files have mode 0600, the directory 0700 (DESIGN D12). A file is written beside its place and renamed,
//! so that a crash leaves the old one or the new one. A certificate is made anew when it is about to expire, when it
//! lacks a name that it needs, or when it does not belong to its key or CA. Start reading at [`Pki::ensure`].

use std::path::{Path, PathBuf};

use api::ambient::Ambient;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use wire::pki::{Authority, Purpose, Wanted, files};

pub use wire::pki::{PkiError, write_private};

use crate::config::FrontProxy;
use crate::tls::TlsFiles;

/// The credentials of a cluster, on disk.
#[derive(Clone, Debug)]
pub struct Pki {
    directory: PathBuf,
}

/// Names under which every API server is reached from within its cluster, and from its own machine.
const SERVER_NAMES: [&str; 9] = [
    "localhost",
    "127.0.0.1",
    "::1",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    // The first address of the default service network: the `kubernetes` Service.
    "10.96.0.1",
    "shardplane",
];

impl Pki {
    /// Makes what is missing or unusable in `directory`. `reached_at` are more names and addresses of the gateway: what
    /// it listens on, the machine's name. Unspecified addresses (`0.0.0.0`) in it are left out.
    pub fn ensure(directory: &Path, reached_at: &[String], ambient: &Ambient) -> Result<Self, PkiError> {
        files::protect_directory(directory)?;
        let authority = Authority::ensure(directory, "shardplane-ca", ambient)?;
        let mut server: Vec<String> = SERVER_NAMES.map(str::to_owned).into();
        let unspecified = |name: &str| name.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_unspecified());
        for name in reached_at.iter().filter(|name| !name.is_empty() && !unspecified(name)) {
            if !server.contains(name) {
                server.push(name.clone());
            }
        }
        let local = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).into();
        let all = [
            wanted(SERVER, "kube-apiserver", &[], Purpose::Server, server),
            wanted(ADMIN, "kubernetes-admin", &["system:masters"], Purpose::Client, Vec::new()),
            wanted(KUBELET_CLIENT, "kube-apiserver-kubelet-client", &[], Purpose::Client, Vec::new()),
            wanted(FLEET, "shardplane-fleet", &[], Purpose::Server, local),
        ];
        for wanted in &all {
            authority.ensure_signed(directory, wanted, ambient)?;
        }
        // Whoever has a certificate of this CA may say who somebody else is: it is apart from the others.
        let apart = directory.join(FRONT_PROXY);
        files::protect_directory(&apart)?;
        let authority = Authority::ensure(&apart, "shardplane-front-proxy-ca", ambient)?;
        let client = wanted(CLIENT, shards::FRONT_PROXY_NAME, &[], Purpose::Client, Vec::new());
        authority.ensure_signed(&apart, &client, ambient)?;
        Ok(Self { directory: directory.to_owned() })
    }

    /// The CA's certificate: clients trust it, and client certificates are signed by it.
    pub fn ca(&self) -> PathBuf {
        files::certificate(&self.directory, wire::pki::CA)
    }

    /// The CA's certificate as PEM text, for clients in this process.
    pub fn ca_pem(&self) -> Result<String, PkiError> {
        files::read(&self.ca())
    }

    /// What the gateway serves with.
    pub fn server(&self) -> TlsFiles {
        self.pair(SERVER)
    }

    /// With which the gateway shows kubelets who it is.
    pub fn kubelet_client(&self) -> TlsFiles {
        self.pair(KUBELET_CLIENT)
    }

    /// With which the gateway tells aggregated API servers who asks.
    pub fn front_proxy(&self) -> Result<FrontProxy, PkiError> {
        let apart = self.directory.join(FRONT_PROXY);
        Ok(FrontProxy {
            certificate: files::certificate(&apart, CLIENT),
            key: files::key(&apart, CLIENT),
            ca: files::read(&files::certificate(&apart, wire::pki::CA))?,
        })
    }

    /// What the simulated fleet serves logs with.
    pub fn fleet(&self) -> TlsFiles {
        self.pair(FLEET)
    }

    /// The administrator's client certificate (`system:masters`).
    pub fn admin(&self) -> TlsFiles {
        self.pair(ADMIN)
    }

    fn pair(&self, name: &str) -> TlsFiles {
        TlsFiles { certificate: files::certificate(&self.directory, name), key: files::key(&self.directory, name) }
    }

    /// A kubeconfig for the administrator, with everything in it. It holds a key: write it with [`write_private`].
    pub fn kubeconfig(&self, server_url: &str) -> Result<String, PkiError> {
        let data = |path: &Path| files::read(path).map(|text| BASE64_STANDARD.encode(text));
        let admin = self.admin();
        let (ca, certificate, key) = (data(&self.ca())?, data(&admin.certificate)?, data(&admin.key)?);
        Ok(format!(
            "apiVersion: v1\n\
             kind: Config\n\
             clusters:\n\
             - name: shardplane\n  cluster:\n    server: {server_url}\n    certificate-authority-data: {ca}\n\
             users:\n\
             - name: kubernetes-admin\n  user:\n    client-certificate-data: {certificate}\n    client-key-data: {key}\n\
             contexts:\n\
             - name: shardplane\n  context:\n    cluster: shardplane\n    user: kubernetes-admin\n\
             current-context: shardplane\n"
        ))
    }
}

fn wanted(
    file: &'static str,
    common_name: &'static str,
    organizations: &'static [&'static str],
    purpose: Purpose,
    names: Vec<String>,
) -> Wanted {
    Wanted { file, common_name, organizations, purpose, names, uri: None }
}

const SERVER: &str = "apiserver";
const ADMIN: &str = "admin";
const KUBELET_CLIENT: &str = "apiserver-kubelet-client";
const FLEET: &str = "fleet";
/// A directory.
const FRONT_PROXY: &str = "front-proxy";
const CLIENT: &str = "client";

#[cfg(test)]
mod tests;
