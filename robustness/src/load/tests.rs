//! The load against an API in memory, which is right, and one behind a transport that is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use client::fake::{FakeApi, seeded_ambient};
use client::{BodyStream, Transport, TransportError};
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use http::{Request, Response};
use tokio::time::sleep;

use super::{Fault, Plan, Ran, Resource, recorder, run, run_with};
use crate::Guarantee;

fn plan(seed: u64) -> Plan {
    Plan { resources: vec![Resource::ConfigMaps], watchers: 10, ..Plan::small(seed) }
}

async fn against(transport: Arc<dyn Transport>, faults: Vec<Fault>) -> Ran {
    run(plan(3), &seeded_ambient(3), &|_| transport.clone(), faults).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_right_server_passes_with_all_faults() {
    let server = FakeApi::new();
    let (cuts, forgets, fails, down) = (server.clone(), server.clone(), server.clone(), server.clone());
    let faults = vec![
        Fault::new(Duration::from_secs(1), "every watch ends", async move { cuts.cut_watches() }),
        Fault::new(Duration::from_secs(2), "old events are forgotten", async move {
            forgets.forget_history();
            forgets.cut_watches();
        }),
        Fault::new(Duration::from_millis(2500), "503", async move {
            for method in ["POST", "PUT", "GET"] {
                fails.fail_next(6, method, "configmaps", 503, 1);
            }
        }),
        Fault::new(Duration::from_secs(3), "the network is gone", async move {
            down.disconnect(true);
            sleep(Duration::from_millis(700)).await;
            down.disconnect(false);
        }),
    ];
    let Ran { history, verdict, report } = against(Arc::new(server), faults).await;
    assert!(report.is_fine(), "{report}\n{verdict}");
    assert!(report.acknowledged > 500 && report.events > 1000 && report.lists > 100, "{report}");
    assert!(report.resumptions > 10 && report.relists > 0 && report.unanswered > 0, "{report}");
    assert!((1..=18).contains(&report.unavailable) && report.unavailable_without_retry_after == 0, "{report}");
    assert_eq!(report.faults.len(), 4);
    assert!(report.faults[3].outage >= Duration::from_millis(700), "{report}");
    assert!(history.lists.iter().any(|list| list.last) && report.to_string().contains("503 at 2"), "{report}");
}

/// Leaves every fiftieth line of the watches out.
struct Lossy {
    server: FakeApi,
    lines: Arc<AtomicU64>,
}

impl Transport for Lossy {
    fn send(&self, request: Request<Bytes>) -> BoxFuture<'static, Result<Response<BodyStream>, TransportError>> {
        let watches = request.uri().query().is_some_and(|query| query.contains("watch=true"));
        let (answer, lines) = (self.server.send(request), self.lines.clone());
        Box::pin(async move {
            let (head, body) = answer.await?.into_parts();
            if !watches {
                return Ok(Response::from_parts(head, body));
            }
            let kept = body.filter(move |_| {
                let lost = lines.fetch_add(1, Ordering::Relaxed) % 50 == 49;
                std::future::ready(!lost)
            });
            Ok(Response::from_parts(head, kept.boxed()))
        })
    }
}

#[tokio::test(start_paused = true)]
async fn lost_events_are_reported() {
    let lossy = Lossy { server: FakeApi::new(), lines: Arc::default() };
    let Ran { verdict, report, .. } = against(Arc::new(lossy), Vec::new()).await;
    assert!(!report.is_fine() && report.events_lost > 0, "{report}");
    assert!(verdict.broken(Guarantee::WatchReliable) > 0, "{verdict}");
    assert_eq!(report.acknowledged_lost, 0, "{verdict}");
}

#[tokio::test(start_paused = true)]
async fn clusters_of_one_service_share_no_version() {
    let ambient = seeded_ambient(3);
    let recorder = recorder(&ambient);
    let (one, other): (Arc<dyn Transport>, Arc<dyn Transport>) = (Arc::new(FakeApi::new()), Arc::new(FakeApi::new()));
    let (to_one, to_other) = (|_| one.clone(), |_| other.clone());
    let tenant = Plan { cluster: "tenant".to_owned(), ..plan(3) };
    let (_, ran) = tokio::join!(
        run_with(&recorder, plan(3), &ambient, &to_one, Vec::new()),
        run_with(&recorder, tenant, &ambient, &to_other, Vec::new()),
    );
    let Ran { verdict, .. } = ran.unwrap();
    assert!(verdict.broken(Guarantee::VersionUnique) > 1000, "two servers count on their own: {verdict}");
}
