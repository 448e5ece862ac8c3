//! update: replaces an object, or what one of its subresources shows.

use api::Status;
use axum::body::Body;
use http::Response;
use shards::service::Verb;

use super::Call;
use crate::options::write_options;

pub(super) async fn serve(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let format = call.format()?;
    let options = write_options("UpdateOptions", &call.info.query, &call.headers)?;
    let body = call.read(body).await?;
    if !matches!(call.info.subresource.as_str(), "" | "status") {
        // The shard compares names of whole objects when it has decoded them.
        call.check_names(&body, format)?;
    }
    let verb = Verb::Update { body, format, options, uid: call.new_uid() };
    let answer = call.execute(call.info.name.clone(), verb).await?;
    call.render(answer, output).await
}
