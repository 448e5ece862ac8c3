//! A connection: one task reads frames and hands them to streams, another writes what streams have to say.

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::{Instant, interval_at};
use tokio_util::sync::CancellationToken;

use super::frame::{Encoder, Frame, PROTOCOL_ERROR, REFUSED_STREAM, StreamId};
use super::{Decoder, Headers, Stream};

/// Bytes that streams have got and not read, together.
const UNREAD: usize = 1 << 20;
/// Bytes that a piece counts for at least: it costs its own keeping.
const LEAST: usize = 256;
/// Bytes of one frame of data that is sent, and of one piece that is handed out.
pub(super) const PIECE: usize = 16 << 10;
/// Frames that wait to be written.
const QUEUE: usize = 16;
/// Streams of a peer that are open at once.
const STREAMS: usize = 1000;
/// New streams that wait to be taken.
const ACCEPT: usize = 16;
/// How long the last words of a session may take.
const FAREWELL: Duration = Duration::from_secs(5);

/// A piece of data, and the room that it takes.
#[derive(Debug)]
pub(super) struct Piece {
    pub(super) data: Bytes,
    pub(super) _room: OwnedSemaphorePermit,
}

/// Streams that the peer opens.
pub type Accept = mpsc::Receiver<Stream>;

/// A session, as long as somebody holds it or one of its streams.
#[derive(Clone, Debug)]
pub struct Session {
    pub(super) shared: Arc<Shared>,
    _open: Arc<Open>,
}

#[derive(Debug)]
pub(super) struct Shared {
    out: mpsc::Sender<Frame>,
    /// Where the data of each stream goes, until its peer has finished.
    arrivals: Mutex<HashMap<StreamId, mpsc::UnboundedSender<Piece>>>,
    room: Arc<Semaphore>,
    /// The number of the next stream of our own. Held while one is opened: they must come in order.
    next: tokio::sync::Mutex<StreamId>,
    /// 1 or 0: numbers of our own are odd or even.
    parity: u32,
    /// Nothing is read or written any more.
    over: CancellationToken,
}

/// Ends the session when the last one who holds it lets go.
#[derive(Debug)]
struct Open(CancellationToken);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.cancel();
    }
}

impl Session {
    /// The side that asked for the upgrade: it opens streams. With `pings`, the peer is asked so often whether it is there,
    /// which keeps what is between awake.
    pub fn client<I>(io: I, pings: Option<Duration>) -> Self
    where
        I: AsyncRead + AsyncWrite + Send + 'static,
    {
        Self::start(io, 1, None, pings)
    }

    /// The side that agreed: it is given the streams that the other one opens.
    pub fn server<I>(io: I) -> (Self, Accept)
    where
        I: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (sender, accept) = mpsc::channel(ACCEPT);
        (Self::start(io, 2, Some(sender), None), accept)
    }

    fn start<I>(io: I, first: StreamId, accept: Option<mpsc::Sender<Stream>>, pings: Option<Duration>) -> Self
    where
        I: AsyncRead + AsyncWrite + Send + 'static,
    {
        let (out, queue) = mpsc::channel(QUEUE);
        let over = CancellationToken::new();
        let shared = Arc::new(Shared {
            out,
            arrivals: Mutex::default(),
            room: Arc::new(Semaphore::new(UNREAD)),
            next: tokio::sync::Mutex::new(first),
            parity: first % 2,
            over: over.clone(),
        });
        let session = Self { shared: shared.clone(), _open: Arc::new(Open(over.clone())) };
        let (mut reader, writer) = tokio::io::split(io);
        tokio::spawn(write(writer, queue, over.clone(), pings));
        // Streams that nobody has taken yet must not keep their session open.
        let weak = Arc::downgrade(&session._open);
        let mut reading = Reading { shared, weak, accept, highest: 0 };
        tokio::spawn(async move {
            let ended = over.run_until_cancelled(reading.run(&mut reader)).await;
            reading.shared.arrivals.lock().clear();
            over.cancel();
            match ended {
                Some(Ok(())) => {}
                Some(Err(error)) => tracing::debug!(%error, "a SPDY session broke"),
                // What the peer still sends must not cut off what it has not read.
                None => {
                    drop(tokio::time::timeout(FAREWELL, tokio::io::copy(&mut reader, &mut tokio::io::sink())).await)
                }
            }
        });
        session
    }

    /// Opens a stream. It can be written to at once: who does not want it resets it.
    pub async fn open(&self, headers: Headers) -> io::Result<Stream> {
        let mut next = self.shared.next.lock().await;
        let stream = *next;
        let opened = self.stream(stream, headers.clone(), false);
        self.shared.send(Frame::SynStream { stream, headers, fin: false }).await?;
        *next += 2;
        Ok(opened)
    }

    /// Cancelled when the peer has gone, or the session has ended otherwise.
    pub fn over(&self) -> CancellationToken {
        self.shared.over.clone()
    }

    fn stream(&self, id: StreamId, headers: Headers, finished: bool) -> Stream {
        let (sender, arrivals) = mpsc::unbounded_channel();
        if !finished {
            self.shared.arrivals.lock().insert(id, sender);
        }
        Stream::new(id, headers, arrivals, self.clone())
    }
}

impl Shared {
    pub(super) async fn send(&self, frame: Frame) -> io::Result<()> {
        tokio::select! {
            sent = self.out.send(frame) => sent.map_err(|_| gone()),
            () = self.over.cancelled() => Err(gone()),
        }
    }

    pub(super) fn out(&self) -> mpsc::Sender<Frame> {
        self.out.clone()
    }

    /// What comes for a stream from now on is nobody's.
    pub(super) fn forget(&self, stream: StreamId) {
        self.arrivals.lock().remove(&stream);
    }

    /// Says something if there is room for it now.
    pub(super) fn try_send(&self, frame: Frame) {
        // A peer that does not listen to what matters more does not hear this either.
        let _ = self.out.try_send(frame);
    }
}

pub(super) fn gone() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the peer is gone")
}

/// The task that reads.
struct Reading {
    shared: Arc<Shared>,
    weak: Weak<Open>,
    accept: Option<mpsc::Sender<Stream>>,
    /// The highest number of a stream that the peer has opened.
    highest: StreamId,
}

impl Reading {
    /// Reads until the peer ends, or breaks the protocol.
    async fn run(&mut self, mut reader: impl AsyncRead + Unpin) -> io::Result<()> {
        let mut decoder = Decoder::default();
        let mut buffer = vec![0; PIECE];
        loop {
            while let Some(frame) = decoder.next_frame().map_err(io::Error::other)? {
                if !self.take(frame).await? {
                    return Ok(());
                }
            }
            match reader.read(&mut buffer).await? {
                0 => return Ok(()),
                length => decoder.push(&buffer[..length]),
            }
        }
    }

    /// Whether more may come.
    async fn take(&mut self, frame: Frame) -> io::Result<bool> {
        match frame {
            Frame::Data { stream, data, fin } => self.data(stream, data, fin).await,
            Frame::SynStream { stream, headers, fin } => self.opened(stream, headers, fin).await?,
            Frame::SynReply { stream, fin, .. } | Frame::Headers { stream, fin, .. } => {
                if fin {
                    self.shared.forget(stream);
                }
            }
            Frame::RstStream { stream, .. } => self.shared.forget(stream),
            Frame::Ping { id } => {
                // An answer to one of our own has our parity.
                if id % 2 != self.shared.parity {
                    self.shared.send(Frame::Ping { id }).await?;
                }
            }
            Frame::GoAway { .. } => return Ok(false),
            Frame::Ignored => {}
        }
        Ok(true)
    }

    async fn data(&mut self, stream: StreamId, data: Bytes, fin: bool) {
        let arrival = self.shared.arrivals.lock().get(&stream).cloned();
        if let Some(arrival) = arrival.filter(|_| !data.is_empty()) {
            // Pieces are no longer than what is read at once, which has room.
            let cost = data.len().max(LEAST) as u32;
            let room = self.shared.room.clone().acquire_many_owned(cost);
            let room = room.await.expect("the semaphore is never closed");
            // Who does not read any more does not miss it.
            let _ = arrival.send(Piece { data, _room: room });
        }
        if fin {
            self.shared.forget(stream);
        }
    }

    async fn opened(&mut self, stream: StreamId, headers: Headers, fin: bool) -> io::Result<()> {
        let Some(accept) = &self.accept else {
            return self.shared.send(Frame::RstStream { stream, status: PROTOCOL_ERROR }).await;
        };
        if stream.is_multiple_of(2) || stream <= self.highest {
            return self.shared.send(Frame::RstStream { stream, status: PROTOCOL_ERROR }).await;
        }
        self.highest = stream;
        let open = self.weak.upgrade().ok_or_else(gone)?;
        if self.shared.arrivals.lock().len() >= STREAMS {
            return self.shared.send(Frame::RstStream { stream, status: REFUSED_STREAM }).await;
        }
        let session = Session { shared: self.shared.clone(), _open: open };
        let opened = session.stream(stream, headers, fin);
        self.shared.send(Frame::SynReply { stream, headers: Headers::new(), fin: false }).await?;
        // Nobody takes streams any more: it is reset when it is dropped.
        let _ = accept.send(opened).await;
        Ok(())
    }
}

/// The task that writes: what is queued goes out together. What was queued before the session is over still goes.
async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Frame>,
    over: CancellationToken,
    pings: Option<Duration>,
) {
    let (mut encoder, mut out) = (Encoder::default(), BytesMut::new());
    let mut ticks = pings.map(|period| interval_at(Instant::now() + period, period));
    let mut ping = 1;
    loop {
        let tick = async {
            match &mut ticks {
                Some(ticks) => _ = ticks.tick().await,
                None => std::future::pending().await,
            }
        };
        let frame = tokio::select! {
            biased;
            frame = queue.recv() => frame,
            () = tick => {
                ping += 2;
                Some(Frame::Ping { id: ping })
            }
            () = over.cancelled() => None,
        };
        let Some(frame) = frame else { break };
        encoder.encode(&frame, &mut out);
        while let Ok(more) = queue.try_recv() {
            encoder.encode(&more, &mut out);
        }
        let sent = async {
            writer.write_all(&out).await?;
            writer.flush().await
        };
        // A peer that does not read must not keep a session that is over.
        let sent = tokio::select! {
            sent = sent => sent,
            () = late(&over) => Err(gone()),
        };
        out.clear();
        if sent.is_err() {
            over.cancel();
            return;
        }
    }
    encoder.encode(&Frame::GoAway { last: 0, status: 0 }, &mut out);
    let farewell = async {
        writer.write_all(&out).await?;
        writer.shutdown().await
    };
    // In time or not, the connection is closed.
    let _ = tokio::time::timeout(FAREWELL, farewell).await;
}

/// A while after the session is over.
async fn late(over: &CancellationToken) {
    over.cancelled().await;
    tokio::time::sleep(FAREWELL).await;
}
