//! One stream of a session: bytes both ways, each of which ends by itself.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::mpsc;
use tokio_util::sync::PollSender;

use super::frame::{CANCEL, Frame, StreamId};
use super::session::{PIECE, Piece, Session, gone};
use super::{Headers, headers};

/// A stream. Dropping it whole, before it was finished, tells the peer that nobody is there.
#[derive(Debug)]
pub struct Stream {
    headers: Headers,
    incoming: Incoming,
    outgoing: Outgoing,
}

/// What the peer sends.
#[derive(Debug)]
pub struct Incoming {
    id: StreamId,
    arrivals: mpsc::UnboundedReceiver<Piece>,
    /// What is being read. Its room is free when it was.
    piece: Option<Piece>,
    session: Session,
}

/// What is sent to the peer.
#[derive(Debug)]
pub struct Outgoing {
    id: StreamId,
    out: PollSender<Frame>,
    finished: bool,
    /// Whether to reset the stream where it was not finished.
    whole: bool,
    session: Session,
}

impl Stream {
    pub(super) fn new(
        id: StreamId,
        headers: Headers,
        arrivals: mpsc::UnboundedReceiver<Piece>,
        session: Session,
    ) -> Self {
        let out = PollSender::new(session.shared.out());
        let outgoing = Outgoing { id, out, finished: false, whole: true, session: session.clone() };
        Self { headers, incoming: Incoming { id, arrivals, piece: None, session }, outgoing }
    }

    /// Its number.
    pub fn id(&self) -> StreamId {
        self.incoming.id
    }

    /// A header that it was opened with; empty where it is not there.
    pub fn header(&self, name: &str) -> &str {
        headers::value(&self.headers, name)
    }

    /// Both halves. Who needs but one of them drops the other, and the peer is told nothing: it has no use for it either.
    pub fn split(mut self) -> (Incoming, Outgoing) {
        self.outgoing.whole = false;
        (self.incoming, self.outgoing)
    }
}

impl Incoming {
    /// The next piece; `None` when the peer has finished, or is gone.
    pub async fn next(&mut self) -> Option<Bytes> {
        self.piece = None;
        let piece = self.arrivals.recv().await?;
        let data = piece.data.clone();
        self.piece = Some(Piece { data: Bytes::new(), ..piece });
        Some(data)
    }
}

impl AsyncRead for Incoming {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        loop {
            if let Some(piece) = self.piece.as_mut().filter(|piece| !piece.data.is_empty()) {
                let length = piece.data.len().min(into.remaining());
                into.put_slice(&piece.data[..length]);
                piece.data.advance(length);
                return Poll::Ready(Ok(()));
            }
            self.piece = None;
            match ready!(self.arrivals.poll_recv(cx)) {
                Some(piece) => self.piece = Some(piece),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        self.session.shared.forget(self.id);
    }
}

impl Outgoing {
    /// Sends data, and waits while the peer does not read.
    pub async fn send(&mut self, mut data: Bytes) -> io::Result<()> {
        while !data.is_empty() {
            let data = data.split_to(data.len().min(PIECE));
            self.session.shared.send(Frame::Data { stream: self.id, data, fin: false }).await?;
        }
        Ok(())
    }

    /// Says that no more will come.
    pub async fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return Ok(());
        }
        let fin = Frame::Data { stream: self.id, data: Bytes::new(), fin: true };
        self.session.shared.send(fin).await
    }

    fn poll_send(&mut self, data: Bytes, fin: bool, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.out.poll_reserve(cx)).map_err(|_| gone())?;
        let sent = self.out.send_item(Frame::Data { stream: self.id, data, fin });
        Poll::Ready(sent.map_err(|_| gone()))
    }
}

impl AsyncWrite for Outgoing {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.out.poll_reserve(cx)).map_err(|_| gone())?;
        let length = bytes.len().min(PIECE);
        ready!(self.poll_send(Bytes::copy_from_slice(&bytes[..length]), false, cx))?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Whatever is queued goes out as soon as the connection takes it.
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.finished {
            return Poll::Ready(Ok(()));
        }
        ready!(self.poll_send(Bytes::new(), true, cx))?;
        self.finished = true;
        Poll::Ready(Ok(()))
    }
}

impl Drop for Outgoing {
    fn drop(&mut self) {
        if self.whole && !self.finished {
            self.session.shared.try_send(Frame::RstStream { stream: self.id, status: CANCEL });
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.incoming).poll_read(cx, into)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.outgoing).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outgoing).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.outgoing).poll_shutdown(cx)
    }
}
