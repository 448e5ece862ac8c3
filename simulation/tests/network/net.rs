//! TCP as turmoil has it.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use client::https;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use turmoil::net::{TcpListener, TcpStream};
use wire::{Accept, BoxedIo, Dial, Timing};

/// How long connections wait for what: a fifth of what is usual, like leases.
pub(crate) const TIMING: Timing = Timing {
    connect: Duration::from_millis(400),
    ping_every: Duration::from_millis(80),
    ping_timeout: Duration::from_millis(160),
    pause_min: Duration::from_millis(4),
    pause_max: Duration::from_millis(200),
};

/// How processes reach each other.
pub(crate) struct Network;

impl Dial for Network {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxedIo>> {
        async move { Ok(Box::new(TcpStream::connect(address).await?) as BoxedIo) }.boxed()
    }
}

/// How clients reach gateways.
pub(crate) fn dial() -> https::Dial {
    Arc::new(|host, port| {
        async move { Ok(Box::new(TcpStream::connect((host, port)).await?) as https::BoxedIo) }.boxed()
    })
}

/// A port of the host that this runs on.
pub(crate) struct Listener(TcpListener);

impl Listener {
    pub(crate) async fn bind(port: u16) -> io::Result<Self> {
        Ok(Self(TcpListener::bind(("0.0.0.0", port)).await?))
    }
}

impl Accept for Listener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedIo, String)>> {
        async move {
            let (stream, from) = self.0.accept().await?;
            Ok((Box::new(stream) as BoxedIo, from.to_string()))
        }
        .boxed()
    }
}
