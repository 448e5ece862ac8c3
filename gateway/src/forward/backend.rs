//! Where a request goes on to, and how it gets there.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use api::Status;
use futures_util::future::BoxFuture;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};
use tokio_rustls::TlsConnector;

/// How long a server may take to be reached, and its TLS to be agreed on.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// Bytes both ways.
pub(crate) trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// A way to a server that is open.
pub(crate) type Link = Box<dyn Duplex>;

/// Opens a link through something else.
pub(crate) type Tunnel = Arc<dyn Fn() -> BoxFuture<'static, io::Result<Link>> + Send + Sync>;

/// How a server is reached.
#[derive(Clone)]
pub(crate) enum Way {
    /// At one of these addresses. They may be called.
    Direct(Vec<SocketAddr>),
    /// By somebody who can reach it.
    Through(Tunnel),
}

/// Another server.
#[derive(Clone)]
pub(crate) struct Backend {
    /// Name or address, without a port and without brackets: what its certificate must be for.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) way: Way,
    /// None: without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

impl Backend {
    /// `host:port`, as it stands in a URL.
    pub(crate) fn authority(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Opens a link. The error is worded as the reference words it.
    pub(crate) async fn connect(&self) -> io::Result<Link> {
        let opening = async {
            let link = match &self.way {
                Way::Direct(addresses) => dial(addresses).await?,
                Way::Through(tunnel) => tunnel().await?,
            };
            let Some(tls) = &self.tls else { return Ok(link) };
            let name = ServerName::try_from(self.host.clone()).map_err(io::Error::other)?;
            let link = TlsConnector::from(tls.clone()).connect(name, link).await;
            Ok(Box::new(link.map_err(|error| io::Error::other(format!("tls: {error}")))?) as Link)
        };
        match tokio::time::timeout(PATIENCE, opening).await {
            Ok(opened) => opened,
            Err(_) => Err(io::Error::other(format!("dial tcp {}: i/o timeout", self.authority()))),
        }
    }
}

/// The first address that answers.
async fn dial(addresses: &[SocketAddr]) -> io::Result<Link> {
    let mut failed = io::Error::other("dial tcp: no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                stream.set_nodelay(true)?;
                return Ok(Box::new(stream));
            }
            Err(error) => failed = io::Error::other(format!("dial tcp {address}: connect: {}", reason(&error))),
        }
    }
    Err(failed)
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
        io::ErrorKind::NetworkUnreachable => "network is unreachable".to_owned(),
        io::ErrorKind::HostUnreachable => "no route to host".to_owned(),
        io::ErrorKind::TimedOut => "connection timed out".to_owned(),
        _ => error.to_string(),
    }
}

/// What a host's name stands for. They are to be checked, and then connected to.
pub(crate) async fn look_up(host: &str, port: u16) -> Result<Vec<SocketAddr>, Status> {
    let found = tokio::time::timeout(PATIENCE, lookup_host((host, port))).await;
    let found: Option<Vec<SocketAddr>> = found.ok().and_then(Result::ok).map(Iterator::collect);
    match found.filter(|found| !found.is_empty()) {
        Some(found) => Ok(found),
        None => Err(Status::said(500, "", format!("dial tcp: lookup {host}: no such host"))),
    }
}
