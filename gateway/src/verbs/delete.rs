//! delete

use api::Status;
use axum::body::Body;
use bytes::Bytes;
use http::Response;
use shards::service::{DeleteOptions, Verb};

use super::Call;
use crate::options::{body_delete_options, query_delete_options};

pub(super) async fn serve(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let body = call.read(body).await?;
    let options = read_options(&call, &body)?;
    let answer = call.execute(call.info.name.clone(), Verb::Delete { options }).await?;
    call.render(answer, output).await
}

/// DeleteOptions, from the body where there is one.
pub(super) fn read_options(call: &Call, body: &Bytes) -> Result<DeleteOptions, Status> {
    match body.is_empty() {
        true => query_delete_options(&call.info.query),
        false => body_delete_options(body, call.format()?),
    }
}
