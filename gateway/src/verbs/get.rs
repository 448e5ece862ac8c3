//! get

use api::Status;
use axum::body::Body;
use http::Response;
use shards::service::Verb;

use super::Call;
use crate::list::parse_version;

pub(super) async fn serve(call: Call) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let version = parse_version(call.info.query.text("resourceVersion"))?;
    if let Some(version) = version.filter(|version| !version.is_zero()) {
        // Only a version that some shard has released may make the owner wait for it.
        crate::list::released(&call.gateway.topology, version).await?;
    }
    let answer = call.execute(call.info.name.clone(), Verb::Get { version }).await?;
    call.render(answer, output).await
}
