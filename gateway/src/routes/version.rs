//! /version

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Extension, State};
use http::Response;
use serde_json::json;

use crate::config::VersionInfo;
use crate::{Inner, Ticket, render};

/// The API version that is served, and what serves it.
pub(super) async fn serve(State(inner): State<Arc<Inner>>, Extension(ticket): Extension<Ticket>) -> Response<Body> {
    let VersionInfo { git_version, git_commit, build_date } = &inner.config.version;
    let architecture = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    let document = json!({
        "major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": "36",
        "minCompatibilityMajor": "1", "minCompatibilityMinor": "35",
        "gitVersion": git_version, "gitCommit": git_commit, "gitTreeState": "", "buildDate": build_date,
        "goVersion": "", "compiler": "rustc", "platform": format!("{}/{architecture}", std::env::consts::OS),
    });
    render::value(200, &document, ticket.info.query.flag("pretty") != Some(false))
}
