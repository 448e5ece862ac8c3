//! What the hosts of one world have in common, and what each start of one has for itself.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use ::gateway::pki::Pki;
use api::Registry;
use api::ambient::Ambient;
use api::builtin::{RuntimeConfig, registry};
use client::kubeconfig::{self, Target};
use parking_lot::Mutex;
use shards::ShardOptions;
use shards::rpc::client::Calling;
use simulation::Seeded;
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;
use wire::{Identity, Role};
use xxhash_rust::xxh3::xxh3_64;

use crate::clock::{self, HostClock};
use crate::net::{Network, TIMING};
use crate::planted::Bug;

/// Shards.
pub(crate) const SHARDS: u16 = 3;
/// Gateways.
pub(crate) const GATEWAYS: u16 = 2;
/// The port that each host serves.
pub(crate) const PORT: u16 = 7000;
pub(crate) const STORE: &str = "store";
pub(crate) const CLIENTS: &str = "clients";

pub(crate) fn shard(ordinal: u16) -> String {
    format!("shard-{ordinal}")
}

pub(crate) fn gateway(number: u16) -> String {
    format!("gateway-{number}")
}

/// Where a host serves.
pub(crate) fn address(host: &str) -> String {
    format!("{host}:{PORT}")
}

/// What all hosts have in common.
pub(crate) struct Setup {
    pub(crate) seed: u64,
    pub(crate) bug: Bug,
    pub(crate) options: ShardOptions,
    pub(crate) registry: Arc<Registry>,
    pub(crate) pki: Pki,
    /// Set once the cluster has what every cluster has.
    pub(crate) bootstrapped: AtomicBool,
    /// Gateways that serve, by number.
    pub(crate) serving: [AtomicBool; GATEWAYS as usize],
    directory: TempDir,
}

impl Setup {
    pub(crate) fn new(seed: u64, bug: Bug, options: ShardOptions) -> Self {
        let directory = tempfile::tempdir().expect("there is room for certificates");
        let names: Vec<String> = (0..GATEWAYS).map(gateway).collect();
        let pki = Pki::ensure(&directory.path().join("api"), &names, &clock::machine(seed)).expect("keys can be made");
        Self {
            seed,
            bug,
            options,
            registry: Arc::new(registry(&RuntimeConfig::default())),
            pki,
            bootstrapped: AtomicBool::new(false),
            serving: Default::default(),
            directory,
        }
    }

    fn internal_ca(&self) -> PathBuf {
        self.directory.path().join("internal")
    }

    pub(crate) fn identity(&self, role: Role, ambient: &Ambient) -> Result<Identity, wire::pki::PkiError> {
        Identity::ensure(&self.internal_ca(), role, ambient)
    }

    /// How a process of that role calls others.
    pub(crate) fn calling(&self, identity: Identity, ambient: &Ambient) -> Calling {
        let calling = Calling::new(identity, self.registry.clone(), ambient.clone());
        Calling { dial: Arc::new(Network), timing: TIMING, ..calling }
    }

    /// The administrator's way to a gateway.
    pub(crate) fn target(&self, host: &str) -> Target {
        let text = self.pki.kubeconfig(&format!("https://{}", address(host))).expect("keys can be read");
        kubeconfig::parse(&text, Path::new("/"), None).expect("it was written just now")
    }
}

/// A host, over all of its starts.
pub(crate) struct Host {
    pub(crate) name: String,
    clock: Arc<HostClock>,
    starts: AtomicU64,
    /// SIGTERM for the start that runs.
    pub(crate) leaving: Mutex<CancellationToken>,
    /// How the last start ended by itself.
    pub(crate) ended: Mutex<Option<String>>,
}

impl Host {
    pub(crate) fn new(name: String, clock: Arc<HostClock>) -> Arc<Self> {
        let (starts, leaving, ended) = (AtomicU64::new(0), Mutex::default(), Mutex::default());
        Arc::new(Self { name, clock, starts, leaving, ended })
    }

    /// A start: its time and chance, and what tells it to leave. No two starts of any hosts draw the same numbers.
    pub(crate) fn start(&self, seed: u64) -> (Ambient, CancellationToken) {
        let start = self.starts.fetch_add(1, Ordering::Relaxed);
        let drawn = xxh3_64(format!("{seed} {} {start}", self.name).as_bytes());
        let leaving = CancellationToken::new();
        *self.leaving.lock() = leaving.clone();
        (Ambient { clock: self.clock.clone(), entropy: Arc::new(Seeded::new(drawn)) }, leaving)
    }
}
