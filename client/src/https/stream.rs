//! A connection's bytes: with TLS or without.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{BoxedIo, Shared, tls};
use crate::kubeconfig::Scheme;

pub(super) enum Stream {
    Tls(Box<TlsStream<BoxedIo>>),
    Plain(BoxedIo),
}

impl Stream {
    /// Connects, and says whether the server chose HTTP/2.
    pub(super) async fn connect(shared: &Shared) -> Result<(Self, bool), String> {
        let target = &shared.target;
        let io = (shared.options.dial)(target.host.clone(), target.port).await;
        let io = io.map_err(|error| format!("cannot connect to {}: {error}", shared.authority))?;
        if target.scheme == Scheme::Http {
            return Ok((Self::Plain(io), false));
        }
        let name = tls::server_name(target).map_err(|error| error.to_string())?;
        let connector = TlsConnector::from(shared.credentials.tls().await?);
        let stream = connector.connect(name, io).await;
        let stream = stream.map_err(|error| format!("no TLS with {}: {error}", shared.authority))?;
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        Ok((Self::Tls(Box::new(stream)), http2))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
