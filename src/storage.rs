//! Opening what `--store` names. A store of another process is reached with the internal certificates.

use std::path::PathBuf;
use std::sync::Arc;

use api::ambient::Ambient;
use store::{SharedStore, StoreUrl};
use wire::store::{RemoteOptions, RemoteStore};
use wire::{Identity, Link, Role, Tcp, Timing};

use crate::Failure;
use crate::cli::StoreArgs;

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
