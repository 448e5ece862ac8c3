//! The host of `shardplane store`. Its disk outlives it: what was synced is there for whoever starts again.

use std::sync::Arc;

use ::store::SharedStore;
use ::store::testing::VolatileStore;
use tokio_util::sync::CancellationToken;
use wire::Role;
use wire::store::{StoreService, routes};

use crate::net::{Listener, TIMING};
use crate::planted::{Bug, Unfenced};
use crate::setup::{Host, PORT, Setup};

/// For ever.
pub(crate) async fn run(setup: Arc<Setup>, host: Arc<Host>, disk: VolatileStore) -> turmoil::Result {
    let (ambient, _) = host.start(setup.seed);
    let identity = setup.identity(Role::Store, &ambient)?;
    let store: SharedStore = match setup.bug {
        Bug::NoFencing => Arc::new(Unfenced(Arc::new(disk))),
        _ => Arc::new(disk),
    };
    let routes = routes(StoreService::new(store));
    wire::serve::serve(Listener::bind(PORT).await?, &identity, routes, TIMING, CancellationToken::new())?.await;
    Ok(())
}
