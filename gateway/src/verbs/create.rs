//! create, of an object or through a subresource (`binding`, `eviction`).

use api::Status;
use api::codec;
use api::names::generate_name;
use api::status::{Causes, Reason};
use axum::body::Body;
use http::Response;
use shards::service::Verb;
use smol_str::SmolStr;

use super::Call;
use crate::options::write_options;
use crate::peek::{Peek, peek};

/// How often another name is tried when a generated one is taken.
const TRIES: usize = 8;

pub(super) async fn serve(call: Call, body: Body) -> Result<Response<Body>, Status> {
    let output = call.output()?;
    let format = call.format()?;
    let options = write_options("CreateOptions", &call.info.query, &call.headers)?;
    let body = call.read(body).await?;
    let create = |uid| Verb::Create { body: body.clone(), format, options: options.clone(), uid };
    if !call.info.subresource.is_empty() {
        call.check_names(&body, format)?;
        let answer = call.execute(call.info.name.clone(), create(call.new_uid())).await?;
        return call.render(answer, output).await;
    }
    let found = peek(call.resource.shape(call.served()), &body, format)
        .map_err(|malformed| codec::refusal(&call.resource.kind, &call.served().version, &body, format, &malformed))?;
    call.check_namespace(&found.namespace)?;
    let mut tries = 0;
    loop {
        tries += 1;
        let name = name_of(&call, &found)?;
        match call.execute(name, create(call.new_uid())).await {
            Err(status) if status.reason() == Reason::AlreadyExists && found.name.is_empty() && tries < TRIES => {}
            answer => return call.render(answer?, output).await,
        }
    }
}

fn name_of(call: &Call, found: &Peek) -> Result<SmolStr, Status> {
    if !found.name.is_empty() {
        return Ok(found.name.clone());
    }
    if !found.generate_name.is_empty() {
        return Ok(generate_name(&found.generate_name, call.gateway.ambient.entropy.next_u64()).into());
    }
    let mut causes = Causes::default();
    causes.required("metadata.name", "name or generateName is required");
    Err(Status::invalid(&call.resource.group, &call.resource.kind, "", causes))
}
