//! list

use api::Status;
use api::status::Reason;
use axum::body::Body;
use http::Response;
use smol_str::SmolStr;

use super::Call;
use crate::continuation::Continuation;
use crate::list::{self, ListOptions, Listed, Scope};
use crate::render::list::{ListMeta, answer};

pub(super) async fn serve(call: Call) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let scope = call.scope()?;
    let options = ListOptions::read(&call.info.query, &scope)?;
    let listed =
        list::list(&call.gateway.topology, &scope, &options).await.map_err(|status| too_old(status, &options))?;
    let meta = meta_of(&scope, &listed);
    Ok(answer(&call.resource, call.served, listed.objects, &meta, output, call.now()))
}

/// A `continue` token whose state is gone gets the reference's advice.
fn too_old(status: Status, options: &ListOptions) -> Status {
    match (status.reason(), &options.after) {
        (Reason::Expired, Some(_)) => Status::expired(
            "The provided continue parameter is too old to display a consistent list result. You must start a new list \
             without the continue parameter.",
        ),
        _ => status,
    }
}

fn meta_of(scope: &Scope, listed: &Listed) -> ListMeta {
    let shard = scope.selector.shard.to_string();
    let mut meta = ListMeta { version: listed.version, shard, ..ListMeta::default() };
    if let (Some(last), 1..) = (listed.objects.last(), listed.remaining) {
        let key: (SmolStr, SmolStr) = (last.namespace.clone(), last.name.clone());
        let id = scope.resource.id_name;
        meta.continuation = Continuation::new(&scope.cluster, id, &scope.namespace, listed.version, key).encode();
        meta.remaining = scope.selector.is_everything().then_some(listed.remaining);
    }
    meta
}
