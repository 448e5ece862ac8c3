//! `store`: the embedded store, served to the shards of several processes.

use std::process::ExitCode;

use tokio_util::sync::CancellationToken;
use wire::store::StoreService;
use wire::{Identity, Role, Timing};

use crate::cli::StoreProcessArgs;
use crate::data_dir::DataDir;
use crate::progress::Progress;
use crate::{Failure, ambient, parts};

pub(crate) async fn run(args: StoreProcessArgs) -> Result<ExitCode, Failure> {
    let mut stop = parts::stop_signal()?;
    let (ambient, progress) = (ambient::machine(), Progress::start());
    let data = DataDir::prepare(&args.data_dir)?;
    let directory = args.internal_ca_dir.clone().unwrap_or_else(|| data.file("internal"));
    let identity = Identity::ensure(&directory, Role::Store, &ambient)?;
    let listener = gateway::tls::listen(args.listen).map_err(|error| format!("--listen {}: {error}", args.listen))?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let address = listener.local_addr()?;
    let store = store::open(&store::StoreUrl::Embedded(data.path().to_owned())).await?;
    let shutdown = CancellationToken::new();
    let routes = wire::store::routes(StoreService::new(store));
    let serving = wire::serve::serve(listener, &identity, routes, Timing::default(), shutdown.clone())?;
    let serving = tokio::spawn(serving);
    tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.run_until_cancelled(identity.keep_fresh()).await }
    });
    progress.line(format!("serving the store at grpc://{address}"));
    stop.recv().await;
    shutdown.cancel();
    serving.await?;
    progress.finish();
    Ok(ExitCode::SUCCESS)
}
