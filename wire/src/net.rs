//! Bytes between two processes: TCP, or whatever a test puts in its place.

use std::io;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};

/// Both directions of a connection.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection, whatever carries it.
pub type BoxedIo = Box<dyn Io>;

/// How to reach others.
pub trait Dial: Send + Sync + 'static {
    /// Opens a connection to `host:port`.
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxedIo>>;
}

/// How others arrive.
pub trait Accept: Send + 'static {
    /// The next connection, and whose it is, for the log. An error concerns one connection.
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedIo, String)>>;
}

/// TCP, as the machine has it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tcp;

impl Dial for Tcp {
    fn dial<'a>(&'a self, address: &'a str) -> BoxFuture<'a, io::Result<BoxedIo>> {
        async move {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as BoxedIo)
        }
        .boxed()
    }
}

impl Accept for TcpListener {
    fn accept(&mut self) -> BoxFuture<'_, io::Result<(BoxedIo, String)>> {
        async move {
            let (stream, from) = TcpListener::accept(self).await?;
            stream.set_nodelay(true)?;
            Ok((Box::new(stream) as BoxedIo, from.to_string()))
        }
        .boxed()
    }
}
