//! SPDY/3.1 as kubelets and their clients speak it: many streams over one connection that was upgraded from HTTP/1.1.
//!
//! [`frame`] and [`decode`] are bytes and frames, without any I/O; [`session`] drives a connection, [`stream`] is one of its
//! streams. There is no flow control per stream: the implementation that everybody else uses has none either, and ignores what
//! is said about it. Instead a session holds a megabyte of what its streams have not read, and then reads no further.

mod decode;
mod dictionary;
mod frame;
mod headers;
mod session;
mod stream;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use frame::{CANCEL, Encoder, Frame, PROTOCOL_ERROR, REFUSED_STREAM, StreamId};
pub use headers::{Headers, value};
pub use session::{Accept, Session};
pub use stream::{Incoming, Outgoing, Stream};

/// `Upgrade` names it so.
pub const UPGRADE: &str = "SPDY/3.1";

/// What a peer did that cannot be understood. The connection is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpdyError {
    /// Another version of the protocol.
    #[error("a frame of another version of SPDY")]
    Version,
    /// A kind of frame that is in no draft.
    #[error("a frame of unknown kind")]
    Kind,
    /// A frame that ends too early.
    #[error("a frame that is too short")]
    Length,
    /// A frame, or its headers, longer than any that is needed.
    #[error("a frame that is too large")]
    TooLarge,
    /// Stream 0.
    #[error("a frame of no stream")]
    StreamId,
    /// A header block that cannot be unpacked.
    #[error("headers that cannot be unpacked")]
    Compression,
    /// A header block that holds something else.
    #[error("headers that cannot be read")]
    Headers,
}
