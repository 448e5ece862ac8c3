//! Bytes for a socket, held back until whoever drives the connection has nothing more to add.
//!
//! HTTP/2 flushes behind every frame that is not small, and TLS makes a system call of each flush. A driver that answers many
//! streams in one turn ([`crate::after_others`]) lets them go out as one.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes that are held back at most.
const MOST: usize = 64 << 10;

struct Shared<I> {
    io: I,
    held: BytesMut,
    /// Whether flushes wait for [`Cork::release`].
    corked: bool,
}

impl<I: AsyncWrite + Unpin> Shared<I> {
    fn write_held(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            match ready!(Pin::new(&mut self.io).poll_write(context, &self.held))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.held.advance(written),
            }
        }
        // Connections are many, and most of them idle.
        self.held = BytesMut::new();
        Poll::Ready(Ok(()))
    }
}

/// A socket that holds back. Until [`Cork::hold`] it passes everything on.
pub struct Corked<I>(Arc<Mutex<Shared<I>>>);

/// Who lets go what a [`Corked`] holds back. When the last clone is gone, nothing is held back any more.
pub struct Cork<I>(Arc<Holder<I>>);

struct Holder<I>(Arc<Mutex<Shared<I>>>);

impl<I> Clone for Cork<I> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

/// Puts a cork on a socket.
pub fn cork<I: AsyncWrite + Unpin>(io: I) -> (Corked<I>, Cork<I>) {
    let shared = Arc::new(Mutex::new(Shared { io, held: BytesMut::new(), corked: false }));
    (Corked(shared.clone()), Cork(Arc::new(Holder(shared))))
}

impl<I: AsyncWrite + Unpin> Cork<I> {
    /// From now on bytes wait for [`Cork::release`].
    pub fn hold(&self) {
        self.0.0.lock().corked = true;
    }

    /// Lets go what is held back, as far as the socket takes it; the task is woken when it takes more. An error shows at the
    /// next write.
    pub fn release(&self, context: &mut Context<'_>) {
        let _ = self.0.0.lock().write_held(context);
    }
}

impl<I> Drop for Holder<I> {
    fn drop(&mut self) {
        self.0.lock().corked = false;
    }
}

impl<I: AsyncRead + Unpin> AsyncRead for Corked<I> {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0.lock().io).poll_read(context, into)
    }
}

impl<I: AsyncWrite + Unpin> Corked<I> {
    /// Makes room for so many bytes; false: they are too many to be held back, and nothing is.
    fn room(shared: &mut Shared<I>, bytes: usize, context: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if shared.held.len() + bytes > MOST || !shared.corked {
            ready!(shared.write_held(context))?;
        }
        Poll::Ready(Ok(shared.corked && bytes <= MOST))
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Corked<I> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut shared = self.0.lock();
        if !ready!(Self::room(&mut shared, bytes.len(), context))? {
            return Pin::new(&mut shared.io).poll_write(context, bytes);
        }
        shared.held.extend_from_slice(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut shared = self.0.lock();
        let bytes = slices.iter().map(|slice| slice.len()).sum();
        if !ready!(Self::room(&mut shared, bytes, context))? {
            return Pin::new(&mut shared.io).poll_write_vectored(context, slices);
        }
        slices.iter().for_each(|slice| shared.held.extend_from_slice(slice));
        Poll::Ready(Ok(bytes))
    }

    fn is_write_vectored(&self) -> bool {
        self.0.lock().io.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        if shared.corked {
            return Poll::Ready(Ok(()));
        }
        ready!(shared.write_held(context))?;
        Pin::new(&mut shared.io).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut shared = self.0.lock();
        ready!(shared.write_held(context))?;
        Pin::new(&mut shared.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    #[tokio::test]
    async fn bytes_wait_for_whoever_holds_the_cork() {
        let (near, mut far) = duplex(1 << 20);
        let (mut corked, cork) = cork(near);
        let mut buffer = vec![0; 1 << 20];
        corked.write_all(b"a").await.unwrap();
        assert_eq!(far.read(&mut buffer).await.unwrap(), 1, "nothing is held back yet");
        cork.hold();
        for _ in 0..3 {
            corked.write_all(b"bc").await.unwrap();
            corked.flush().await.unwrap();
        }
        assert!(futures_util::poll!(Box::pin(far.read(&mut buffer))).is_pending(), "something went out");
        cork.release(&mut Context::from_waker(Waker::noop()));
        assert_eq!(far.read(&mut buffer).await.unwrap(), 6);
        // More than is held back goes on its way, and in order.
        corked.write_all(b"d").await.unwrap();
        corked.write_all(&vec![b'e'; MOST + 1]).await.unwrap();
        far.read_exact(&mut buffer[..MOST + 2]).await.unwrap();
        assert_eq!((buffer[0], buffer[MOST + 1]), (b'd', b'e'));
        corked.write_all(b"f").await.unwrap();
        drop(cork);
        corked.flush().await.unwrap();
        assert_eq!(far.read(&mut buffer).await.unwrap(), 1, "without a cork it holds nothing back");
    }
}
