//! One place for a connection: made when needed, shared by requests, made anew after it broke.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use http::{Request, Response};
use http_body_util::{BodyDataStream, BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex as SyncMutex;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use tracing::debug;

use super::Shared;
use super::stream::Stream;
use crate::backoff::Backoff;
use crate::{BodyStream, TransportError};

/// Idle HTTP/1.1 connections that are kept.
const IDLE: usize = 16;

/// A failed request, and whether a connection was there to begin with.
pub(super) struct Failed {
    pub(super) message: String,
    pub(super) sent: bool,
    pub(super) was_connected: bool,
}

impl Failed {
    pub(super) fn error(self) -> TransportError {
        TransportError { message: self.message, sent: self.sent }
    }
}

#[derive(Default)]
pub(super) struct Slot {
    link: Mutex<Link>,
    /// Requests under way, their bodies included.
    load: Arc<AtomicUsize>,
}

struct Link {
    connection: Option<Connection>,
    backoff: Backoff,
    /// After a failure: until when, and what to say.
    pause: Option<(Instant, String)>,
}

impl Default for Link {
    fn default() -> Self {
        let backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        Self { connection: None, backoff, pause: None }
    }
}

#[derive(Clone)]
enum Connection {
    Http2(http2::SendRequest<Full<Bytes>>),
    /// The idle ones of several.
    Http1(Arc<SyncMutex<Vec<http1::SendRequest<Full<Bytes>>>>>),
}

/// Counts a request as long as it lives.
struct Load(Arc<AtomicUsize>);

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Slot {
    pub(super) fn load(&self) -> usize {
        self.load.load(Ordering::Relaxed)
    }

    pub(super) async fn send(&self, shared: &Shared, request: Request<Bytes>) -> Result<Response<BodyStream>, Failed> {
        self.load.fetch_add(1, Ordering::Relaxed);
        let load = Load(self.load.clone());
        let (connection, was_connected) = self.connection(shared).await?;
        let request = request.map(Full::new);
        match connection {
            Connection::Http2(mut sender) => {
                // Waits for room among the streams that the server allows.
                if let Err(error) = sender.ready().await {
                    return Err(Failed { message: told(shared, &error), sent: false, was_connected });
                }
                let answer = sender.try_send_request(request).await;
                let answer = answer.map_err(|error| failed(shared, error, was_connected))?;
                Ok(answer.map(|body| stream(shared, body, load, None)))
            }
            Connection::Http1(idle) => self.send_http1(shared, request, idle, load).await,
        }
    }

    async fn send_http1(
        &self,
        shared: &Shared,
        request: Request<Full<Bytes>>,
        idle: Arc<SyncMutex<Vec<http1::SendRequest<Full<Bytes>>>>>,
        load: Load,
    ) -> Result<Response<BodyStream>, Failed> {
        let mut sender = loop {
            let candidate = idle.lock().pop();
            match candidate {
                // It is ready as soon as the connection has seen the end of the answer before.
                Some(mut sender) => {
                    if sender.ready().await.is_ok() {
                        break Some(sender);
                    }
                }
                None => break None,
            }
        };
        let was_connected = sender.is_some();
        if sender.is_none() {
            let connected = connect(shared).await;
            sender = match connected.map_err(|message| Failed { message, sent: false, was_connected })? {
                Connected::Http1(sender) => Some(sender),
                Connected::Http2(_) => None,
            };
        }
        let Some(mut sender) = sender else {
            // The server has learnt HTTP/2 since: the next request finds out.
            self.link.lock().await.connection = None;
            let message = format!("{} changed its protocol", shared.authority);
            return Err(Failed { message, sent: false, was_connected: true });
        };
        let (mut head, body) = request.into_parts();
        // HTTP/1.1 wants the path alone, and the host in a header.
        if let Ok(host) = http::HeaderValue::from_str(&shared.authority) {
            head.headers.insert(http::header::HOST, host);
        }
        head.uri = head.uri.path_and_query().map_or_else(http::Uri::default, |path| path.clone().into());
        let answer = sender.try_send_request(Request::from_parts(head, body)).await;
        let answer = answer.map_err(|error| failed(shared, error, was_connected))?;
        Ok(answer.map(|body| stream(shared, body, load, Some((sender, idle)))))
    }

    /// The connection, made now if there is none, and whether it was there before.
    async fn connection(&self, shared: &Shared) -> Result<(Connection, bool), Failed> {
        let mut link = self.link.lock().await;
        match &link.connection {
            Some(Connection::Http2(sender)) if sender.is_closed() => link.connection = None,
            Some(connection) => return Ok((connection.clone(), true)),
            None => {}
        }
        if let Some((until, message)) = &link.pause
            && Instant::now() < *until
        {
            return Err(Failed { message: message.clone(), sent: false, was_connected: false });
        }
        match connect(shared).await {
            Ok(connected) => {
                link.pause = None;
                link.backoff.reset();
                let connection = match connected {
                    Connected::Http2(sender) => Connection::Http2(sender),
                    Connected::Http1(sender) => Connection::Http1(Arc::new(SyncMutex::new(vec![sender]))),
                };
                link.connection = Some(connection.clone());
                Ok((connection, false))
            }
            Err(message) => {
                let pause = link.backoff.next(&*shared.options.ambient.entropy);
                link.pause = Some((Instant::now() + pause, message.clone()));
                Err(Failed { message, sent: false, was_connected: false })
            }
        }
    }
}

enum Connected {
    Http2(http2::SendRequest<Full<Bytes>>),
    Http1(http1::SendRequest<Full<Bytes>>),
}

async fn connect(shared: &Shared) -> Result<Connected, String> {
    let deadline = shared.options.connect_deadline;
    let late = |_| Err(format!("{} did not accept a connection within {deadline:?}", shared.authority));
    timeout(deadline, handshake(shared)).await.unwrap_or_else(late)
}

async fn handshake(shared: &Shared) -> Result<Connected, String> {
    let (stream, http2) = Stream::connect(shared).await?;
    let told = |error: hyper::Error| format!("no HTTP with {}: {error}", shared.authority);
    let authority = shared.authority.clone();
    if http2 {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(shared.options.ping_interval)
            .keep_alive_timeout(shared.options.ping_timeout)
            .keep_alive_while_idle(true)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(told)?;
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(authority, %error, "connection lost");
            }
        });
        return Ok(Connected::Http2(sender));
    }
    let (sender, connection) = http1::Builder::new().handshake(TokioIo::new(stream)).await.map_err(told)?;
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!(authority, %error, "connection lost");
        }
    });
    Ok(Connected::Http1(sender))
}

type Http1Return = (http1::SendRequest<Full<Bytes>>, Arc<SyncMutex<Vec<http1::SendRequest<Full<Bytes>>>>>);

/// The body as it arrives. With its end the request no longer counts, and an HTTP/1.1 connection is idle again.
fn stream(shared: &Shared, body: Incoming, load: Load, back: Option<Http1Return>) -> BodyStream {
    let authority = shared.authority.clone();
    let chunks = BodyDataStream::new(body.map_err(move |error| TransportError {
        message: format!("the connection to {authority} broke: {error}"),
        sent: true,
    }));
    let end = futures_util::stream::once(async move {
        drop(load);
        if let Some((sender, idle)) = back {
            let mut idle = idle.lock();
            if !sender.is_closed() && idle.len() < IDLE {
                idle.push(sender);
            }
        }
        None
    });
    chunks.map(Some).chain(end).filter_map(std::future::ready).boxed()
}

fn failed<T>(shared: &Shared, mut error: TrySendError<T>, was_connected: bool) -> Failed {
    // Whoever gets the request back knows that it was not sent.
    let sent = error.take_message().is_none();
    Failed { message: told(shared, error.error()), sent, was_connected }
}

fn told(shared: &Shared, error: &hyper::Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}")).unwrap_or_default();
    format!("the connection to {} broke: {error}{cause}", shared.authority)
}
