//! Frames (SPDY Protocol Draft 3.1, 2.2): what they hold, and their bytes.

use bytes::{BufMut, Bytes, BytesMut};

use super::headers::{HeaderWriter, Headers};

/// 31 bits. A client's are odd, a server's even.
pub type StreamId = u32;

/// Why a stream is reset (2.6.3): the peer breaks the protocol.
pub const PROTOCOL_ERROR: u32 = 1;
/// Why a stream is reset: it is one too many.
pub const REFUSED_STREAM: u32 = 3;
/// Why a stream is reset: nobody wants it any more.
pub const CANCEL: u32 = 5;

pub(super) const SYN_STREAM: u16 = 1;
pub(super) const SYN_REPLY: u16 = 2;
pub(super) const RST_STREAM: u16 = 3;
pub(super) const SETTINGS: u16 = 4;
pub(super) const PING: u16 = 6;
pub(super) const GOAWAY: u16 = 7;
pub(super) const HEADERS: u16 = 8;
pub(super) const WINDOW_UPDATE: u16 = 9;

pub(super) const VERSION: u16 = 3;
pub(super) const FLAG_FIN: u8 = 1;

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "their names are the draft's")]
pub enum Frame {
    /// Data of a stream: when it is read, as much of the frame as has come. `fin` is true for the last of it.
    Data { stream: StreamId, data: Bytes, fin: bool },
    /// A new stream.
    SynStream { stream: StreamId, headers: Headers, fin: bool },
    /// It is accepted.
    SynReply { stream: StreamId, headers: Headers, fin: bool },
    /// It is over, both ways.
    RstStream { stream: StreamId, status: u32 },
    /// To be answered with the same.
    Ping { id: u32 },
    /// No more streams are accepted.
    GoAway { last: StreamId, status: u32 },
    /// More headers of a stream.
    Headers { stream: StreamId, headers: Headers, fin: bool },
    /// SETTINGS and WINDOW_UPDATE: those who speak this protocol here have no flow control but the connection's.
    Ignored,
}

/// Makes bytes of frames, in the order in which they are sent.
#[derive(Debug, Default)]
pub struct Encoder {
    headers: HeaderWriter,
}

impl Encoder {
    /// Appends a frame. Data must be shorter than 16 MiB.
    pub fn encode(&mut self, frame: &Frame, out: &mut BytesMut) {
        match frame {
            Frame::Data { stream, data, fin } => {
                out.put_u32(*stream);
                put_length(out, if *fin { FLAG_FIN } else { 0 }, data.len());
                out.put_slice(data);
            }
            Frame::SynStream { stream, headers, fin } => {
                self.with_headers(SYN_STREAM, *fin, headers, out, |out| {
                    out.put_u32(*stream);
                    // No parent, highest priority, no slot.
                    out.put_u32(0);
                    out.put_u16(0);
                });
            }
            Frame::SynReply { stream, headers, fin } => {
                self.with_headers(SYN_REPLY, *fin, headers, out, |out| out.put_u32(*stream));
            }
            Frame::Headers { stream, headers, fin } => {
                self.with_headers(HEADERS, *fin, headers, out, |out| out.put_u32(*stream));
            }
            Frame::RstStream { stream, status } => two_words(RST_STREAM, *stream, *status, out),
            Frame::GoAway { last, status } => two_words(GOAWAY, *last, *status, out),
            Frame::Ping { id } => {
                put_control(out, PING);
                put_length(out, 0, 4);
                out.put_u32(*id);
            }
            Frame::Ignored => {}
        }
    }

    fn with_headers(
        &mut self,
        kind: u16,
        fin: bool,
        headers: &Headers,
        out: &mut BytesMut,
        before: impl FnOnce(&mut BytesMut),
    ) {
        let mut payload = BytesMut::new();
        before(&mut payload);
        self.headers.write(headers, &mut payload);
        put_control(out, kind);
        put_length(out, if fin { FLAG_FIN } else { 0 }, payload.len());
        out.put_slice(&payload);
    }
}

fn two_words(kind: u16, first: u32, second: u32, out: &mut BytesMut) {
    put_control(out, kind);
    put_length(out, 0, 8);
    out.put_u32(first);
    out.put_u32(second);
}

fn put_control(out: &mut BytesMut, kind: u16) {
    out.put_u16(0x8000 | VERSION);
    out.put_u16(kind);
}

fn put_length(out: &mut BytesMut, flags: u8, length: usize) {
    debug_assert!(length < 1 << 24, "lengths have 24 bits");
    out.put_u32(u32::from(flags) << 24 | (length as u32 & 0x00ff_ffff));
}
