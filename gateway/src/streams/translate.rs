//! exec and attach for a client that has a WebSocket, by a kubelet that speaks SPDY: the client is agreed with first, and hears
//! of whatever goes wrong behind it on its channel for errors, as the reference has it.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http::Response;
use hyper_util::rt::TokioIo;
use streaming::remote::{Dialect, Input, Outcome, Output, PROTOCOL_VERSION, Remote, Wishes, serve_channels};
use streaming::spdy::{Incoming, Outgoing, Session, Stream};
use streaming::websocket::Wanted;

use super::{refusal, spdy_request, speaks_spdy};
use crate::Inner;
use crate::forward::{Backend, Begun, Carried, Passage, begin};

/// The version that is translated. The older ones go to the kubelet as they come.
pub(crate) const PROTOCOL: &str = "v5.channel.k8s.io";
/// What kubelets are asked to speak: all of them do.
const TOWARDS_KUBELETS: &str = "v4.channel.k8s.io";
/// How often a kubelet is asked whether it is there.
const PINGS: Duration = Duration::from_secs(5);
/// Bytes of a result.
const RESULT: usize = 64 << 10;

/// Agrees with the client, and translates from then on.
pub(crate) fn translate(
    inner: &Arc<Inner>,
    passage: Passage,
    wanted: &Wanted,
    backend: Backend,
    (target, wishes): (String, Wishes),
) -> Response<Body> {
    let response = wanted.accept(PROTOCOL).map(|()| Body::empty());
    let metrics = inner.clone();
    passage.take_over(response, move |client, ends, carried| async move {
        let dialect = Dialect::of(PROTOCOL).expect("it is one of those that are known");
        let mut remote = serve_channels(client, dialect, wishes).await;
        let gone = remote.gone.clone();
        let outcome = tokio::select! {
            outcome = run(&backend, &target, wishes, &mut remote, &carried) => outcome,
            () = gone.cancelled() => return,
            () = ends.stopping.cancelled() => Outcome::Failed("the server is shutting down".to_owned()),
        };
        metrics.metrics.translated(if matches!(outcome, Outcome::Failed(_)) { 500 } else { 200 });
        let Remote { ending, .. } = remote;
        if let Err(error) = ending.finish(&outcome).await {
            tracing::debug!(%error, "a client has not heard the result of its command");
        }
    })
}

/// Has the kubelet run the command; what came of it.
async fn run(backend: &Backend, target: &str, wishes: Wishes, remote: &mut Remote, carried: &Carried) -> Outcome {
    let begun = match spdy_request(backend, target, TOWARDS_KUBELETS) {
        Ok(request) => begin(backend, request).await,
        Err(status) => Err(status),
    };
    let (answer, upgrading) = match begun {
        Ok(Begun::Agreed(answer, upgrading)) => (answer, upgrading),
        Ok(Begun::Refused(answer)) => return refused(&refusal(answer).await),
        Err(status) => return Outcome::Failed(status.message().to_owned()),
    };
    let version = answer.headers().get(PROTOCOL_VERSION).map(|version| version.as_bytes());
    if !speaks_spdy(answer.headers()) || version != Some(TOWARDS_KUBELETS.as_bytes()) {
        return Outcome::Failed("unable to upgrade connection: the kubelet speaks another protocol".to_owned());
    }
    match upgrading.await {
        Ok(upgraded) => {
            let session = Session::client(TokioIo::new(upgraded), Some(PINGS));
            let ran = carry(&session, wishes, remote, carried).await;
            ran.unwrap_or_else(|error| Outcome::Failed(error.to_string()))
        }
        Err(error) => Outcome::Failed(format!("unable to upgrade connection: {error}")),
    }
}

/// A refusal that is a Status is handed on; another is quoted.
fn refused(said: &Bytes) -> Outcome {
    match serde_json::from_slice::<serde_json::Value>(said) {
        Ok(status) if status["kind"] == "Status" => Outcome::Said(said.clone()),
        _ => Outcome::Failed(format!("unable to upgrade connection: {}", String::from_utf8_lossy(said).trim())),
    }
}

async fn open(session: &Session, kind: &str) -> std::io::Result<Stream> {
    session.open(vec![("streamtype".to_owned(), kind.to_owned())]).await
}

/// Carries every stream until the command is over.
async fn carry(session: &Session, wishes: Wishes, remote: &mut Remote, carried: &Carried) -> std::io::Result<Outcome> {
    let error = open(session, "error").await?;
    let stdin = if wishes.stdin { Some(open(session, "stdin").await?) } else { None };
    let stdout = if wishes.stdout { Some(open(session, "stdout").await?) } else { None };
    let stderr = if wishes.stderr && !wishes.tty { Some(open(session, "stderr").await?) } else { None };
    let resize = if wishes.tty { Some(open(session, "resize").await?) } else { None };

    let Remote { stdin: typed, stdout: shown, stderr: complained, resize: sizes, .. } = remote;
    let towards = async {
        tokio::join!(
            send(typed.as_mut(), stdin.map(|stream| stream.split().1), &carried.from_client),
            send(Some(sizes), resize.map(|stream| stream.split().1), &carried.from_client),
        );
        std::future::pending::<Infallible>().await
    };
    let back = async {
        let (.., result) = tokio::join!(
            receive(stdout, shown.as_mut(), &carried.to_client),
            receive(stderr, complained.as_mut(), &carried.to_client),
            all(error.split().0),
        );
        result
    };
    tokio::select! {
        result = back => Ok(match result {
            result if result.is_empty() => Outcome::Failed("the kubelet has ended without a result".to_owned()),
            result => Outcome::Said(result),
        }),
        never = towards => match never {},
    }
}

async fn send(from: Option<&mut Input>, to: Option<Outgoing>, count: &AtomicU64) {
    let (Some(from), Some(mut to)) = (from, to) else { return };
    while let Some(data) = from.next().await {
        count.fetch_add(data.len() as u64, Ordering::Relaxed);
        if to.send(data).await.is_err() {
            return;
        }
    }
    // Where the kubelet is gone, the other side notices.
    let _ = to.finish().await;
}

async fn receive(from: Option<Stream>, to: Option<&mut Output>, count: &AtomicU64) {
    let (Some(from), Some(to)) = (from, to) else { return };
    let mut from = from.split().0;
    while let Some(data) = from.next().await {
        count.fetch_add(data.len() as u64, Ordering::Relaxed);
        if to.send(data).await.is_err() {
            return;
        }
    }
}

/// The whole of a stream that should be short.
async fn all(mut from: Incoming) -> Bytes {
    let mut said = BytesMut::new();
    while let Some(data) = from.next().await {
        let room = RESULT.saturating_sub(said.len());
        said.extend_from_slice(&data[..data.len().min(room)]);
    }
    said.freeze()
}
