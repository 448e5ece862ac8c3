//! watch: from a version, from now, or with what exists first. The stream itself is [`crate::watch`].

use std::sync::Arc;
use std::time::Duration;

use api::status::{Causes, Reason};
use api::{Object, Status, Version};
use axum::body::Body;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response};

use super::Call;

use crate::list::{self, At, ListOptions, Scope, parse_version};
use crate::media::{Output, Target};
use crate::query::Query;
use crate::reading::Reader;
use crate::relay::{Filter, Reach, Shape};
use crate::watch::{Presenter, Stream, WatchBody};

/// Where a watch begins.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Start {
    /// With events behind this version.
    Behind(Version),
    /// With events from now on.
    Now,
    /// With an ADDED for everything that exists, at a moment like this.
    Existing(At),
}

#[derive(Clone, Debug)]
struct WatchOptions {
    start: Start,
    bookmarks: bool,
    /// Whether a bookmark says where what existed ends.
    marks_end: bool,
    timeout: Option<Duration>,
}

impl WatchOptions {
    fn read(query: &Query) -> Result<Self, Status> {
        let send_initial = query.flag("sendInitialEvents");
        let matching = query.text("resourceVersionMatch");
        check(send_initial, matching, !query.text("continue").is_empty())?;
        let version = parse_version(query.text("resourceVersion"))?.filter(|version| !version.is_zero());
        let bookmarks = query.flag("allowWatchBookmarks") == Some(true);
        let start = match (version, send_initial) {
            (Some(version), Some(true)) => Start::Existing(At::NotOlderThan(version)),
            (Some(version), _) => Start::Behind(version),
            (None, Some(false)) => Start::Now,
            (None, _) => Start::Existing(At::Latest),
        };
        let timeout = query.number::<u64>("timeoutSeconds")?.filter(|seconds| *seconds > 0).map(Duration::from_secs);
        Ok(Self { start, bookmarks, marks_end: bookmarks && send_initial == Some(true), timeout })
    }
}

fn check(send_initial: Option<bool>, matching: &str, continues: bool) -> Result<(), Status> {
    let mut causes = Causes::default();
    let field = "resourceVersionMatch";
    if send_initial.is_some() && matching != "NotOlderThan" {
        causes.forbidden(field, "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan");
    }
    if !matching.is_empty() {
        if send_initial.is_none() {
            causes.forbidden(field, "resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided");
        }
        if matching != "NotOlderThan" {
            causes.not_supported(field, &matching.into(), &["NotOlderThan"]);
        }
        if continues {
            causes.forbidden(field, "resourceVersionMatch is forbidden when continue is provided");
        }
    }
    if causes.is_empty() { Ok(()) } else { Err(Status::invalid("meta.k8s.io", "ListOptions", "", causes)) }
}

pub(super) async fn serve(call: Call) -> Result<Response<Body>, Status> {
    let output = Output::negotiate_stream(&call.headers, &call.info.query, &call.resource)?;
    let scope = call.scope()?;
    let options = WatchOptions::read(&call.info.query)?;
    let gateway = &call.gateway;
    let reach = scope.reach();
    let (from, existing) = begin(&call, &scope, &options).await?;
    let shape = if let Target::Metadata(version) = output.target { Shape::Metadata(version) } else { Shape::Object };
    let filter = Filter {
        namespace: scope.namespace.clone(),
        selector: scope.selector.clone(),
        served: call.served,
        shape,
        encoding: output.encoding,
    };
    let presenter = {
        let (forms, clock) = (gateway.forms.clone(), gateway.ambient.clock.clone());
        Presenter::new(call.resource.clone(), call.served, output, forms, clock)
    };
    let followed = match from < call.floor {
        true => Err(Status::expired(format!("too old resource version: {from} ({})", call.floor))),
        false => gateway.relays.follow(&scope.cluster, &scope.resource, reach, from, filter).await,
    };
    let stream = match followed {
        Ok(feed) => Stream::Live(feed),
        // The reference starts the stream and says it there.
        Err(status) if matches!(status.reason(), Reason::Expired | Reason::Gone) => Stream::Refused(status),
        Err(status) => return Err(status),
    };
    if let (Stream::Live(feed), Start::Now, Reach::Everywhere) = (&stream, &options.start, reach) {
        // A shard whose clock is behind the others' must not write below what the watch begins with.
        feed.pass(from).await?;
    }
    let existing = call.read_in(existing).await?;
    let reader = Reader {
        gateway: gateway.clone(),
        cluster: scope.cluster.clone(),
        resource: call.resource.clone(),
        served: call.served,
    };
    let limits = &gateway.config.limits;
    let spread = gateway.ambient.entropy.next_u64() as f64 / u64::MAX as f64;
    let body = WatchBody {
        presenter,
        reader,
        stream,
        existing: existing.into_iter(),
        existing_end: options.marks_end.then_some(from),
        lasts: options.timeout.unwrap_or_else(|| limits.watch.mul_f64(1.0 + spread)),
        // Thousands of watches that began together should not get their bookmarks together.
        bookmark_every: options.bookmarks.then(|| limits.bookmark.mul_f64(0.75 + spread / 2.0)),
    };
    let mut response = Response::new(
        body.into_body(call.gateway.clone(), crate::resource_labels(&scope.cluster, &call.resource, call.served)),
    );
    response.headers_mut().insert(CONTENT_TYPE, output.encoding.stream_type());
    response.headers_mut().insert("cache-control", HeaderValue::from_static("no-cache, private"));
    Ok(response)
}

/// The version behind which events are sent, and what is sent before them.
async fn begin(call: &Call, scope: &Scope, options: &WatchOptions) -> Result<(Version, Vec<Arc<Object>>), Status> {
    let topology = &call.gateway.topology;
    match &options.start {
        Start::Behind(version) => {
            list::released(topology, *version).await?;
            Ok((*version, Vec::new()))
        }
        Start::Now => Ok((list::now(topology, scope).await?, Vec::new())),
        Start::Existing(at) => {
            let options = ListOptions { at: at.clone(), limit: usize::MAX, after: None };
            let listed = list::list(topology, scope, &options).await?;
            Ok((listed.version, listed.objects))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(query: &str) -> Result<Start, u16> {
        WatchOptions::read(&Query::parse(Some(query))).map(|options| options.start).map_err(|status| status.code())
    }

    #[test]
    fn where_a_watch_begins() {
        assert_eq!(read(""), Ok(Start::Existing(At::Latest)));
        assert_eq!(read("resourceVersion=0"), Ok(Start::Existing(At::Latest)));
        assert_eq!(read("resourceVersion=7"), Ok(Start::Behind(Version(7))));
        let initial = "sendInitialEvents=true&resourceVersionMatch=NotOlderThan";
        assert_eq!(read(initial), Ok(Start::Existing(At::Latest)));
        assert_eq!(read(&format!("{initial}&resourceVersion=7")), Ok(Start::Existing(At::NotOlderThan(Version(7)))));
        assert_eq!(read("sendInitialEvents=false&resourceVersionMatch=NotOlderThan"), Ok(Start::Now));
        for (bad, code) in [
            ("sendInitialEvents=true", 422),
            ("resourceVersionMatch=NotOlderThan", 422),
            ("resourceVersion=x", 400),
            ("timeoutSeconds=x", 400),
        ] {
            assert_eq!(read(bad), Err(code), "{bad}");
        }
    }
}
