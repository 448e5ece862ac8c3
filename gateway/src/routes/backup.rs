//! `/shardplane/v1/backup`: what `shardplane admin backup` reads. Only paths of the cluster `default` lead here.

use std::sync::Arc;

use api::Status;
use axum::body::Body;
use axum::extract::{Extension, State};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::clusters::check_place;
use super::refusal;
use crate::backup::{self, MEDIA};
use crate::{Inner, Ticket};

/// A backup of the clusters that `?cluster=` names, or of all that are ready by `?all=true`, cut at one version.
pub(super) async fn serve(State(inner): State<Arc<Inner>>, Extension(ticket): Extension<Ticket>) -> Response<Body> {
    let begun = async {
        check_place(&ticket)?;
        let query = &ticket.info.query;
        let all = query.flag("all") == Some(true);
        let mut names: Vec<String> = query.all("cluster").map(str::to_owned).collect();
        if all != names.is_empty() {
            return Err(Status::bad_request("cluster=NAME, once or more often, or all=true is wanted"));
        }
        if all {
            names = inner.clusters.ready().await?;
        }
        names.sort();
        names.dedup();
        let mut clusters = Vec::new();
        for name in names {
            clusters.push(inner.clusters.resolve(&name).await?);
        }
        let mut response = Response::new(backup::body(inner.clone(), clusters, all));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(MEDIA));
        Ok(response)
    };
    begun.await.unwrap_or_else(refusal)
}
