//! `/portForward`: connections to the ports that the Pod's containers name. Each is two streams of one SPDY session, one for its
//! bytes and one for what goes wrong.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use client::Key;
use http::{Request, StatusCode};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use streaming::remote::offered;
use streaming::spdy::{Accept, Session, Stream};
use streaming::websocket::{self, TUNNEL_PREFIX, Tunnel, Wanted, tunnelled};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use super::commands::{spdy_answer, unknown, wants_spdy};
use super::{Answered, Serving, bare, place_of};
use crate::container::{Place, PodFacts, page};

const PROTOCOL: &str = "portforward.k8s.io";
/// How long one of two streams waits for the other.
const PATIENCE: Duration = Duration::from_secs(30);
/// Streams that wait for the other.
const WAITING: usize = 100;

impl Serving {
    pub(super) async fn port_forward(
        &self,
        mut request: Request<Incoming>,
        place: Arc<OwnedSemaphorePermit>,
        key: Key,
    ) -> Answered {
        let (life, facts) = self.pod(&key).await?;
        let wanted = Wanted::of(request.headers());
        let (answer, tunnel) = match &wanted {
            Some(wanted) => {
                let known = wanted.protocols.iter().any(|protocol| tunnelled(protocol) == Some(PROTOCOL));
                let ours = format!("{TUNNEL_PREFIX}{PROTOCOL}");
                if !known {
                    return Err(unknown(&wanted.protocols, &[&ours]));
                }
                (wanted.accept(&ours), true)
            }
            None if wants_spdy(request.headers()) => {
                let offered = offered(request.headers());
                if !offered.is_empty() && !offered.contains(&PROTOCOL) {
                    return Err(unknown(&offered, &[PROTOCOL]));
                }
                (spdy_answer(PROTOCOL), false)
            }
            None => return Err((StatusCode::BAD_REQUEST, "Upgrade request required".to_owned())),
        };
        let (upgrading, shutdown) = (hyper::upgrade::on(&mut request), self.shutdown.clone());
        let target = Arc::new(Target { place: place_of(&key, &life), uid: life.uid.to_string(), facts });
        let running = async move {
            match upgrading.await {
                Ok(upgraded) if tunnel => {
                    let tunnel = Tunnel::new(websocket::serve(TokioIo::new(upgraded)).await);
                    let (_session, accept) = Session::server(tunnel);
                    target.serve(accept).await;
                }
                Ok(upgraded) => {
                    let (_session, accept) = Session::server(TokioIo::new(upgraded));
                    target.serve(accept).await;
                }
                Err(error) => tracing::debug!(%error, "a client's connection has not come"),
            }
            drop(place);
        };
        tokio::spawn(async move { shutdown.run_until_cancelled(running).await });
        Ok(bare(answer))
    }
}

/// A Pod, whose ports are forwarded.
struct Target {
    place: Place,
    uid: String,
    facts: PodFacts,
}

impl Target {
    /// Serves every pair of streams, until the client is gone.
    async fn serve(self: Arc<Self>, mut accept: Accept) {
        let mut waiting: HashMap<String, (Stream, Instant)> = HashMap::new();
        // What was begun ends with the session, and its tasks with their streams.
        while let Some(stream) = accept.recv().await {
            let now = Instant::now();
            waiting.retain(|_, (_, since)| now.duration_since(*since) < PATIENCE);
            let kind = stream.header("streamtype").to_owned();
            let Some(request) = request_of(&stream, &kind) else { continue };
            match waiting.remove(&request) {
                Some((other, _)) if other.header("streamtype") != kind => {
                    let (error, data) = if kind == "data" { (other, stream) } else { (stream, other) };
                    let target = self.clone();
                    tokio::spawn(async move { target.forward(error, data).await });
                }
                // A second one of the same kind: both are reset when they are dropped.
                Some(_) => {}
                None if waiting.len() < WAITING => _ = waiting.insert(request, (stream, now)),
                None => {}
            }
        }
    }

    async fn forward(&self, error: Stream, data: Stream) {
        let mut complaints = error.split().1;
        let port: u16 = data.header("port").parse().unwrap_or(0);
        let Some(container) = self.facts.listener(port) else {
            let (pod, uid) = (&self.place.pod, &self.uid);
            let why = format!(
                "error forwarding port {port} to pod {pod}, uid {uid}: no container of the simulated pod names that port: \
                 dial tcp4 127.0.0.1:{port}: connect: connection refused"
            );
            if complaints.send(why.into()).await.is_ok() {
                // Who is gone does not miss it.
                let _ = complaints.finish().await;
            }
            return;
        };
        if let Err(error) = page::serve(data, &self.place, container, port).await {
            tracing::debug!(%error, "a connection to a simulated port broke");
        }
        let _ = complaints.finish().await;
    }
}

/// What two streams have in common; `None` for what cannot be forwarded.
fn request_of(stream: &Stream, kind: &str) -> Option<String> {
    let port = stream.header("port").parse::<u16>().ok().filter(|port| *port > 0)?;
    let name = match (kind, stream.header("requestid")) {
        // Clients that name no request open both streams one after the other.
        ("error", "") => format!("stream {}", stream.id()),
        ("data", "") => format!("stream {}", stream.id().checked_sub(2)?),
        ("error" | "data", id) => id.to_owned(),
        _ => return None,
    };
    Some(format!("{port} {name}"))
}
