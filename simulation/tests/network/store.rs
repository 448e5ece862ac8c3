//! The host of `shardplane store`. Its disk outlives it: what was synced is there for whoever starts again.

use std::sync::Arc;

use ::store::SharedStore;
use ::store::testing::VolatileStore;
use tokio_util::sync::CancellationToken;
use wire::Role;
use wire::store::{StoreService, routes};

use crate::net::TIMING;
use crate::planted::{Bug, Unfenced};
use crate::setup::{PORT, Setup, Start};

/// For ever.
pub(crate) async fn run(setup: Arc<Setup>, start: Start, disk: VolatileStore) -> turmoil::Result {
    let identity = setup.identity(Role::Store, &start.ambient)?;
    let store: SharedStore = match setup.bug {
        Bug::NoFencing => Arc::new(Unfenced(Arc::new(disk))),
        _ => Arc::new(disk),
    };
    let routes = routes(StoreService::new(store));
    let listener = start.network.listen(PORT).await?;
    wire::serve::serve(listener, &identity, routes, TIMING, CancellationToken::new())?.await;
    Ok(())
}
