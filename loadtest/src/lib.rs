//! Load on any Kubernetes API, and what it answers: how many, how fast, and how slow at the worst.
//!
//! A mode prepares its objects, drives requests through [`pace`], and cleans up after itself; [`report`] prints what was
//! measured. Latencies count from the moment at which a request *should* have started, so a server that stalls cannot hide
//! behind requests that were never sent (coordinated omission). Start reading at [`Command`], then [`modes`].

mod api_call;
mod modes;
mod pace;
mod progress;
mod report;
mod server;

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use client::{ClientError, Transport};

pub use modes::Mode;
pub use report::{Cost, Measured, Report};
use server::Server;

/// What to load and how hard.
#[derive(Clone, Debug, clap::Args)]
pub struct Command {
    /// What to measure
    #[command(subcommand)]
    pub mode: Mode,
    /// Seconds to keep the load up (modes with a fixed number of objects end earlier)
    #[arg(long, global = true, default_value = "10", value_name = "SECONDS")]
    pub duration: u64,
    /// Requests in flight at most
    #[arg(long, global = true, default_value_t = 64, value_parser = clap::value_parser!(u32).range(1..=65_536))]
    pub concurrency: u32,
    /// Requests a second, sent on time whatever the server does; 0: as fast as the answers come
    #[arg(long, global = true, default_value_t = 0, value_name = "PER_SECOND")]
    pub rate: u32,
    /// Connections to spread the requests over
    #[arg(long, global = true, default_value_t = 2, value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub connections: u16,
    /// Leave the objects of the test where they are
    #[arg(long, global = true)]
    pub keep: bool,
    /// Processes of the server on this machine: the report says what CPU time a request took of them, and their memory
    #[arg(long, global = true, value_name = "PID", value_delimiter = ',')]
    pub server_pid: Vec<u32>,
    /// Print the report as JSON only
    #[arg(long, global = true)]
    pub json: bool,
}

/// What a mode works with.
pub(crate) struct Bench<'a> {
    command: &'a Command,
    transports: Vec<Arc<dyn Transport>>,
    ambient: Ambient,
    server: Server,
    /// Tells apart the objects of two runs.
    run: String,
}

impl Bench<'_> {
    fn duration(&self) -> Duration {
        Duration::from_secs(self.command.duration)
    }
}

/// Why a run ended without a report.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A call that the run cannot do without failed.
    #[error("{doing}: {error}")]
    Call {
        /// What was being done.
        doing: String,
        /// Why it failed.
        error: ClientError,
    },
    /// Something did not happen in time.
    #[error("{0}")]
    TimedOut(String),
    /// `--server-pid` names nobody.
    #[error("--server-pid: there is no process {0} on this machine")]
    NoProcess(u32),
}

impl LoadError {
    pub(crate) fn during(doing: impl Into<String>) -> impl FnOnce(ClientError) -> Self {
        let doing = doing.into();
        |error| Self::Call { doing, error }
    }
}

/// Runs one mode over those connections (at least one) and cleans up.
pub async fn run(
    command: &Command,
    transports: Vec<Arc<dyn Transport>>,
    ambient: Ambient,
) -> Result<Report, LoadError> {
    let run = format!("{:06x}", ambient.entropy.next_u64() & 0xff_ffff);
    let bench = Bench { command, transports, ambient, server: Server::new(&command.server_pid)?, run };
    modes::run(&bench).await
}
