//! `admin restore`: a backup into a logical cluster of a service that runs, by the gateway's
//! `/shardplane/v1/clusters/NAME/restore`, or (`--store`) into a store that holds nothing.
//!
//! The whole file is read and checked before anything is sent or written. Definitions of custom kinds come first, and reservations
//! of addresses and ports last: one whose Service is not there is taken for a left-over.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use api::builtin::{self, RuntimeConfig};
use bytes::{Bytes, BytesMut};
use clap::Args;
use client::kubeconfig;
use gateway::pki::write_private;
use http::Method;
use serde_json::json;
use shards::backup::{Cut, Header, Origin, Part, Record, Trailer, Writer, is_own_endpoint, offline};
use store::StoreUrl;
use wire::{Identity, Role};

use super::backup;
use super::clusters::{check_place, kubeconfig_of};
use super::service::{Service, refused};
use crate::cli::ClusterArgs;
use crate::{Failure, ambient, storage};

/// Bytes of objects that are sent at once.
const BATCH: usize = 1 << 20;
/// How often a batch is sent before the restore is given up: a shard may die meanwhile, and others take its slots.
const TRIES: u32 = 30;
/// From one to the next.
const AGAIN: Duration = Duration::from_secs(1);
/// Of the service, not of a cluster.
const RECORDS: &str = "logicalclusters.internal.shardplane";

/// Flags of `admin restore`.
#[derive(Clone, Debug, Args)]
pub(crate) struct RestoreArgs {
    /// The backup
    file: PathBuf,
    /// Which cluster of a backup that holds several
    #[arg(long, value_name = "NAME", conflicts_with = "all")]
    from: Option<String>,
    /// Logical cluster to restore into: one that is not there yet, or holds nothing [default: the name that it had]
    #[arg(long, value_name = "NAME", conflicts_with = "store")]
    to: Option<String>,
    /// Where the kubeconfig of a cluster that is new goes, readable by you alone [default: stdout]
    #[arg(long, value_name = "FILE", conflicts_with = "store")]
    write_kubeconfig: Option<PathBuf>,
    /// Restore into a store that holds nothing, before any process has opened it: a directory, grpc://HOST:PORT
    /// (`shardplane store`), or fdb:CLUSTER_FILE. The cluster becomes `default`
    #[arg(long, value_name = "STORE")]
    store: Option<StoreUrl>,
    /// With --store: every cluster of the backup, under its name and with its administrator's token
    #[arg(long, requires = "store")]
    all: bool,
    /// Directory of the CA and the certificates that processes know each other by, for --store grpc://
    #[arg(long, env = "SHARDPLANE_INTERNAL_CA_DIR", default_value = ".shardplane/internal", value_name = "DIR")]
    internal_ca_dir: PathBuf,
    /// With --store: groups and versions to switch on or off, as the service that will run has it
    #[arg(long, env = "SHARDPLANE_RUNTIME_CONFIG", default_value = "", value_name = "LIST")]
    runtime_config: String,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) async fn run(args: RestoreArgs) -> Result<ExitCode, Failure> {
    check_place(args.write_kubeconfig.as_deref())?;
    let mut cut = backup::open(&args.file)?;
    match &args.store {
        Some(url) => into_store(&args, url, &mut cut).await?,
        None => into_service(&args, &mut cut).await?,
    }
    Ok(ExitCode::SUCCESS)
}

/// The position of the cluster that is meant.
fn origin(args: &RestoreArgs, header: &Header) -> Result<u16, Failure> {
    let names = || header.clusters.iter().map(|origin| origin.name.as_str()).collect::<Vec<_>>().join(", ");
    match (&args.from, &header.clusters[..]) {
        (None, [_]) => Ok(0),
        (None, _) => Err(format!("the backup holds {}: say --from NAME", names()).into()),
        (Some(name), clusters) => {
            let at = clusters.iter().position(|origin| origin.name == *name);
            Ok(at.ok_or_else(|| format!("the backup holds {}, and no cluster {name:?}", names()))? as u16)
        }
    }
}

async fn into_store(args: &RestoreArgs, url: &StoreUrl, cut: &mut Cut<File>) -> Result<(), Failure> {
    let which = if args.all { offline::Which::All } else { offline::Which::AsDefault(origin(args, cut.header())?) };
    let runtime = RuntimeConfig::parse(&args.runtime_config).map_err(|error| format!("--runtime-config: {error}"))?;
    let (registry, ambient) = (builtin::registry(&runtime), ambient::machine());
    let identity = match url {
        StoreUrl::Memory => return Err("--store memory: ends with the process that has it".into()),
        StoreUrl::Remote(_) => Some(Identity::ensure(&args.internal_ca_dir, Role::Admin, &ambient)?),
        _ => None,
    };
    let store = storage::open(url, identity.as_ref(), &ambient).await?;
    let restored = offline::restore(&store, &ambient, &registry, cut, which).await?;
    tracing::info!("{} objects are in {url}; every version from before is below {}", restored.objects, restored.floor);
    Ok(())
}

#[allow(clippy::print_stdout, reason = "the kubeconfig is the data that this command is for")]
async fn into_service(args: &RestoreArgs, cut: &mut Cut<File>) -> Result<(), Failure> {
    let target = kubeconfig::load(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref())?;
    let from = origin(args, cut.header())?;
    let name = args.to.clone().unwrap_or_else(|| cut.header().clusters[usize::from(from)].name.to_string());
    let service = Service::at(&target)?;
    let path = format!("/shardplane/v1/clusters/{name}/restore");
    let begin = json!({ "version": cut.trailer().version.to_string(), "serviceCidr": cut.header().service_cidr });
    let begun = service.ask(Method::POST, &path, begin).await?;
    let id = begun["id"].as_str().ok_or("the answer names no restore")?;
    let path = format!("{path}/{id}");
    let sent = Sending { service: &service, path: &path }.everything(cut, from).await;
    let finished = match sent {
        Ok(counts) => service.ask(Method::POST, &format!("{path}/finish"), json!({ "counts": counts })).await,
        Err(error) => Err(error),
    };
    let finished = finished.map_err(|error| {
        format!("{error}\nThe cluster {name} is not complete and lets nobody in: restore it again, or delete it")
    })?;
    tracing::info!("the cluster {name} is restored, above version {}", finished["floor"].as_str().unwrap_or("?"));
    // One that was there has a token.
    let Some(token) = finished["token"].as_str() else { return Ok(()) };
    let text = kubeconfig_of(&target, &name, token);
    match &args.write_kubeconfig {
        None => println!("{text}"),
        Some(path) => write_private(path, &text)?,
    }
    Ok(())
}

/// What comes when.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// What says what other kinds are.
    Definitions,
    Everything,
    /// What stands for what a Service holds.
    Reservations,
}

impl Turn {
    const ALL: [Self; 3] = [Self::Definitions, Self::Everything, Self::Reservations];

    fn of(kind: &str) -> Self {
        match kind {
            "customresourcedefinitions.apiextensions.k8s.io" => Self::Definitions,
            "ipaddresses.networking.k8s.io" | "nodeports.internal.shardplane" => Self::Reservations,
            _ => Self::Everything,
        }
    }
}

struct Sending<'a> {
    service: &'a Service,
    path: &'a str,
}

impl Sending<'_> {
    /// Sends every object of a cluster; answers how many of each kind.
    async fn everything(&self, cut: &mut Cut<File>, from: u16) -> Result<BTreeMap<String, u64>, Failure> {
        let header = cut.header().clone();
        let kind = |record: &Record| header.resources[usize::from(record.resource)].as_str();
        let mut counts: BTreeMap<String, u64> = BTreeMap::new();
        for turn in Turn::ALL {
            let (mut batch, mut size) = (Vec::new(), 0);
            let mut objects = cut.objects()?;
            while let Some(record) = objects.next()? {
                let kind = kind(&record);
                let comes = record.cluster == from
                    && kind != RECORDS
                    && !is_own_endpoint(kind, &record.namespace, &record.name)
                    && Turn::of(kind) == turn;
                if !comes {
                    continue;
                }
                *counts.entry(kind.to_owned()).or_default() += 1;
                size += record.tail.as_ref().map_or(0, Bytes::len);
                batch.push(Record { cluster: 0, ..record });
                if size >= BATCH {
                    self.send(&header, &std::mem::take(&mut batch)).await?;
                    size = 0;
                }
            }
            self.send(&header, &batch).await?;
        }
        Ok(counts)
    }

    /// Sends some, again and again while the service cannot take them.
    async fn send(&self, header: &Header, records: &[Record]) -> Result<(), Failure> {
        let path = format!("{}/objects", self.path);
        let body = pack(header, records);
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = self.service.try_ask(Method::POST, &path, body.clone()).await;
            let error = match answer {
                Ok((code, _)) if code.is_success() => return Ok(()),
                Ok((code, answer)) if !matches!(code.as_u16(), 429 | 503 | 504) => return Err(refused(code, &answer)),
                Ok((code, answer)) => refused(code, &answer),
                Err(error) => error,
            };
            if tries == TRIES {
                return Err(error);
            }
            tracing::debug!(%error, "objects are sent again");
            tokio::time::sleep(AGAIN).await;
        }
    }
}

/// A backup of some objects alone.
fn pack(header: &Header, records: &[Record]) -> Bytes {
    let clusters = vec![Origin { name: "restored".into(), id: "restored".into() }];
    let (mut writer, start) = Writer::begin(&Header { clusters, ..header.clone() });
    let mut bytes = BytesMut::from(&start[..]);
    for record in records {
        bytes.extend_from_slice(&writer.add(Part::Scan, record).unwrap_or_default());
    }
    bytes.extend_from_slice(&writer.finish(&Trailer::default()));
    bytes.freeze()
}
