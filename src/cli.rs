//! What can be said on the command line. Every flag has an environment variable `SHARDPLANE_…` beside it; flags win.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};
use ipnet::Ipv4Net;
use shards::rpc::client::Seeds;
use store::StoreUrl;

use crate::logging::{self, LogFormat};
use crate::{Failure, admin, import, parts, shard_process, store_process, up};

/// A Kubernetes control plane for clusters that outgrow one etcd
#[derive(Debug, Parser)]
#[command(name = "shardplane", version, max_term_width = 110)]
pub(crate) struct Cli {
    /// What the log on stderr holds: a level, or `module=level` separated by commas
    #[arg(
        long,
        global = true,
        env = "SHARDPLANE_LOG",
        default_value = "info,gateway::access=warn",
        value_name = "FILTER"
    )]
    log: String,
    /// How the log is written
    #[arg(long, global = true, env = "SHARDPLANE_LOG_FORMAT", default_value = "text", value_name = "FORMAT")]
    log_format: LogFormat,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a whole cluster in this process: API, schedulers, controllers and a fleet of simulated kubelets
    Up(Box<UpArgs>),
    /// Run the API alone: a gateway, to shards of its own or (--shards) to those of other processes
    Gateway(Box<ApiArgs>),
    /// Run one shard of several over one store, for gateways of other processes
    Shard(Box<ShardArgs>),
    /// Serve an embedded store to the shards of several processes, where there is no FoundationDB
    Store(StoreProcessArgs),
    /// Schedule the Pods of any Kubernetes cluster
    Scheduler(SchedulerPart),
    /// Run the controllers for any Kubernetes cluster
    Controllers(ControllersPart),
    /// Simulate kubelets that join any Kubernetes cluster
    Kubelet(Box<KubeletPart>),
    /// Put load on any Kubernetes API and measure it
    Loadtest(LoadtestPart),
    /// Operate the service: logical clusters, backups and more
    Admin(admin::AdminArgs),
    /// Copy the objects of any Kubernetes cluster into another
    Import(Box<import::ImportArgs>),
}

impl Cli {
    /// Does what was asked for.
    pub(crate) async fn run(self) -> Result<ExitCode, Failure> {
        // A run that measures shows its own progress; the log must not drown it.
        logging::start(&self.log, self.log_format)?;
        match self.command {
            Command::Up(args) => up::run(*args).await,
            Command::Gateway(args) => parts::gateway(*args).await,
            Command::Shard(args) => shard_process::run(*args).await,
            Command::Store(args) => store_process::run(args).await,
            Command::Scheduler(part) => parts::scheduler(part).await,
            Command::Controllers(part) => parts::controllers(part).await,
            Command::Kubelet(part) => parts::kubelet(*part).await,
            Command::Loadtest(part) => parts::loadtest(part).await,
            Command::Admin(args) => admin::run(args).await,
            Command::Import(args) => import::run(*args).await,
        }
    }
}

/// Flags of `up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) api: ApiArgs,
    #[command(flatten)]
    pub(crate) scheduler: SchedulerArgs,
    #[command(flatten)]
    pub(crate) controllers: ControllersArgs,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// How the simulated kubelets speak to the API
    #[arg(long, env = "SHARDPLANE_FIDELITY", default_value = "in-process", help_heading = "Kubelets")]
    pub(crate) fidelity: Fidelity,
}

/// How honest the fleet's connections are (DESIGN D9).
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Fidelity {
    /// Every kubelet has its own connection over TLS
    Wire,
    /// Calls into the gateway, without sockets and TLS
    InProcess,
}

impl Fidelity {
    /// As the status line says it.
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::InProcess => "in-process",
        }
    }
}

/// Flags of everything that serves the API.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "API")]
pub(crate) struct ApiArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// How many shards to run in this process [default: one per core], or where others run them: dns:HOST:PORT, HOST:PORT,…
    #[arg(long, env = "SHARDPLANE_SHARDS", value_name = "SHARDS")]
    pub(crate) shards: Option<ShardsAt>,
    /// Directory of the cluster's CA, certificates and keys; gateways of one cluster have the same ones [default: the data
    /// directory]
    #[arg(long, env = "SHARDPLANE_CERT_DIR", value_name = "DIR")]
    pub(crate) cert_dir: Option<PathBuf>,
    /// Address to serve HTTPS on; port 0 lets the system choose
    #[arg(long, env = "SHARDPLANE_LISTEN", default_value = "127.0.0.1:6443", value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// Lead host names NAME.DOMAIN to the logical cluster NAME; paths /clusters/NAME always lead there
    #[arg(long, env = "SHARDPLANE_CLUSTER_DOMAIN", value_name = "DOMAIN")]
    pub(crate) cluster_domain: Option<String>,
    /// CSV file of bearer tokens: token,user,uid,"group1,group2"
    #[arg(long, env = "SHARDPLANE_TOKEN_AUTH_FILE", value_name = "FILE")]
    pub(crate) token_auth_file: Option<PathBuf>,
    /// PEM file of the CA of kubelets' serving certificates (not checked without one, as in the reference)
    #[arg(long, env = "SHARDPLANE_KUBELET_CERTIFICATE_AUTHORITY", value_name = "FILE")]
    pub(crate) kubelet_certificate_authority: Option<PathBuf>,
    /// Loopback or link-local addresses and networks that kubelets may have; logs are not fetched from others of them
    #[arg(long, env = "SHARDPLANE_ALLOW_INTERNAL", value_delimiter = ',', value_name = "IP|CIDR")]
    pub(crate) allow_internal: Vec<String>,
}

/// Flags of everything that opens the store.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Store and shards")]
pub(crate) struct StoreArgs {
    /// Directory of the store, keys, certificates and the kubeconfig; made where there is none
    #[arg(long, env = "SHARDPLANE_DATA_DIR", default_value = ".shardplane", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Where objects are kept: a directory, grpc://HOST:PORT (`shardplane store`), or fdb:CLUSTER_FILE [default: the data
    /// directory]
    #[arg(long, env = "SHARDPLANE_STORE", value_name = "STORE")]
    pub(crate) store: Option<StoreUrl>,
    /// Directory of the CA and the certificates that processes know each other by; what is missing is made where the CA's key
    /// is [default: `internal` in the data directory]
    #[arg(long, env = "SHARDPLANE_INTERNAL_CA_DIR", value_name = "DIR")]
    pub(crate) internal_ca_dir: Option<PathBuf>,
    /// Who is asked, in this order, whether somebody may: RBAC, AlwaysAllow, AlwaysDeny
    #[arg(
        long,
        env = "SHARDPLANE_AUTHORIZATION_MODE",
        default_value = "RBAC",
        value_delimiter = ',',
        value_name = "MODES"
    )]
    pub(crate) authorization_mode: Vec<shards::authorization::Mode>,
    /// Groups and versions to switch on or off: api/all=true, api/alpha=true, apps/v1=false, …
    #[arg(long, env = "SHARDPLANE_RUNTIME_CONFIG", default_value = "", value_name = "LIST")]
    pub(crate) runtime_config: String,
    /// Range of ClusterIPs
    #[arg(long, env = "SHARDPLANE_SERVICE_CLUSTER_IP_RANGE", default_value = "10.96.0.0/12", value_name = "CIDR")]
    pub(crate) service_cluster_ip_range: Ipv4Net,
    /// Range of node ports
    #[arg(long, env = "SHARDPLANE_SERVICE_NODE_PORT_RANGE", default_value = "30000-32767", value_parser = port_range,
          value_name = "FROM-TO")]
    pub(crate) service_node_port_range: RangeInclusive<u16>,
    /// Seconds that Pods stay on a node that is not ready, where they do not say themselves
    #[arg(
        long,
        env = "SHARDPLANE_DEFAULT_NOT_READY_TOLERATION_SECONDS",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub(crate) default_not_ready_toleration_seconds: i64,
    /// The same for a node that is unreachable
    #[arg(
        long,
        env = "SHARDPLANE_DEFAULT_UNREACHABLE_TOLERATION_SECONDS",
        default_value_t = 300,
        value_name = "SECONDS"
    )]
    pub(crate) default_unreachable_toleration_seconds: i64,
    /// How long events are kept for watchers that come back
    #[arg(long, env = "SHARDPLANE_EVENT_RETENTION", default_value = "5m", value_parser = duration, value_name = "TIME")]
    pub(crate) event_retention: Duration,
    /// Loopback or link-local addresses and networks, and hosts, that admission webhooks may have; others of them are not called
    #[arg(long, env = "SHARDPLANE_WEBHOOK_ALLOW", value_delimiter = ',', value_name = "IP|CIDR|HOST")]
    pub(crate) webhook_allow: Vec<String>,
    /// PodSecurityConfiguration: what Pods may ask for where Namespaces do not say, and who is exempt
    #[arg(long, env = "SHARDPLANE_POD_SECURITY_CONFIG", value_parser = pod_security, value_name = "FILE")]
    pub(crate) pod_security_config: Option<api::pod_security::Configuration>,
}

/// Flags of `store`.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreProcessArgs {
    /// Directory of the store; made where there is none
    #[arg(long, env = "SHARDPLANE_DATA_DIR", default_value = ".shardplane", value_name = "DIR")]
    pub(crate) data_dir: PathBuf,
    /// Directory of the CA and the certificates that processes know each other by [default: `internal` in the data directory]
    #[arg(long, env = "SHARDPLANE_INTERNAL_CA_DIR", value_name = "DIR")]
    pub(crate) internal_ca_dir: Option<PathBuf>,
    /// Address to serve shards on; port 0 lets the system choose
    #[arg(long, env = "SHARDPLANE_LISTEN", default_value = "127.0.0.1:7443", value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
}

/// Flags of `shard`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ShardArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    /// Its number among the shards, kept over restarts [default: the lowest that nobody holds]
    #[arg(long, env = "SHARDPLANE_ORDINAL", value_name = "NUMBER")]
    pub(crate) ordinal: Option<u16>,
    /// Address to serve gateways and other shards on; port 0 lets the system choose
    #[arg(long, env = "SHARDPLANE_LISTEN", default_value = "127.0.0.1:7400", value_name = "IP:PORT")]
    pub(crate) listen: SocketAddr,
    /// Where gateways and other shards reach it [default: the address that it listens on]
    #[arg(long, env = "SHARDPLANE_ADVERTISE", value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// Address to serve /readyz, /livez and /metrics on, without TLS; port 0 lets the system choose
    #[arg(long, env = "SHARDPLANE_HEALTH_LISTEN", default_value = "127.0.0.1:6444", value_name = "IP:PORT")]
    pub(crate) health_listen: SocketAddr,
}

/// Which cluster a part works for.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Cluster")]
pub(crate) struct ClusterArgs {
    /// kubeconfig of the cluster [default: $KUBECONFIG, then ~/.kube/config, then the Pod's ServiceAccount]
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Context of the kubeconfig [default: the current one]
    #[arg(long, env = "SHARDPLANE_CONTEXT", value_name = "NAME")]
    pub(crate) context: Option<String>,
}

/// Flags of the schedulers.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Schedulers")]
pub(crate) struct SchedulerArgs {
    /// Schedulers in this process, each with its own share of the nodes
    #[arg(long, env = "SHARDPLANE_SCHEDULERS", default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=256))]
    pub(crate) schedulers: u16,
    /// schedulerName of the Pods to place
    #[arg(long, env = "SHARDPLANE_SCHEDULER_NAME", default_value = "default-scheduler", value_name = "NAME")]
    pub(crate) scheduler_name: String,
}

/// Flags of the controllers, by the names and with the defaults of kube-controller-manager.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Controllers")]
pub(crate) struct ControllersArgs {
    /// Range that nodes get their podCIDR from
    #[arg(long, env = "SHARDPLANE_CLUSTER_CIDR", default_value = "10.128.0.0/9", value_name = "CIDR")]
    pub(crate) cluster_cidr: Ipv4Net,
    /// Mask of one node's podCIDR
    #[arg(long, env = "SHARDPLANE_NODE_CIDR_MASK_SIZE", default_value_t = 24, value_parser = clap::value_parser!(u8).range(8..=30))]
    pub(crate) node_cidr_mask_size: u8,
    /// How often node health is looked at
    #[arg(long, env = "SHARDPLANE_NODE_MONITOR_PERIOD", default_value = "5s", value_parser = duration, value_name = "TIME")]
    pub(crate) node_monitor_period: Duration,
    /// Silence after which a node counts as lost
    #[arg(long, env = "SHARDPLANE_NODE_MONITOR_GRACE_PERIOD", default_value = "50s", value_parser = duration, value_name = "TIME")]
    pub(crate) node_monitor_grace_period: Duration,
    /// The same for a node that has never reported
    #[arg(long, env = "SHARDPLANE_NODE_STARTUP_GRACE_PERIOD", default_value = "1m", value_parser = duration, value_name = "TIME")]
    pub(crate) node_startup_grace_period: Duration,
    /// Nodes per second and zone that are emptied when they are lost
    #[arg(long, env = "SHARDPLANE_NODE_EVICTION_RATE", default_value_t = 0.1, value_name = "PER_SECOND")]
    pub(crate) node_eviction_rate: f32,
    /// Finished Pods that are kept; 0 keeps all
    #[arg(long, env = "SHARDPLANE_TERMINATED_POD_GC_THRESHOLD", default_value_t = 12_500, value_name = "PODS")]
    pub(crate) terminated_pod_gc_threshold: usize,
}

/// Flags of the fleet.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Kubelets")]
pub(crate) struct FleetArgs {
    /// Simulated nodes; 0 for a bare control plane
    #[arg(long, env = "SHARDPLANE_NODES", default_value_t = 100, value_name = "COUNT")]
    pub(crate) nodes: usize,
    /// Names of the nodes are this and a number
    #[arg(long, env = "SHARDPLANE_NODE_PREFIX", default_value = "node-", value_name = "PREFIX")]
    pub(crate) node_prefix: String,
    /// Zones that the nodes are spread over
    #[arg(long, env = "SHARDPLANE_ZONES", default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=1000))]
    pub(crate) zones: u16,
    /// CPU of a node
    #[arg(long, env = "SHARDPLANE_NODE_CPU", default_value = "32", value_name = "QUANTITY")]
    pub(crate) node_cpu: String,
    /// Memory of a node
    #[arg(long, env = "SHARDPLANE_NODE_MEMORY", default_value = "128Gi", value_name = "QUANTITY")]
    pub(crate) node_memory: String,
    /// Pods of a node
    #[arg(long, env = "SHARDPLANE_NODE_PODS", default_value_t = 110, value_name = "COUNT")]
    pub(crate) node_pods: u32,
    /// Median time that a Pod takes to start once it is on its node
    #[arg(long, env = "SHARDPLANE_POD_START_LATENCY", value_parser = duration, value_name = "TIME")]
    pub(crate) pod_start_latency: Option<Duration>,
    /// How often a kubelet renews its Lease; the Lease lasts four times as long
    #[arg(long, env = "SHARDPLANE_LEASE_INTERVAL", default_value = "10s", value_parser = duration, value_name = "TIME")]
    pub(crate) lease_interval: Duration,
    /// Kubelets that stop, to see what becomes of their Pods (or annotate a node: shardplane.dev/kubelet=stopped)
    #[arg(long, env = "SHARDPLANE_STOP_NODES", default_value_t = 0, value_name = "COUNT")]
    pub(crate) stop_nodes: usize,
    /// When they stop, counted from the moment at which all nodes are ready
    #[arg(long, env = "SHARDPLANE_STOP_AFTER", default_value = "30s", value_parser = duration, value_name = "TIME")]
    pub(crate) stop_after: Duration,
}

/// Flags of `scheduler`.
#[derive(Clone, Debug, Args)]
pub(crate) struct SchedulerPart {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) scheduler: SchedulerArgs,
}

/// Flags of `controllers`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ControllersPart {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) controllers: ControllersArgs,
    /// PEM file of the cluster's CA, published as kube-root-ca.crt in every namespace
    #[arg(long, env = "SHARDPLANE_ROOT_CA_FILE", value_name = "FILE")]
    pub(crate) root_ca_file: Option<PathBuf>,
}

/// Flags of `kubelet`.
#[derive(Clone, Debug, Args)]
pub(crate) struct KubeletPart {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) fleet: FleetArgs,
    /// Address to serve logs on; nodes give it as their InternalIP and kubelet port
    #[arg(long, env = "SHARDPLANE_KUBELET_LISTEN", default_value = "127.0.0.1:0", value_name = "IP:PORT")]
    pub(crate) kubelet_listen: SocketAddr,
    /// PEM file of the CA whose client certificates may read logs
    #[arg(long, env = "SHARDPLANE_CLIENT_CA_FILE", value_name = "FILE")]
    pub(crate) client_ca_file: Option<PathBuf>,
}

/// Flags of `loadtest`.
#[derive(Clone, Debug, Args)]
pub(crate) struct LoadtestPart {
    #[command(flatten)]
    pub(crate) cluster: ClusterArgs,
    #[command(flatten)]
    pub(crate) load: loadtest::Command,
}

/// What `--shards` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ShardsAt {
    /// So many in this process.
    Here(u16),
    /// In other processes, which are found there.
    There(Seeds),
}

/// How many shards one process runs at most.
const MOST_SHARDS: u16 = 1024;

impl FromStr for ShardsAt {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.parse::<u64>() {
            Ok(count) => match u16::try_from(count) {
                Ok(count @ 1..=MOST_SHARDS) => Ok(Self::Here(count)),
                _ => Err(format!("{count} is not from 1 to {MOST_SHARDS}")),
            },
            Err(_) => text.parse().map(Self::There).map_err(|error| format!("{error}, nor a number of shards")),
        }
    }
}

pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| format!("{error}; write 500ms, 10s, 5m or 1h"))
}

fn port_range(text: &str) -> Result<RangeInclusive<u16>, String> {
    let wanted = || "two ports are wanted, as in 30000-32767".to_owned();
    let (from, to) = text.split_once('-').ok_or_else(wanted)?;
    let (from, to): (u16, u16) = (from.parse().map_err(|_| wanted())?, to.parse().map_err(|_| wanted())?);
    if from == 0 || from > to {
        return Err(wanted());
    }
    Ok(from..=to)
}

fn pod_security(file: &str) -> Result<api::pod_security::Configuration, String> {
    let text = std::fs::read(file).map_err(|error| error.to_string())?;
    let plain = api::codec::plain(&text).map_err(|malformed| malformed.message)?;
    api::pod_security::Configuration::of(&plain.value)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn flags_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }

    #[test]
    fn places_of_shards_are_told_from_numbers() {
        assert_eq!("4".parse(), Ok(ShardsAt::Here(4)));
        for place in ["dns:shards.svc:7400", "a:1,[::1]:2"] {
            assert_eq!(place.parse(), Ok(ShardsAt::There(place.parse().unwrap())));
        }
        for wrong in ["", "0", "1025", "99999999", "a", "a:", "a:1,", "dns:a"] {
            assert!(wrong.parse::<ShardsAt>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn ranges_and_times_are_checked() {
        assert_eq!(port_range("30000-32767"), Ok(30_000..=32_767));
        for text in ["", "30000", "32767-30000", "0-5", "1-70000"] {
            assert!(port_range(text).is_err(), "{text}");
        }
        assert_eq!(duration("500ms"), Ok(Duration::from_millis(500)));
        assert!(duration("soon").is_err());
    }
}
