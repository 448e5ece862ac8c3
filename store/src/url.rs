//! Which store to use, as one word on a command line.

use std::fmt;
use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use crate::{Embedded, MemoryStore, OpenError, SharedStore};

/// Everything that may be written.
const KINDS: &str = "embedded:DIRECTORY (or the directory alone), fdb:CLUSTER_FILE or grpc://HOST:PORT,…";

/// Where the store is: what `--store` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreUrl {
    /// `embedded:DIR`, or a bare directory: a file of this process alone.
    Embedded(PathBuf),
    /// `fdb:CLUSTER_FILE`, with `?prefix=NAME` for several stores in one cluster.
    FoundationDb {
        /// FoundationDB's cluster file.
        cluster_file: PathBuf,
        /// What every key begins with, if not the default.
        prefix: Option<String>,
    },
    /// `grpc://host:port,…`: another process's store. Whoever has the certificates connects to it.
    Remote(Vec<String>),
    /// `memory:`: for tests. It ends with the process.
    Memory,
}

/// A word that names no store: what is wrong with it, and what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` names no store: {wrong}; expected {expected}")]
pub struct UrlError {
    url: String,
    wrong: String,
    expected: &'static str,
}

/// Why the store that was named is not used, in words for the operator.
#[derive(Debug, thiserror::Error)]
pub enum OpenUrlError {
    /// The directory's store.
    #[error(transparent)]
    Embedded(#[from] OpenError),
    /// The FoundationDB cluster.
    #[cfg(feature = "foundationdb")]
    #[error(transparent)]
    FoundationDb(#[from] crate::foundationdb::ConnectError),
    /// `fdb:` in a binary without FoundationDB.
    #[error(
        "this binary was built without FoundationDB, so `{0}` cannot be used: build it with `cargo build --release --features \
         foundationdb` on a machine that has FoundationDB's client library (libfdb_c 7.3)"
    )]
    NotBuilt(StoreUrl),
    /// `grpc://` where no remote store can be had.
    #[error("`{0}` is another process's store, and a store of this process's own is needed here")]
    Remote(StoreUrl),
}

impl OpenUrlError {
    /// Whether it may well be otherwise in a while: what is wrong is neither in the word nor in what it names.
    pub fn is_retryable(&self) -> bool {
        match self {
            #[cfg(feature = "foundationdb")]
            Self::FoundationDb(error) => error.is_retryable(),
            _ => false,
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Embedded(directory) => write!(f, "embedded:{}", directory.display()),
            Self::FoundationDb { cluster_file, prefix: None } => write!(f, "fdb:{}", cluster_file.display()),
            Self::FoundationDb { cluster_file, prefix: Some(prefix) } => {
                write!(f, "fdb:{}?prefix={prefix}", cluster_file.display())
            }
            Self::Remote(addresses) => write!(f, "grpc://{}", addresses.join(",")),
            Self::Memory => f.write_str("memory:"),
        }
    }
}

impl FromStr for StoreUrl {
    type Err = UrlError;

    fn from_str(url: &str) -> Result<Self, UrlError> {
        let wrong = |wrong: String, expected| Err(UrlError { url: url.to_owned(), wrong, expected });
        let (kind, rest) = match url.split_once(':') {
            _ if url.is_empty() => return wrong("it is empty".to_owned(), KINDS),
            // A path: what looks like a kind in it is a directory's name.
            None => return Ok(Self::Embedded(url.into())),
            Some((before, _)) if before.is_empty() || before.contains(['/', '.']) => {
                return Ok(Self::Embedded(url.into()));
            }
            Some(parts) => parts,
        };
        let parsed = match kind {
            "embedded" => (!rest.is_empty())
                .then(|| Self::Embedded(rest.into()))
                .ok_or(("the directory is missing".to_owned(), "embedded:DIRECTORY, as embedded:/var/lib/shardplane")),
            "fdb" => foundationdb(rest).map_err(|wrong| {
                (wrong, "fdb:CLUSTER_FILE, as fdb:/etc/foundationdb/fdb.cluster, then ?prefix=NAME or nothing")
            }),
            "grpc" => remote(rest)
                .map_err(|wrong| (wrong, "grpc://HOST:PORT with commas between several, as grpc://10.0.0.1:7443")),
            "memory" if rest.is_empty() => Ok(Self::Memory),
            "memory" => Err((format!("`{rest}` follows"), "memory: alone")),
            _ => Err((format!("`{kind}:` is no kind of store"), KINDS)),
        };
        parsed.or_else(|(text, expected)| wrong(text, expected))
    }
}

fn foundationdb(rest: &str) -> Result<StoreUrl, String> {
    let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
    if path.is_empty() {
        return Err("the cluster file is missing".to_owned());
    }
    if path.starts_with("//") {
        return Err("it names a host, and a cluster file does that".to_owned());
    }
    let prefix = match query.map(|query| query.split_once('=')) {
        None => None,
        Some(Some(("prefix", ""))) => return Err("the prefix is empty".to_owned()),
        Some(Some(("prefix", name))) => Some(name.to_owned()),
        Some(_) => return Err(format!("`?{}` is no option", query.unwrap_or_default())),
    };
    Ok(StoreUrl::FoundationDb { cluster_file: path.into(), prefix })
}

fn remote(rest: &str) -> Result<StoreUrl, String> {
    let addresses = rest.strip_prefix("//").ok_or("the slashes are missing")?;
    let mut all: Vec<String> = Vec::new();
    for address in addresses.split(',') {
        let host_and_port = address.rsplit_once(':').filter(|(host, _)| {
            // An address of IPv6 stands in brackets, or its last group would be taken for the port.
            let bare = host.strip_prefix('[').map_or(*host, |host| host.strip_suffix(']').unwrap_or(""));
            !bare.is_empty() && !host.contains(['/', '@']) && (bare.len() < host.len() || !host.contains(':'))
        });
        match host_and_port.map(|(_, port)| port.parse::<u16>()) {
            Some(Ok(1..)) if all.iter().any(|other| other == address) => {
                return Err(format!("`{address}` is there twice"));
            }
            Some(Ok(1..)) => all.push(address.to_owned()),
            Some(_) => return Err(format!("`{address}` has no port from 1 to 65535")),
            None => return Err(format!("`{address}` is not HOST:PORT")),
        }
    }
    Ok(StoreUrl::Remote(all))
}

/// Opens the store. A directory is made if it is not there, for its owner alone. [`StoreUrl::Remote`] is not for this
/// function: whoever has the certificates looks for it first.
pub async fn open(url: &StoreUrl) -> Result<SharedStore, OpenUrlError> {
    match url {
        StoreUrl::Embedded(directory) => {
            let directory = directory.clone();
            let opened = tokio::task::spawn_blocking(move || {
                let made = DirBuilder::new().recursive(true).mode(0o700).create(&directory);
                let io = |error: std::io::Error| OpenError::Io {
                    path: directory.display().to_string(),
                    error: error.to_string(),
                };
                made.map_err(io).and_then(|()| Embedded::open(&directory))
            });
            Ok(Arc::new(opened.await.expect("opening does not panic")?))
        }
        #[cfg(feature = "foundationdb")]
        StoreUrl::FoundationDb { cluster_file, prefix } => {
            let mut options = crate::foundationdb::Options::new(cluster_file);
            if let Some(prefix) = prefix {
                options.prefix = prefix.clone().into_bytes().into();
            }
            Ok(Arc::new(crate::foundationdb::FoundationDb::open(options).await?))
        }
        #[cfg(not(feature = "foundationdb"))]
        StoreUrl::FoundationDb { .. } => Err(OpenUrlError::NotBuilt(url.clone())),
        StoreUrl::Remote(_) => Err(OpenUrlError::Remote(url.clone())),
        StoreUrl::Memory => Ok(Arc::new(MemoryStore::new())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fdb(path: &str, prefix: Option<&str>) -> StoreUrl {
        StoreUrl::FoundationDb { cluster_file: path.into(), prefix: prefix.map(str::to_owned) }
    }

    #[test]
    fn each_kind_is_understood_and_shown_as_it_was_written() {
        for (text, url, shown) in [
            ("/var/lib/x", StoreUrl::Embedded("/var/lib/x".into()), "embedded:/var/lib/x"),
            ("data", StoreUrl::Embedded("data".into()), "embedded:data"),
            ("./fdb:x", StoreUrl::Embedded("./fdb:x".into()), "embedded:./fdb:x"),
            ("embedded:a:b", StoreUrl::Embedded("a:b".into()), "embedded:a:b"),
            ("fdb:/etc/fdb.cluster", fdb("/etc/fdb.cluster", None), "fdb:/etc/fdb.cluster"),
            ("fdb:x?prefix=blue", fdb("x", Some("blue")), "fdb:x?prefix=blue"),
            ("grpc://a:1,[::1]:2", StoreUrl::Remote(vec!["a:1".into(), "[::1]:2".into()]), "grpc://a:1,[::1]:2"),
            ("memory:", StoreUrl::Memory, "memory:"),
        ] {
            let parsed: StoreUrl = text.parse().expect(text);
            assert_eq!(parsed, url);
            assert_eq!(parsed.to_string(), shown);
            assert_eq!(shown.parse::<StoreUrl>().expect(shown), url);
        }
    }

    #[test]
    fn what_is_wrong_is_named_with_what_is_expected() {
        for (text, wrong, expected) in [
            ("", "empty", "fdb:CLUSTER_FILE"),
            ("etcd:http", "`etcd:` is no kind", "grpc://HOST:PORT"),
            ("https://10.0.0.1:2379", "`https:` is no kind", "grpc://HOST:PORT"),
            ("FDB:/etc/fdb.cluster", "`FDB:` is no kind", "fdb:CLUSTER_FILE"),
            ("embedded:", "the directory is missing", "embedded:DIRECTORY"),
            ("fdb:", "the cluster file is missing", "fdb:/etc/foundationdb/fdb.cluster"),
            ("fdb:?prefix=a", "the cluster file is missing", "fdb:CLUSTER_FILE"),
            ("fdb://10.0.0.1:4500", "names a host", "fdb:CLUSTER_FILE"),
            ("fdb:x?prefix=", "the prefix is empty", "?prefix=NAME"),
            ("fdb:x?tenant=a", "`?tenant=a` is no option", "?prefix=NAME"),
            ("grpc:10.0.0.1:7443", "slashes are missing", "grpc://HOST:PORT"),
            ("grpc://", "`` is not HOST:PORT", "grpc://10.0.0.1:7443"),
            ("grpc://10.0.0.1", "`10.0.0.1` is not HOST:PORT", "grpc://10.0.0.1:7443"),
            ("grpc://::1:70", "`::1:70` is not HOST:PORT", "grpc://10.0.0.1:7443"),
            ("grpc://a:0", "`a:0` has no port", "grpc://10.0.0.1:7443"),
            ("grpc://a:1/", "`a:1/` has no port", "grpc://10.0.0.1:7443"),
            ("grpc://a:1,", "`` is not HOST:PORT", "grpc://10.0.0.1:7443"),
            ("grpc://a:1,a:1", "`a:1` is there twice", "grpc://10.0.0.1:7443"),
            ("memory:x", "`x` follows", "memory: alone"),
        ] {
            let error = text.parse::<StoreUrl>().expect_err(text).to_string();
            assert!(error.contains(wrong) && error.contains(expected), "{text}: {error}");
        }
    }

    #[tokio::test]
    async fn a_directory_is_made_for_its_owner_alone() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        let url = StoreUrl::Embedded(directory.clone());
        let store = open(&url).await.unwrap();
        store.ping().await.unwrap();
        assert_eq!(std::fs::metadata(&directory).unwrap().permissions().mode() & 0o777, 0o700);
        let second = open(&url).await.err().expect("it is in use").to_string();
        assert!(second.contains("in use"), "{second}");
        let file = root.path().join("file");
        std::fs::write(&file, "").unwrap();
        let error = open(&StoreUrl::Embedded(file.clone())).await.err().expect("a file is no directory").to_string();
        assert!(error.contains(file.to_str().unwrap()), "{error}");
    }

    #[tokio::test]
    async fn what_cannot_be_opened_says_why() {
        let error = open(&"grpc://a:1".parse().unwrap()).await.err().unwrap().to_string();
        assert!(error.contains("grpc://a:1"), "{error}");
        let error = open(&"fdb:/nonexistent/fdb.cluster".parse().unwrap()).await.err().unwrap().to_string();
        let named = if cfg!(feature = "foundationdb") { "cannot be read" } else { "--features foundationdb" };
        assert!(error.contains("/nonexistent/fdb.cluster") && error.contains(named), "{error}");
    }
}
