//! `import`: copies the objects of one Kubernetes cluster into another, by the API alone: from any cluster to any cluster.
//!
//! [`discover`] finds out what both serve, [`order`] says what comes when and what stays, [`clean`] takes out of an object what
//! is the former server's, and [`copy`] creates it. Start reading at [`run`]. What cannot be taken is told at the end, and no
//! failure of one object keeps others back.

mod clean;
mod copy;
mod discover;
mod order;
mod report;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use client::https::{HttpsOptions, HttpsTransport};
use client::{Client, kubeconfig};

use crate::admin::Output;
use crate::{Failure, ambient};
use copy::Copying;
use report::Report;

/// Flags of `import`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ImportArgs {
    /// kubeconfig of the cluster to copy from
    #[arg(long, value_name = "FILE")]
    kubeconfig: PathBuf,
    /// Context of that kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    context: Option<String>,
    /// kubeconfig of the cluster to copy into [default: $KUBECONFIG, then ~/.kube/config]
    #[arg(long, value_name = "FILE")]
    to_kubeconfig: Option<PathBuf>,
    /// Context of that kubeconfig [default: the current one]
    #[arg(long, value_name = "NAME")]
    to_context: Option<String>,
    /// Namespaces to copy, and nothing that has none; may be given more than once [default: all]
    #[arg(long = "namespace", short = 'n', value_name = "NAME")]
    namespaces: Vec<String>,
    /// Namespaces to leave out
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    exclude_namespaces: Vec<String>,
    /// Resources to copy, as `kubectl api-resources -o name` says them, also those that are left out without being asked for
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',')]
    resources: Vec<String>,
    /// Resources to leave out
    #[arg(long, value_name = "RESOURCE", value_delimiter = ',')]
    exclude_resources: Vec<String>,
    /// Create nothing: say what would be copied, and what the target does not serve
    #[arg(long)]
    dry_run: bool,
    /// End with a failure when anything could not be taken
    #[arg(long)]
    strict: bool,
    /// How the report is written
    #[arg(short, long, default_value = "table", value_name = "FORMAT")]
    output: Output,
}

#[allow(clippy::print_stdout, reason = "the report is the data that this command is for")]
pub(crate) async fn run(args: ImportArgs) -> Result<ExitCode, Failure> {
    let from = client_of(Some(args.kubeconfig.clone()), args.context.as_deref())?;
    let to = client_of(args.to_kubeconfig.clone(), args.to_context.as_deref())?;
    let (there, here) = (discover::kinds(&from).await?, discover::kinds(&to).await?);
    let mut report = Report::default();
    let mut copying = Copying::new(&args, from, to, &mut report);
    for (kind, into) in order::in_order(&args, &there, &here, &mut copying) {
        match into {
            Some(into) => copying.kind(&kind, &into).await,
            None => copying.missing(&kind).await,
        }
    }
    match args.output {
        Output::Json => println!("{:#}", report.to_value()),
        Output::Table => print!("{}", report.table()),
    }
    Ok(if args.strict && report.has_failures() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn client_of(file: Option<PathBuf>, context: Option<&str>) -> Result<Client, Failure> {
    let target = kubeconfig::load(file.as_deref(), context)?;
    let ambient = ambient::machine();
    let transport = HttpsTransport::new(&target, HttpsOptions::new(ambient.clone()))?;
    Ok(Client::new(transport, concat!("shardplane-import/", env!("CARGO_PKG_VERSION")), ambient))
}
