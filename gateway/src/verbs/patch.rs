//! patch: JSON patch, merge patch, strategic merge patch.

use api::{Causes, Status};
use axum::body::Body;
use http::Response;
use shards::service::Verb;

use super::Call;
use crate::media::patch_type;
use crate::options::write_options;

pub(super) async fn serve(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let patch = patch_type(&call.headers, &call.resource)?;
    let options = write_options("PatchOptions", &call.info.query, &call.headers)?;
    if call.info.query.get("force").is_some() {
        let mut causes = Causes::default();
        causes.forbidden("force", "may not be specified for non-apply patch");
        return Err(Status::invalid("meta.k8s.io", "PatchOptions", "", causes));
    }
    let body = call.read(body).await?;
    let answer = call.execute(call.info.name.clone(), Verb::Patch { body, patch, options }).await?;
    call.render(answer, output)
}
