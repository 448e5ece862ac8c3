//! Over a WebSocket: one task reads it, another writes it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{BufMut, Bytes, BytesMut};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_util::sync::CancellationToken;

use super::{Ending, Input, Output, Remote, Wishes};
use crate::websocket::{self, farewell};

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
const RESIZE: u8 = 4;
/// Not a channel: the next byte names one that its sender has finished.
const CLOSE: u8 = 255;

/// Messages that wait to be written.
const QUEUE: usize = 8;
/// How long a client may take to close its side.
const FAREWELL: Duration = Duration::from_secs(5);

/// One version of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    base64: bool,
    status: bool,
    closes: bool,
}

impl Dialect {
    /// Of a subprotocol's name; `None` for those that nobody knows.
    pub fn of(protocol: &str) -> Option<Self> {
        let (base64, status, closes) = match protocol {
            "" | "channel.k8s.io" => (false, false, false),
            "base64.channel.k8s.io" => (true, false, false),
            "v4.channel.k8s.io" => (false, true, false),
            "v4.base64.channel.k8s.io" => (true, true, false),
            "v5.channel.k8s.io" => (false, true, true),
            _ => return None,
        };
        Some(Self { base64, status, closes })
    }

    fn write(self, channel: u8, data: &[u8]) -> Message {
        if self.base64 {
            let text = format!("{}{}", char::from(b'0' + channel), BASE64_STANDARD.encode(data));
            return Message::Text(text.into());
        }
        let mut message = BytesMut::with_capacity(data.len() + 1);
        message.put_u8(channel);
        message.put_slice(data);
        Message::Binary(message.freeze())
    }

    /// Channel and data; `None` for what is no message of this protocol.
    fn read(self, message: Bytes) -> Option<(u8, Bytes)> {
        let (first, data) = (*message.first()?, message.slice(1..));
        if !self.base64 {
            return Some((first, data));
        }
        Some((first.checked_sub(b'0')?, BASE64_STANDARD.decode(&data).ok()?.into()))
    }
}

/// What goes to a client.
#[derive(Debug)]
pub enum ToClient {
    /// To a channel.
    Data(u8, Bytes),
    /// Nothing more.
    Close,
}

/// The streams of a client that has a WebSocket.
pub async fn serve_channels<I>(io: I, dialect: Dialect, wishes: Wishes) -> Remote
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sink, stream) = websocket::halves(websocket::serve(io).await);
    let (out, queue) = mpsc::channel(QUEUE);
    let (stdin, typed) = mpsc::channel(1);
    let (resize, sizes) = mpsc::channel(1);
    let gone = CancellationToken::new();
    let output = |channel| Output::Channel(channel, out.clone());
    // The first message says that there is a connection: an empty one, on the first channel that is read.
    let first = match wishes {
        Wishes { stdout: true, .. } => STDOUT,
        Wishes { stderr: true, .. } => STDERR,
        _ => ERROR,
    };
    // There is room for one.
    let _ = out.try_send(ToClient::Data(first, Bytes::new()));
    let remote = Remote {
        stdin: wishes.stdin.then_some(Input::Channel(typed)),
        stdout: wishes.stdout.then(|| output(STDOUT)),
        stderr: wishes.stderr.then(|| output(STDERR)),
        resize: Input::Channel(sizes),
        ending: Ending { error: output(ERROR), status: dialect.status },
        gone: gone.clone(),
    };
    drop(out);
    let stdin = wishes.stdin.then_some(stdin);
    let reading = tokio::spawn(async move {
        let mut channels = Channels { stdin, resize: Some(resize) };
        read(stream, dialect, &mut channels).await;
        gone.cancel();
    });
    tokio::spawn(async move {
        write(sink, queue, dialect).await;
        // The client has its time to close as well: what it still sends must not cut off what it has not read.
        let abort = reading.abort_handle();
        if tokio::time::timeout(FAREWELL, reading).await.is_err() {
            abort.abort();
        }
    });
    remote
}

/// Where a client's messages go.
struct Channels {
    stdin: Option<mpsc::Sender<Bytes>>,
    resize: Option<mpsc::Sender<Bytes>>,
}

impl Channels {
    fn of(&mut self, channel: u8) -> Option<&mut Option<mpsc::Sender<Bytes>>> {
        match channel {
            STDIN => Some(&mut self.stdin),
            RESIZE => Some(&mut self.resize),
            _ => None,
        }
    }
}

async fn read(mut stream: impl Stream<Item = Result<Message, Error>> + Unpin, dialect: Dialect, to: &mut Channels) {
    loop {
        let message = match stream.next().await {
            Some(Ok(Message::Binary(message))) => message,
            Some(Ok(Message::Text(text))) => Bytes::from(text),
            Some(Ok(Message::Close(_))) | None => return,
            Some(Ok(_)) => continue,
            Some(Err(error)) => return tracing::debug!(%error, "a client's WebSocket broke"),
        };
        if message.is_empty() {
            continue;
        }
        if dialect.closes && message[0] == CLOSE {
            match message[1..] {
                [channel] if channel <= RESIZE => {
                    if let Some(sender) = to.of(channel) {
                        *sender = None;
                    }
                    continue;
                }
                _ => return tracing::debug!("a client closed a channel that there is not"),
            }
        }
        let Some((channel, data)) = dialect.read(message) else { continue };
        if let Some(Some(sender)) = to.of(channel)
            && !data.is_empty()
        {
            // Who does not read any more does not miss it.
            let _ = sender.send(data).await;
        }
    }
}

async fn write(
    mut sink: impl Sink<Message, Error = Error> + Unpin,
    mut queue: mpsc::Receiver<ToClient>,
    dialect: Dialect,
) {
    while let Some(next) = queue.recv().await {
        let (message, last) = match next {
            ToClient::Data(channel, data) => (dialect.write(channel, &data), false),
            ToClient::Close => (farewell(), true),
        };
        if let Err(error) = sink.send(message).await {
            return tracing::debug!(%error, "a client's WebSocket cannot be written to");
        }
        if last {
            return;
        }
    }
    // Nobody has come to an end: the client must not wait for one.
    let _ = sink.send(farewell()).await;
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_message_is_read_or_left_out(message in proptest::collection::vec(any::<u8>(), 1..100)) {
            for protocol in super::super::WEBSOCKET_PROTOCOLS {
                let _ = Dialect::of(protocol).unwrap().read(message.clone().into());
            }
        }

        #[test]
        fn what_is_written_is_read(channel in 0..5u8, data in proptest::collection::vec(any::<u8>(), 0..100)) {
            for protocol in super::super::WEBSOCKET_PROTOCOLS {
                let dialect = Dialect::of(protocol).unwrap();
                let message = dialect.write(channel, &data).into_data();
                prop_assert_eq!(dialect.read(message), Some((channel, data.clone().into())));
            }
        }
    }
}
