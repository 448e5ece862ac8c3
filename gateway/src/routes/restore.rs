//! `/shardplane/v1/clusters/NAME/restore`: what `shardplane admin restore` speaks to, step by step. Only paths of the cluster
//! `default` lead here. A client that goes away leaves a cluster that is being restored, and that lets nobody in.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::status::Reason;
use api::{Resource, Status, Version};
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, Extension, Path, State};
use bytes::Bytes;
use http::Response;
use serde::Deserialize;
use serde_json::json;
use shards::backup::{Piece, Reader};

use super::clusters::{bootstrap, check_place, new_token};
use super::refusal;
use crate::clusters::restore::Restored;
use crate::{Inner, Ticket, render};

/// Bytes of objects that come at once: the largest object fits, with the rest of its block.
const LIMIT: usize = 8 << 20;

/// What a beginning says of the backup.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Begin {
    /// Of the cut.
    version: String,
    /// Where the ClusterIPs in it come from.
    service_cidr: String,
}

/// What must be there at the end.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Finish {
    /// How many objects, by stored identity of their kind.
    counts: BTreeMap<String, u64>,
}

pub(super) fn limit() -> DefaultBodyLimit {
    DefaultBodyLimit::max(LIMIT)
}

/// Shuts the cluster, or makes it.
pub(super) async fn begin(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path(name): Path<String>,
    body: Bytes,
) -> Response<Body> {
    let begun = async {
        check_place(&ticket)?;
        let Begin { version, service_cidr } = read(&body)?;
        let cut: Version = version.parse().map_err(|error| Status::bad_request(format!("version: {error}")))?;
        let ours = inner.config.service_cidr.to_string();
        if service_cidr != ours {
            let why = format!(
                "the Services of the backup have addresses of {service_cidr}, and those of this service are of {ours}: \
                 see --service-cluster-ip-range"
            );
            return Err(Status::new(Reason::Conflict, why));
        }
        let record = inner.clusters.begin_restore(&name, cut).await?;
        Ok(render::value(201, &record.shown(), false))
    };
    begun.await.unwrap_or_else(refusal)
}

/// Puts some objects there: a backup of them alone, whose end need not be a cut.
pub(super) async fn objects(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path((name, id)): Path<(String, String)>,
    body: Bytes,
) -> Response<Body> {
    let put = async {
        check_place(&ticket)?;
        let (record, _) = inner.clusters.restoring(&name, &id).await?;
        let objects = parse(&inner.kinds.all(&record.id).await, &body)?;
        let count = objects.len();
        inner.clusters.put(&record, objects).await?;
        Ok(render::value(200, &json!({ "objects": count }), false))
    };
    put.await.unwrap_or_else(refusal)
}

/// Lets clients in. The answer holds the token of a cluster that is new, which nothing else will show again.
pub(super) async fn finish(
    State(inner): State<Arc<Inner>>,
    Extension(ticket): Extension<Ticket>,
    Path((name, id)): Path<(String, String)>,
    body: Bytes,
) -> Response<Body> {
    let finished = async {
        check_place(&ticket)?;
        let Finish { counts } = read(&body)?;
        let (token, bootstrap) = (new_token(&inner), bootstrap(&inner));
        let kinds = inner.kinds.all(&id.as_str().into()).await;
        let finished = inner.clusters.finish_restore((&name, &id), &kinds, &counts, &bootstrap, &token);
        let (record, is_new) = finished.await?;
        let mut shown = record.shown();
        shown["floor"] = record.floor.to_string().into();
        if is_new {
            shown["token"] = token.into();
        }
        Ok(render::value(200, &shown, false))
    };
    finished.await.unwrap_or_else(refusal)
}

fn read<T: serde::de::DeserializeOwned>(body: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(body)
        .map_err(|error| Status::bad_request(format!("the body is not what is wanted: {error}")))
}

fn parse(known: &[Arc<Resource>], body: &[u8]) -> Result<Vec<Restored>, Status> {
    let broken = |error: shards::backup::FormatError| Status::bad_request(error.to_string());
    let (mut reader, mut kinds, mut objects) = (Reader::default(), Vec::new(), Vec::new());
    reader.push(body);
    while let Some(piece) = reader.read().map_err(broken)? {
        match piece {
            Piece::Header(header) => kinds = header.resources,
            Piece::Trailer(_) => {}
            Piece::Records(_, records) => {
                for record in records {
                    let kind = &kinds[usize::from(record.resource)];
                    // What a definition defines that was restored a moment ago is known in another moment.
                    let resource =
                        known.iter().find(|resource| resource.id_name == kind.as_str()).ok_or_else(|| {
                            Status::unavailable(format!(
                                "the backup holds {kind}, which this service or its --runtime-config does not know"
                            ))
                        })?;
                    let tail = record.tail.ok_or_else(|| Status::bad_request("what is gone cannot be restored"))?;
                    let (resource, namespace, name) = (resource.clone(), record.namespace, record.name);
                    objects.push(Restored { resource, namespace, name, tail });
                }
            }
        }
    }
    reader.finish().map_err(broken)?;
    Ok(objects)
}
