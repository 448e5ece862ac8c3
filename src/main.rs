//! The binary: arguments and wiring only. What it wires is in the crates; start reading at [`cli`], then [`up`].

mod admin;
mod ambient;
mod api_server;
mod cli;
mod cluster;
mod data_dir;
mod import;
mod in_process;
mod logging;
mod parts;
mod progress;
mod shard_process;
mod status_line;
mod storage;
mod store_process;
mod up;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

/// Many threads allocate small, short-lived documents: the system's allocator spends a fifth of the time on them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Why the program ends with a failure: one line for the person who started it.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("the runtime cannot start: {error}")),
    };
    let outcome = runtime.block_on(cli.run());
    // What still blocks (a read of the store, a name look-up) must not hold the end up.
    runtime.shutdown_timeout(Duration::from_millis(200));
    // Its client library must end before what it uses goes with the process.
    #[cfg(feature = "foundationdb")]
    store::foundationdb::stop();
    match outcome {
        Ok(code) => code,
        Err(error) => fail(&error.to_string()),
    }
}

#[allow(clippy::print_stderr, reason = "the last word of a failed start, outside any log")]
fn fail(message: &str) -> ExitCode {
    eprintln!("shardplane: {message}");
    ExitCode::FAILURE
}
