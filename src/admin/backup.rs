//! `admin backup`: a state of logical clusters at one version into a file, by the gateway's `/shardplane/v1/backup`.
//!
//! What comes is checked while it comes, and once more as it lies on the disk, before the file gets its name: a file of that
//! name is a whole backup.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use client::kubeconfig;
use futures_util::StreamExt;
use serde_json::{Value, json};
use shards::backup::{Cut, Piece, Reader};

use super::Output;
use super::service::Service;
use crate::cli::ClusterArgs;
use crate::{Failure, ambient};

/// How often it says how far it is.
const EVERY: Duration = Duration::from_secs(2);

/// Flags of `admin backup`.
#[derive(Clone, Debug, Args)]
pub(crate) struct BackupArgs {
    /// Where the backup goes, readable by you alone; with --verify, where it is
    file: PathBuf,
    /// Logical cluster to back up; may be given more than once [default: default]
    #[arg(long = "cluster", value_name = "NAME", conflicts_with_all = ["all", "verify"])]
    clusters: Vec<String>,
    /// Back up every logical cluster, with the tokens of their administrators
    #[arg(long, conflicts_with = "verify")]
    all: bool,
    /// Make none: check the file, and say what it holds
    #[arg(long)]
    verify: bool,
    /// How what it holds is written
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
    #[command(flatten)]
    cluster: ClusterArgs,
}

pub(super) async fn run(args: BackupArgs) -> Result<ExitCode, Failure> {
    if args.verify {
        show(&open(&args.file)?, args.output);
        return Ok(ExitCode::SUCCESS);
    }
    let temporary = place(&args.file)?;
    let written = write(&args, &temporary).await;
    let named = written.and_then(|cut| {
        std::fs::rename(&temporary, &args.file)?;
        let folder = folder(&args.file);
        File::open(folder)?.sync_all()?;
        Ok(cut)
    });
    match named {
        Ok(cut) => {
            show(&cut, args.output);
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => {
            // What is left of it would only be in the way.
            let _ = std::fs::remove_file(&temporary);
            Err(format!("no backup was written: {error}").into())
        }
    }
}

/// Opens a backup, and reads all of it.
pub(super) fn open(path: &Path) -> Result<Cut<File>, Failure> {
    let file = File::open(path).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(Cut::open(file).map_err(|error| format!("{}: {error}", path.display()))?)
}

fn folder(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// The name that the file has until it is whole.
fn place(path: &Path) -> Result<PathBuf, Failure> {
    if path.exists() {
        return Err(format!("{} exists: it is not overwritten, choose another name", path.display()).into());
    }
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(format!("{}: there is no directory {}", path.display(), folder.display()).into());
    }
    let name = path.file_name().ok_or_else(|| format!("{} is no name of a file", path.display()))?;
    Ok(folder.join(format!(".{}.{}.part", name.to_string_lossy(), std::process::id())))
}

async fn write(args: &BackupArgs, temporary: &Path) -> Result<Cut<File>, Failure> {
    let target = kubeconfig::load(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref())?;
    let mut query: Vec<String> = args.clusters.iter().map(|name| format!("cluster={}", escaped(name))).collect();
    if query.is_empty() {
        query.push(if args.all { "all=true".to_owned() } else { "cluster=default".to_owned() });
    }
    let service = Service::at(&target)?;
    let mut body = service.open(&format!("/shardplane/v1/backup?{}", query.join("&"))).await?;
    let mut options = OpenOptions::new();
    let mut file = options.read(true).write(true).create_new(true).mode(0o600).open(temporary)?;
    let (mut reader, mut said) = (Reader::default(), ambient::machine().clock.boot());
    let (mut bytes, mut records) = (0_u64, 0_u64);
    while let Some(piece) = body.next().await {
        let piece = piece?;
        file.write_all(&piece)?;
        bytes += piece.len() as u64;
        reader.push(&piece);
        while let Some(piece) = reader.read()? {
            if let Piece::Records(_, some) = piece {
                records += some.len() as u64;
            }
        }
        let now = ambient::machine().clock.boot();
        if now.saturating_sub(said) >= EVERY {
            said = now;
            tracing::info!("{records} objects, {} MB", bytes >> 20);
        }
    }
    reader.finish()?;
    file.sync_all()?;
    Ok(Cut::open(file)?)
}

/// Names are DNS labels; whatever else is asked for must not become another question.
fn escaped(name: &str) -> String {
    let escape = |byte: u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => char::from(byte).to_string(),
        other => format!("%{other:02X}"),
    };
    name.bytes().map(escape).collect()
}

#[allow(clippy::print_stdout, reason = "the table is the data that this command is for")]
fn show(cut: &Cut<File>, output: Output) {
    match output {
        Output::Json => println!("{:#}", to_value(cut)),
        Output::Table => print!("{}", table(cut)),
    }
}

fn to_value(cut: &Cut<File>) -> Value {
    let (header, trailer) = (cut.header(), cut.trailer());
    let cluster = |at: usize| {
        let counts = cut.counts(at as u16).map(|(kind, count)| (header.resources[usize::from(kind)].clone(), count));
        let counts: serde_json::Map<String, Value> = counts.map(|(kind, count)| (kind, count.into())).collect();
        json!({ "name": &*header.clusters[at].name, "objects": cut.count(at as u16), "counts": counts })
    };
    json!({
        "program": header.program,
        "began": header.began,
        "ended": trailer.ended,
        "version": trailer.version.to_string(),
        "serviceCidr": header.service_cidr,
        "clusters": (0..header.clusters.len()).map(cluster).collect::<Vec<_>>(),
    })
}

fn table(cut: &Cut<File>) -> String {
    let (header, trailer) = (cut.header(), cut.trailer());
    let mut text = format!("cut at version {}, {}, by {}\n\n", trailer.version, trailer.ended, header.program);
    let names = header.clusters.iter().map(|cluster| cluster.name.len());
    let width = names.chain(["CLUSTER".len()]).max().unwrap_or(0);
    text.push_str(&format!("{:width$}   OBJECTS\n", "CLUSTER"));
    for (at, cluster) in header.clusters.iter().enumerate() {
        text.push_str(&format!("{:width$}   {}\n", cluster.name, cut.count(at as u16)));
    }
    text
}
