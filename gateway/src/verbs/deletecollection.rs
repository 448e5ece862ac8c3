//! deletecollection: a list, and a delete of each object in it.

use std::sync::Arc;

use api::document::Document;
use api::status::Reason;
use api::{Object, Status};
use axum::body::Body;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::Response;
use shards::service::{DeleteOptions, Verb};

use super::{Call, delete, list};
use crate::list::ListOptions;
use crate::render::list::{ListMeta, answer};

/// Deletions under way at a time.
const PARALLEL: usize = 16;

pub(super) async fn serve(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let scope = call.scope()?;
    let listing = ListOptions::read(&call.info.query, &scope)?;
    let body = call.read(body).await?;
    let options = delete::read_options(&call, &body)?;
    let listed = list::page(&call, &scope, &listing).await?;
    let call = Arc::new(call);
    let deletions: Vec<_> =
        listed.objects.iter().map(|object| delete_one(call.clone(), object.clone(), options.clone())).collect();
    stream::iter(deletions).buffer_unordered(PARALLEL).try_collect::<()>().await?;
    let shard = scope.selector.shard.to_string();
    let meta = ListMeta { version: listed.version, shard, ..ListMeta::default() };
    let objects = call.read_in(listed.objects).await?;
    answer(&call.resource, call.served, objects, &meta, output, call.now(), &call.gateway.forms).await
}

/// Deletes what was listed, and not what took its name since.
async fn delete_one(call: Arc<Call>, object: Arc<Object>, mut options: DeleteOptions) -> Result<(), Status> {
    let document = object.document();
    let uid = document.uid();
    if options.uid.as_ref().is_some_and(|wanted| wanted != uid) {
        return Ok(());
    }
    options.uid = Some(uid.to_owned());
    match call.execute(object.name.clone(), Verb::Delete { options }).await {
        Err(status) if matches!(status.reason(), Reason::NotFound | Reason::Conflict) => Ok(()),
        answer => answer.map(drop),
    }
}
