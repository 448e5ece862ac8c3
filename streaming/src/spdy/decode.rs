//! Bytes to frames, as they come. A frame of data is handed out in the pieces that have arrived; of the others no more is held
//! than one, and one that is longer than any that is needed is an error.

use bytes::{Buf, Bytes, BytesMut};

use super::SpdyError;
use super::frame::{
    FLAG_FIN, Frame, GOAWAY, HEADERS, PING, RST_STREAM, SETTINGS, SYN_REPLY, SYN_STREAM, StreamId, VERSION,
    WINDOW_UPDATE,
};
use super::headers::HeaderReader;

/// Bytes of a control frame at most.
const MOST: usize = 64 << 10;
/// What comes before the content of every frame.
const HEAD: usize = 8;

/// Reads frames of one direction of a connection.
#[derive(Debug)]
pub struct Decoder {
    /// What has come and is not read yet.
    pub(super) input: BytesMut,
    headers: HeaderReader,
    /// The frame of data that is under way: what is left of it.
    data: Option<(StreamId, bool, usize)>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self { input: BytesMut::new(), headers: HeaderReader::new(), data: None }
    }
}

impl Decoder {
    /// Takes bytes in.
    pub fn push(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
    }

    /// The next frame, or piece of one; `None`: more must come first. After an error nothing can be read any more.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, SpdyError> {
        if let Some((stream, fin, left)) = self.data.take() {
            return Ok(self.piece(stream, fin, left));
        }
        if self.input.len() < HEAD {
            return Ok(None);
        }
        let mut head = &self.input[..HEAD];
        let (first, second) = (head.get_u32(), head.get_u32());
        let (flags, length) = ((second >> 24) as u8, (second & 0x00ff_ffff) as usize);
        if first & 0x8000_0000 == 0 {
            if first == 0 {
                return Err(SpdyError::StreamId);
            }
            self.input.advance(HEAD);
            return Ok(self.piece(first, flags & FLAG_FIN != 0, length));
        }
        if (first >> 16) as u16 & 0x7fff != VERSION {
            return Err(SpdyError::Version);
        }
        if length > MOST {
            return Err(SpdyError::TooLarge);
        }
        if self.input.len() < HEAD + length {
            self.input.reserve(HEAD + length - self.input.len());
            return Ok(None);
        }
        self.input.advance(HEAD);
        let content = self.input.split_to(length);
        self.control((first & 0xffff) as u16, flags, &content).map(Some)
    }

    /// As much of a frame of data as has come.
    fn piece(&mut self, stream: StreamId, fin: bool, left: usize) -> Option<Frame> {
        let length = left.min(self.input.len());
        if length < left {
            self.data = Some((stream, fin, left - length));
        }
        if length == 0 && left > 0 {
            return None;
        }
        // A copy, so that a short piece that is kept does not keep everything that came with it.
        let data = Bytes::copy_from_slice(&self.input[..length]);
        self.input.advance(length);
        Some(Frame::Data { stream, data, fin: fin && length == left })
    }

    fn control(&mut self, kind: u16, flags: u8, mut content: &[u8]) -> Result<Frame, SpdyError> {
        let fin = flags & FLAG_FIN != 0;
        let mut word = || content.try_get_u32().map_err(|_| SpdyError::Length);
        let stream = |word: u32| match word & 0x7fff_ffff {
            0 => Err(SpdyError::StreamId),
            stream => Ok(stream),
        };
        match kind {
            SYN_STREAM => {
                let stream = stream(word()?)?;
                // Parent, priority and slot say nothing here.
                word()?;
                content.try_get_u16().map_err(|_| SpdyError::Length)?;
                Ok(Frame::SynStream { stream, headers: self.headers.read(content)?, fin })
            }
            SYN_REPLY => {
                let stream = stream(word()?)?;
                Ok(Frame::SynReply { stream, headers: self.headers.read(content)?, fin })
            }
            HEADERS => {
                let stream = stream(word()?)?;
                Ok(Frame::Headers { stream, headers: self.headers.read(content)?, fin })
            }
            RST_STREAM => Ok(Frame::RstStream { stream: stream(word()?)?, status: word()? }),
            PING => Ok(Frame::Ping { id: word()? }),
            GOAWAY => Ok(Frame::GoAway { last: word()? & 0x7fff_ffff, status: word()? }),
            SETTINGS | WINDOW_UPDATE => Ok(Frame::Ignored),
            _ => Err(SpdyError::Kind),
        }
    }
}
