//! `admin clusters`: logical clusters, by the gateway's `/shardplane/v1/clusters` (DESIGN D11).

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};
use client::kubeconfig::{self, Scheme, Target};
use gateway::pki::write_private;
use http::Method;
use serde_json::{Value, json};

use super::Output;
use super::service::Service;
use crate::Failure;
use crate::cli::ClusterArgs;

/// Where the gateway keeps them.
const PATH: &str = "/shardplane/v1/clusters";

/// Flags of `admin clusters`.
#[derive(Clone, Debug, Args)]
pub(crate) struct ClustersArgs {
    #[command(subcommand)]
    action: Action,
    #[command(flatten)]
    cluster: ClusterArgs,
}

#[derive(Clone, Debug, Subcommand)]
enum Action {
    /// Make a logical cluster, and write the kubeconfig of its administrator
    Create {
        /// A DNS label
        name: String,
        /// Where the kubeconfig goes, readable by you alone [default: stdout]
        #[arg(long, value_name = "FILE")]
        write_kubeconfig: Option<PathBuf>,
    },
    /// List the logical clusters
    List {
        /// How
        #[arg(short, long, default_value = "table", value_name = "FORMAT")]
        output: Output,
    },
    /// Delete a logical cluster with everything in it
    Delete {
        /// Its name
        name: String,
        /// Do not ask that the name be typed again
        #[arg(long)]
        yes: bool,
    },
}

#[allow(clippy::print_stdout, reason = "tables and documents are the data that these commands are for")]
pub(super) async fn run(args: ClustersArgs) -> Result<ExitCode, Failure> {
    let target = kubeconfig::load(args.cluster.kubeconfig.as_deref(), args.cluster.context.as_deref())?;
    let service = Service::at(&target)?;
    match args.action {
        Action::Create { name, write_kubeconfig } => {
            check_place(write_kubeconfig.as_deref())?;
            let made = service.ask(Method::POST, PATH, json!({ "name": name })).await?;
            let token = made["token"].as_str().ok_or("the answer holds no token")?;
            let text = kubeconfig_of(&target, &name, token);
            match write_kubeconfig {
                None => println!("{text}"),
                Some(path) => {
                    write_private(&path, &text)?;
                    tracing::info!("the cluster {name} is ready; its kubeconfig is {}", path.display());
                }
            }
        }
        Action::List { output } => {
            let listed = service.ask(Method::GET, PATH, Value::Null).await?;
            match output {
                Output::Json => println!("{listed:#}"),
                Output::Table => print!("{}", table(&listed)),
            }
        }
        Action::Delete { name, yes } => {
            if !yes {
                return Err(format!(
                    "this deletes the cluster {name} with everything in it, for good: say --yes when you mean it"
                )
                .into());
            }
            service.ask(Method::DELETE, &format!("{PATH}/{name}"), Value::Null).await?;
            println!("cluster {name:?} deleted");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The token is shown once: where it goes must be known before there is one.
pub(super) fn check_place(path: Option<&Path>) -> Result<(), Failure> {
    let Some(path) = path else { return Ok(()) };
    if path.exists() {
        return Err(
            format!("{} exists: it is not overwritten, choose another --write-kubeconfig", path.display()).into()
        );
    }
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.is_dir() {
        return Err(format!("--write-kubeconfig {}: there is no directory {}", path.display(), folder.display()).into());
    }
    Ok(())
}

fn table(listed: &Value) -> String {
    let rows = listed["items"].as_array().into_iter().flatten();
    let text = |row: &Value, field: &str| row[field].as_str().unwrap_or_default().to_owned();
    let rows = rows.map(|row| (text(row, "name"), text(row, "phase"), text(row, "id")));
    let rows: Vec<_> = std::iter::once(("NAME".to_owned(), "PHASE".to_owned(), "ID".to_owned())).chain(rows).collect();
    let (name, phase) = rows.iter().fold((0, 0), |(a, b), row| (a.max(row.0.len()), b.max(row.1.len())));
    rows.iter().map(|row| format!("{:name$}   {:phase$}   {}\n", row.0, row.1, row.2)).collect()
}

/// JSON, which every reader of kubeconfigs takes as well.
pub(super) fn kubeconfig_of(target: &Target, name: &str, token: &str) -> String {
    let scheme = match target.scheme {
        Scheme::Https => "https",
        Scheme::Http => "http",
    };
    let host = if target.host.contains(':') { format!("[{}]", target.host) } else { target.host.clone() };
    let server = format!("{scheme}://{host}:{}{}/clusters/{name}", target.port, target.prefix);
    let mut cluster = json!({ "server": server });
    if !target.ca.is_empty() {
        cluster["certificate-authority-data"] = pem_base64(target).into();
    }
    if target.insecure {
        cluster["insecure-skip-tls-verify"] = true.into();
    }
    if let Some(server_name) = &target.tls_server_name {
        cluster["tls-server-name"] = server_name.as_str().into();
    }
    let document = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": name, "cluster": cluster}],
        "users": [{"name": "kubernetes-admin", "user": {"token": token}}],
        "contexts": [{"name": name, "context": {"cluster": name, "user": "kubernetes-admin"}}],
        "current-context": name,
    });
    format!("{document:#}")
}

fn pem_base64(target: &Target) -> String {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    let block = |der: &[u8]| {
        let text = BASE64_STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).expect("ASCII")).collect();
        format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
    };
    BASE64_STANDARD.encode(target.ca.iter().map(|certificate| block(certificate)).collect::<String>())
}
