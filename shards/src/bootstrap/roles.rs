//! The roles and bindings that a cluster begins with. At each start what is missing of them is added, as in the reference;
//! what somebody added stays.

use api::Status;
use api::rbac::bootstrap::{Wanted, reconciled, wanted};
use api::status::Reason;
use futures_util::future::try_join_all;

use super::{Bootstrap, BootstrapCall, with_patience};
use crate::topology::Topology;

pub(super) async fn reconcile(topology: &Topology, options: &Bootstrap) -> Result<(), Status> {
    let wanted = wanted();
    // All at once, so that they share their commits.
    try_join_all(wanted.iter().map(|wanted| one(topology, options, wanted))).await.map(|_| ())
}

async fn one(topology: &Topology, options: &Bootstrap, wanted: &Wanted) -> Result<(), Status> {
    let Some(resource) = options.registry.named(wanted.id_name) else { return Ok(()) };
    let call = BootstrapCall { topology, options, resource, namespace: &wanted.namespace, name: &wanted.name };
    let attempt = || async {
        match call.get().await {
            Ok(found) => match reconciled(&wanted.document, &found.document()) {
                Some(merged) => call.update(&merged).await,
                None => Ok(()),
            },
            Err(status) if status.reason() == Reason::NotFound => call.create(&wanted.document).await,
            Err(status) => Err(status),
        }
    };
    with_patience(attempt).await
}
