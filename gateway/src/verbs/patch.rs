//! patch: JSON patch, merge patch, strategic merge patch, server-side apply.

use api::{Causes, Status};
use axum::body::Body;
use http::Response;
use shards::service::{PatchType, Verb};

use super::Call;
use crate::media::patch_type;
use crate::options::write_options;

pub(super) async fn serve(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let patch = patch_type(&call.headers, &call.resource)?;
    let mut options = write_options("PatchOptions", &call.info.query, &call.headers)?;
    let mut causes = Causes::default();
    match (patch, call.info.query.flag("force")) {
        (PatchType::Apply, force) => {
            options.force = force.unwrap_or(false);
            if call.info.query.text("fieldManager").is_empty() {
                causes.required("fieldManager", "is required for apply patch");
            }
        }
        (_, Some(_)) => causes.forbidden("force", "may not be specified for non-apply patch"),
        (_, None) => {}
    }
    if !causes.is_empty() {
        return Err(Status::invalid("meta.k8s.io", "PatchOptions", "", causes));
    }
    let body = call.read(body).await?;
    let verb = Verb::Patch { body, patch, options, uid: call.new_uid() };
    let answer = call.execute(call.info.name.clone(), verb).await?;
    call.render(answer, output).await
}
