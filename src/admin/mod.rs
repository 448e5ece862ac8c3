//! `shardplane admin`: what operators of the service do. One file per subject. Tables and documents go to stdout, and
//! nothing else does.

pub(crate) mod backup;
pub(crate) mod clusters;
pub(crate) mod restore;
mod service;
pub(crate) mod slots;

use std::process::ExitCode;

use clap::{Args, Subcommand, ValueEnum};

use crate::Failure;

/// Flags of `admin`.
#[derive(Clone, Debug, Args)]
pub(crate) struct AdminArgs {
    #[command(subcommand)]
    subject: Subject,
}

#[derive(Clone, Debug, Subcommand)]
enum Subject {
    /// Make, list and delete logical clusters
    Clusters(clusters::ClustersArgs),
    /// Write what logical clusters hold at one version to a file, while they are in use
    Backup(Box<backup::BackupArgs>),
    /// Restore a logical cluster from a backup
    Restore(Box<restore::RestoreArgs>),
    /// Show which shard owns which slots, and move some of them
    Slots(Box<slots::SlotsArgs>),
}

/// How answers are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

/// Does what was asked for.
pub(crate) async fn run(args: AdminArgs) -> Result<ExitCode, Failure> {
    match args.subject {
        Subject::Clusters(args) => clusters::run(args).await,
        Subject::Backup(args) => backup::run(*args).await,
        Subject::Restore(args) => restore::run(*args).await,
        Subject::Slots(args) => slots::run(*args).await,
    }
}
