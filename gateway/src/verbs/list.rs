//! list

use api::status::Reason;
use api::{Status, Version};
use axum::body::Body;
use http::Response;
use smol_str::SmolStr;

use super::Call;
use crate::continuation::Continuation;
use crate::list::{self, At, ListOptions, Listed, Scope};
use crate::render::list::{ListMeta, answer};

pub(super) async fn serve(call: Call) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let scope = call.scope()?;
    let options = ListOptions::read(&call.info.query, &scope)?;
    let listed = page(&call, &scope, &options).await?;
    let meta = meta_of(&scope, &listed);
    let objects = call.read_in(listed.objects).await?;
    answer(&call.resource, call.served, objects, &meta, output, call.now(), &call.gateway.forms).await
}

/// Reads a page. One whose state is gone is refused with the reference's advice.
pub(super) async fn page(call: &Call, scope: &Scope, options: &ListOptions) -> Result<Listed, Status> {
    // It may be the version of another cluster that had this name before, or of what a backup was made of.
    if matches!(options.at, At::Exactly(version) if version < call.floor) {
        return Err(expired(scope, options));
    }
    match list::list(&call.gateway.topology, scope, options).await {
        Err(status) if status.reason() == Reason::Expired => Err(expired(scope, options)),
        listed => listed,
    }
}

fn expired(scope: &Scope, options: &ListOptions) -> Status {
    let Some(last) = options.after.clone() else {
        return Status::expired("The resourceVersion for the provided list is too old.");
    };
    let token = Continuation::new(&scope.cluster, &scope.resource.id_name, &scope.namespace, Version::ZERO, last);
    Status::expired(
        "The provided continue parameter is too old to display a consistent list result. You can start a new list \
         without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
         results. Continuing with the provided token results in an inconsistent list - objects that were created, \
         modified, or deleted between the time the first chunk was returned and now may show up in the list.",
    )
    .continues(token.at_latest().encode())
}

fn meta_of(scope: &Scope, listed: &Listed) -> ListMeta {
    let shard = scope.selector.shard.to_string();
    let mut meta = ListMeta { version: listed.version, shard, ..ListMeta::default() };
    if let (Some(last), 1..) = (listed.objects.last(), listed.remaining) {
        let key: (SmolStr, SmolStr) = (last.namespace.clone(), last.name.clone());
        let id = &scope.resource.id_name;
        meta.continuation = Continuation::new(&scope.cluster, id, &scope.namespace, listed.version, key).encode();
        meta.remaining = scope.selector.is_everything().then_some(listed.remaining);
    }
    meta
}
