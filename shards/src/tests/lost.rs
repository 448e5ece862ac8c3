//! Requests whose owner vanishes while it has them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use api::builtin::{RuntimeConfig, registry};
use api::slot::Slot;
use api::status::Reason;
use api::{ResourceId, Version};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::{BoxFuture, pending, ready};
use tokio::time::Instant;

use crate::service::*;
use crate::topology::{OWNER_WAIT, SETTLED, Topology};

/// The connection breaks under the first call, and nobody ever answers the next ones, or the connection breaks each time.
struct Vanishing {
    silent: bool,
    calls: AtomicUsize,
}

impl ShardService for Vanishing {
    fn execute(&self, _: Request) -> BoxFuture<'_, Result<Answer, ShardError>> {
        match self.calls.fetch_add(1, Ordering::Relaxed) {
            1.. if self.silent => pending().boxed(),
            _ => ready(Err(ShardError::Lost("it is gone".to_owned()))).boxed(),
        }
    }

    fn clock(&self) -> BoxFuture<'_, Result<Version, ShardError>> {
        pending().boxed()
    }

    fn list(&self, _: ListRequest) -> BoxFuture<'_, Result<ListPage, ShardError>> {
        pending().boxed()
    }

    fn subscribe(&self, _: SubscribeRequest) -> BoxFuture<'_, Result<Subscription, ShardError>> {
        pending().boxed()
    }

    fn history(&self, _: HistoryRequest) -> BoxFuture<'_, Result<History, ShardError>> {
        pending().boxed()
    }

    fn advance(&self, _: &str, _: ResourceId, _: Version) {}
}

async fn ask(silent: bool, verb: Verb) -> (api::Status, Duration) {
    let topology = Topology::fixed(vec![Arc::new(Vanishing { silent, calls: AtomicUsize::default() })]);
    let request = Request {
        id: 1,
        cluster: "default".into(),
        resource: registry(&RuntimeConfig::default()).named("configmaps").unwrap().id,
        served: 0,
        subresource: Default::default(),
        namespace: "default".into(),
        name: "a".into(),
        user: Default::default(),
        verb,
    };
    let began = Instant::now();
    (topology.execute(Slot(1), request).await.unwrap_err(), began.elapsed())
}

#[tokio::test(start_paused = true)]
async fn a_client_is_told_in_time_that_nobody_knows() {
    for silent in [false, true] {
        let options = WriteOptions::default();
        let write = Verb::Create { body: Bytes::new(), format: Format::Json, options, uid: String::new() };
        let (status, took) = ask(silent, write).await;
        assert_eq!((status.code(), status.reason()), (504, Reason::Timeout), "{status:?}");
        assert!(status.message().contains("its outcome is unknown"), "{status:?}");
        assert!(took <= SETTLED && took + Duration::from_millis(300) > SETTLED, "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_read_may_be_asked_again() {
    let (status, took) = ask(false, Verb::Get { version: None }).await;
    assert_eq!((status.code(), status.retry_after_seconds()), (503, 1), "{status:?}");
    assert!(took <= OWNER_WAIT, "{took:?}");
}
