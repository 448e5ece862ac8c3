//! The standard streams of a command, as its client has them: over SPDY or over a WebSocket, in any of the versions that there
//! are of it.
//!
//! | protocol | over | end of stdin | result |
//! |---|---|---|---|
//! | `channel.k8s.io` (and none) | both | not told | words, where it failed |
//! | `v2.channel.k8s.io`, `v3…` (with sizes of the terminal) | SPDY | the stream's | words, where it failed |
//! | `v4.channel.k8s.io` | both | SPDY: the stream's | a Status, with the exit code |
//! | `v5.channel.k8s.io` | WebSocket | a message | a Status, with the exit code |
//!
//! Over a WebSocket each message begins with the number of its channel; `base64.…` makes text of the rest.

mod channels;
mod outcome;
mod spdy;
#[cfg(test)]
mod tests;

use std::io;

use bytes::Bytes;
use http::HeaderMap;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use channels::{Dialect, serve_channels};
pub use outcome::Outcome;
pub use spdy::serve_spdy;

use crate::spdy::{Incoming, Outgoing};

/// Versions over SPDY, the dearest first.
pub const SPDY_PROTOCOLS: [&str; 4] = ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
/// Versions over a WebSocket.
pub const WEBSOCKET_PROTOCOLS: [&str; 6] = [
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
    "",
];
/// The header in which the versions of a protocol over SPDY are offered, and the chosen one named.
pub const PROTOCOL_VERSION: &str = "x-stream-protocol-version";

/// Versions that a client offers over SPDY, in its order.
pub fn offered(headers: &HeaderMap) -> Vec<&str> {
    let lists = headers.get_all(PROTOCOL_VERSION).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|version| !version.is_empty()).collect()
}

/// Which streams a client wants.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "they are called so everywhere")]
pub struct Wishes {
    pub stdin: bool,
    pub stdout: bool,
    /// A terminal has none.
    pub stderr: bool,
    pub tty: bool,
}

impl Wishes {
    /// Whether there is any stream at all.
    pub fn any(&self) -> bool {
        self.stdin || self.stdout || self.stderr
    }
}

/// A client that has a command run.
#[derive(Debug)]
pub struct Remote {
    /// What it types, where it wanted to.
    pub stdin: Option<Input>,
    /// Where the command's output goes, where it is wanted.
    pub stdout: Option<Output>,
    /// The same for its errors.
    pub stderr: Option<Output>,
    /// Sizes of its terminal, as JSON.
    pub resize: Input,
    /// Where the result goes.
    pub ending: Ending,
    /// Cancelled when the client is gone.
    pub gone: CancellationToken,
}

/// Bytes from a client.
#[derive(Debug)]
pub enum Input {
    /// There will be none.
    Nothing,
    /// A stream of SPDY.
    Stream(Incoming),
    /// A channel of a WebSocket.
    Channel(mpsc::Receiver<Bytes>),
}

impl Input {
    /// The next bytes; `None` at the end.
    pub async fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Nothing => None,
            Self::Stream(stream) => stream.next().await,
            Self::Channel(channel) => channel.recv().await,
        }
    }
}

/// Bytes for a client. Sending waits while it does not read.
#[derive(Debug)]
pub enum Output {
    /// A stream of SPDY.
    Stream(Outgoing),
    /// A channel of a WebSocket, by its number.
    Channel(u8, mpsc::Sender<channels::ToClient>),
}

impl Output {
    /// Sends bytes.
    pub async fn send(&mut self, data: Bytes) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.send(data).await,
            Self::Channel(number, out) => {
                let message = channels::ToClient::Data(*number, data);
                out.send(message).await.map_err(|_| io::ErrorKind::BrokenPipe.into())
            }
        }
    }

    /// Says that no more will come, where that can be said.
    pub async fn finish(&mut self) -> io::Result<()> {
        match self {
            Self::Stream(stream) => stream.finish().await,
            // Nobody is told; the end of the connection says it.
            Self::Channel(..) => Ok(()),
        }
    }
}

/// The end of a command.
#[derive(Debug)]
pub struct Ending {
    error: Output,
    /// Whether results are a Status, and not words.
    status: bool,
}

impl Ending {
    /// Tells the client the result, and closes the connection. All other streams should have ended.
    pub async fn finish(mut self, outcome: &Outcome) -> io::Result<()> {
        let said = if self.status { Some(outcome.status()) } else { outcome.words() };
        if let Some(said) = said {
            self.error.send(said).await?;
        }
        self.error.finish().await?;
        if let Output::Channel(_, out) = self.error {
            out.send(channels::ToClient::Close).await.map_err(|_| io::ErrorKind::BrokenPipe)?;
            // Until it is written.
            out.closed().await;
        }
        Ok(())
    }
}
