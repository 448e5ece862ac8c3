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

    /// How a process calls others.
    pub(crate) fn calling(&self, identity: Identity, start: &Start) -> Calling {
        let calling = Calling::new(identity, self.registry.clone(), start.ambient.clone());
        Calling { dial: Arc::new(start.network.clone()), timing: TIMING, ..calling }
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
    seed: u64,
    starts: AtomicU64,
    start: Mutex<Start>,
    /// How the last start ended by itself.
    pub(crate) ended: Mutex<Option<String>>,
}

impl Host {
    pub(crate) fn new(name: String, clock: Arc<HostClock>, seed: u64) -> Arc<Self> {
        let start = Mutex::new(Start::new(&name, &clock, seed, 0));
        Arc::new(Self { name, clock, seed, starts: AtomicU64::new(0), start, ended: Mutex::default() })
    }

    /// Its next start.
    pub(crate) fn begin(&self) -> Start {
        let count = 1 + self.starts.fetch_add(1, Ordering::Relaxed);
        let start = Start::new(&self.name, &self.clock, self.seed, count);
        *self.start.lock() = start.clone();
        start
    }

    /// The newest start.
    pub(crate) fn start(&self) -> Start {
        self.start.lock().clone()
    }
}

/// What one start of a host has for itself.
#[derive(Clone)]
pub(crate) struct Start {
    pub(crate) ambient: Ambient,
    pub(crate) network: Network,
    /// SIGTERM.
    pub(crate) leaving: CancellationToken,
    /// SIGKILL.
    pub(crate) killed: CancellationToken,
}

impl Start {
    /// No two starts of any hosts draw the same numbers.
    fn new(name: &str, clock: &Arc<HostClock>, seed: u64, count: u64) -> Self {
        let entropy = Arc::new(Seeded::new(xxh3_64(format!("{seed} {name} {count}").as_bytes())));
        let ambient = Ambient { clock: clock.clone(), entropy };
        let (leaving, killed) = (CancellationToken::new(), CancellationToken::new());
        Self { ambient, network: Network::default(), leaving, killed }
    }
}
