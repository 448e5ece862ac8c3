//! TCP as turmoil has it, and what becomes of a host's sockets when it crashes.
//!
//! turmoil would drop them with the host's tasks, in an order that differs from run to run, and each drop says something on the
//! network. So they are kept here, and closed one after the other.

use std::collections::BTreeMap;
use std::io;
use std::mem;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use client::https;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
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

/// The sockets of one start of a host. Clones share them.
#[derive(Clone, Default)]
pub(crate) struct Network(Arc<Mutex<Open>>);

#[derive(Default)]
struct Open {
    /// How many there have been.
    count: u64,
    sockets: BTreeMap<u64, Shared>,
    /// It has crashed: there will be no more.
    closed: bool,
}

type Shared = Arc<Mutex<Option<TcpStream>>>;

impl Network {
    /// Closes all sockets, in the order in which they were opened. Within the host, peers are told so, as when a process is
    /// killed; from without they are not, as when a machine has no power any more.
    pub(crate) fn close(&self) {
        let mut open = self.0.lock();
        open.closed = true;
        let sockets = mem::take(&mut open.sockets);
        drop(open);
        sockets.values().for_each(|socket| drop(socket.lock().take()));
    }

    async fn connect(self, host: String, port: u16) -> io::Result<Socket> {
        let stream = TcpStream::connect((host, port)).await?;
        Ok(self.keep(stream))
    }

    fn keep(&self, stream: TcpStream) -> Socket {
        let mut open = self.0.lock();
        open.count += 1;
        let (number, closed) = (open.count, open.closed);
        let stream = Arc::new(Mutex::new(Some(stream).filter(|_| !closed)));
        open.sockets.insert(number, stream.clone());
        Socket { network: self.clone(), number, stream }
    }

    /// How clients reach gateways.
    pub(crate) fn dial_https(&self) -> https::Dial {
        let network = self.clone();
        Arc::new(move |host, port| {
            let connected = network.clone().connect(host, port);
            async move { Ok(Box::new(connected.await?) as https::BoxedIo) }.boxed()
        })
    }

    /// A port of the host that this runs on.
    pub(crate) async fn listen(&self, port: u16) -> io::Result<Listener> {
        Ok(Listener { network: self.clone(), listener: TcpListener::bind(("0.0.0.0", port)).await? })
    }
}

/// How processes reach each other.
impl Dial for Network {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxedIo>> {
        async move {
            let (host, port) = address.rsplit_once(':').ok_or(io::ErrorKind::InvalidInput)?;
            let port = port.parse().map_err(|_| io::ErrorKind::InvalidInput)?;
            Ok(Box::new(self.clone().connect(host.to_owned(), port).await?) as BoxedIo)
        }
        .boxed()
    }
}

/// See [`Network::listen`].
pub(crate) struct Listener {
    network: Network,
    listener: TcpListener,
}

impl Accept for Listener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedIo, String)>> {
        async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((Box::new(self.network.keep(stream)) as BoxedIo, from.to_string()))
        }
        .boxed()
    }
}

/// A socket. Of one that was closed by [`Network::close`] nobody hears any more.
struct Socket {
    network: Network,
    number: u64,
    stream: Shared,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.network.0.lock().sockets.remove(&self.number);
    }
}

impl Socket {
    fn with<R>(&self, act: impl FnOnce(Pin<&mut TcpStream>) -> Poll<R>) -> Poll<R> {
        self.stream.lock().as_mut().map_or(Poll::Pending, |stream| act(Pin::new(stream)))
    }
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(context, into))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(context))
    }
}
