//! Opening what `--store` names. A store of another process is reached with the internal certificates.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use store::{OpenUrlError, SharedStore, StoreUrl};
use wire::store::{RemoteOptions, RemoteStore};
use wire::{Identity, Link, Role, Tcp, Timing};

use crate::Failure;
use crate::cli::StoreArgs;

/// First and longest pause between two tries to reach a store that does not answer.
const AGAIN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));

impl StoreArgs {
    /// What `--store` says, or the directory of the data.
    pub(crate) fn url(&self) -> StoreUrl {
        self.store.clone().unwrap_or_else(|| StoreUrl::Embedded(self.data_dir.clone()))
    }

    /// Where the internal CA is.
    pub(crate) fn internal_ca(&self) -> PathBuf {
        self.internal_ca_dir.clone().unwrap_or_else(|| self.data_dir.join("internal"))
    }
}

/// Whether no other process can have it open.
pub(crate) fn is_own(url: &StoreUrl) -> bool {
    matches!(url, StoreUrl::Embedded(_) | StoreUrl::Memory)
}

/// Opens the store. `identity`: how this process shows who it is to another one's store.
pub(crate) async fn open(
    url: &StoreUrl,
    identity: Option<&Identity>,
    ambient: &Ambient,
) -> Result<SharedStore, Failure> {
    let StoreUrl::Remote(addresses) = url else { return Ok(store::open(url).await?) };
    let identity = identity.ok_or_else(|| {
        format!("--store {url}: `shardplane shard` speaks to the store of another process; this one keeps its own")
    })?;
    let [address] = &addresses[..] else {
        return Err(format!("--store {url}: one address is wanted, for one process keeps the store").into());
    };
    let link = Link::new(address, Role::Store, identity, Arc::new(Tcp), Timing::default(), ambient)
        .map_err(|error| format!("--store {url}: {error}"))?;
    Ok(Arc::new(RemoteStore::new(link, RemoteOptions::default())))
}

/// Opens the store, however long it does not answer; `waiting` is told why. What no waiting mends is an error at once.
pub(crate) async fn open_patiently(
    url: &StoreUrl,
    identity: Option<&Identity>,
    ambient: &Ambient,
    waiting: impl Fn(String),
) -> Result<SharedStore, Failure> {
    let mut pause = AGAIN.0;
    loop {
        let error = match open(url, identity, ambient).await {
            Ok(store) => return Ok(store),
            Err(error) => error,
        };
        if !error.downcast_ref().is_some_and(OpenUrlError::is_retryable) {
            return Err(error);
        }
        tracing::warn!(%error, ?pause, "the store is not reached yet");
        waiting(error.to_string());
        // A quarter more or less, so that shards that started together do not ask together.
        let random = ambient.entropy.next_u64() % 512;
        tokio::time::sleep(pause * 3 / 4 + pause * random as u32 / 1024).await;
        pause = (pause * 2).min(AGAIN.1);
    }
}
