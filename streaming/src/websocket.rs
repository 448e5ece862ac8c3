//! WebSocket (RFC 6455): the handshake, as it stands in headers, and a WebSocket that carries bytes.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::{Buf, Bytes};
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

/// What precedes the name of a protocol that is tunnelled.
pub const TUNNEL_PREFIX: &str = "SPDY/3.1+";

/// Bytes of one message at most: clients send 32 KiB.
const MESSAGE: usize = 1 << 20;
/// What is read at once, and what is gathered before it is written.
const BUFFER: usize = 16 << 10;
const GUID: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A client's wish for a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    key: String,
    /// Subprotocols that it knows, the dearest first. None: it did not say.
    pub protocols: Vec<String>,
}

impl Wanted {
    /// Reads the headers of a request; `None` where it wants no WebSocket of version 13.
    pub fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let wanted = text(UPGRADE).is_some_and(|upgrade| upgrade.eq_ignore_ascii_case("websocket"))
            && text(SEC_WEBSOCKET_VERSION) == Some("13");
        let key = text(SEC_WEBSOCKET_KEY).filter(|_| wanted)?.to_owned();
        let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
        let protocols = lists.flat_map(|list| list.split(',')).map(|protocol| protocol.trim().to_owned());
        Some(Self { key, protocols: protocols.filter(|protocol| !protocol.is_empty()).collect() })
    }

    /// The first protocol of the client's that is among `known`, where `""` stands for clients that name none.
    pub fn choose(&self, known: &[&'static str]) -> Option<&'static str> {
        let find = |wanted: &str| known.iter().find(|known| **known == wanted).copied();
        match self.protocols.is_empty() {
            true => find(""),
            false => self.protocols.iter().find_map(|protocol| find(protocol)),
        }
    }

    /// The answer that makes the connection a WebSocket of that protocol.
    pub fn accept(&self, protocol: &str) -> Response<()> {
        let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{}{GUID}", self.key).as_bytes());
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        let accept = HeaderValue::from_str(&BASE64_STANDARD.encode(hash)).expect("base64 is ASCII");
        headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
        if let Ok(protocol) = HeaderValue::from_str(protocol)
            && !protocol.is_empty()
        {
            headers.insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        response
    }
}

/// Whether a subprotocol is one of ours that carries SPDY; what it carries then.
pub fn tunnelled(protocol: &str) -> Option<&str> {
    protocol.strip_prefix(TUNNEL_PREFIX).filter(|inner| inner.ends_with(".k8s.io"))
}

/// The server's side of a connection that was upgraded.
pub async fn serve<I: AsyncRead + AsyncWrite + Unpin>(io: I) -> WebSocketStream<I> {
    WebSocketStream::from_raw_socket(io, Role::Server, Some(config())).await
}

/// The client's side of one.
pub async fn ask<I: AsyncRead + AsyncWrite + Unpin>(io: I) -> WebSocketStream<I> {
    WebSocketStream::from_raw_socket(io, Role::Client, Some(config())).await
}

fn config() -> WebSocketConfig {
    WebSocketConfig::default()
        .read_buffer_size(BUFFER)
        .write_buffer_size(BUFFER)
        .max_write_buffer_size(2 * MESSAGE)
        .max_message_size(Some(MESSAGE))
        .max_frame_size(Some(MESSAGE))
}

/// The last message of an orderly end.
pub(crate) fn farewell() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// Bytes, in the binary messages of a WebSocket. Where they are cut means nothing.
#[derive(Debug)]
pub struct Tunnel<I> {
    socket: WebSocketStream<I>,
    message: Bytes,
    closing: bool,
}

impl<I: AsyncRead + AsyncWrite + Unpin> Tunnel<I> {
    /// Through that one.
    pub fn new(socket: WebSocketStream<I>) -> Self {
        Self { socket, message: Bytes::new(), closing: false }
    }
}

fn broken(error: Error) -> io::Error {
    match error {
        Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<I> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        while self.message.is_empty() {
            match ready!(self.socket.poll_next_unpin(cx)) {
                Some(Ok(Message::Binary(message))) => self.message = message,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(Message::Text(_))) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "a message that is text")));
                }
                // Pings are answered by the socket itself.
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let length = self.message.len().min(into.remaining());
        into.put_slice(&self.message[..length]);
        self.message.advance(length);
        Poll::Ready(Ok(()))
    }
}

impl<I: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<I> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let length = bytes.len().min(BUFFER);
        ready!(self.socket.poll_ready_unpin(cx)).map_err(broken)?;
        let message = Message::Binary(Bytes::copy_from_slice(&bytes[..length]));
        self.socket.start_send_unpin(message).map_err(broken)?;
        Poll::Ready(Ok(length))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.socket.poll_flush_unpin(cx).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closing {
            ready!(self.socket.poll_ready_unpin(cx)).map_err(broken)?;
            self.closing = true;
            // Who has closed already is not told again.
            let _ = self.socket.start_send_unpin(farewell());
        }
        match ready!(self.socket.poll_flush_unpin(cx)) {
            Err(error) if !matches!(error, Error::ConnectionClosed | Error::AlreadyClosed) => {
                Poll::Ready(Err(broken(error)))
            }
            _ => Poll::Ready(Ok(())),
        }
    }
}

/// The two halves of a WebSocket, for those that read and write it in turns of their own.
pub(crate) fn halves<I: AsyncRead + AsyncWrite + Unpin>(
    socket: WebSocketStream<I>,
) -> (impl Sink<Message, Error = Error>, impl Stream<Item = Result<Message, Error>>) {
    socket.split()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::*;

    fn request(headers: &[(&'static str, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn the_handshake_is_the_standards() {
        let headers = request(&[
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "v5.channel.k8s.io, v4.channel.k8s.io"),
        ]);
        let wanted = Wanted::of(&headers).unwrap();
        assert_eq!(wanted.choose(&["", "v4.channel.k8s.io"]), Some("v4.channel.k8s.io"));
        assert_eq!(wanted.choose(&["", "channel.k8s.io"]), None, "who names some takes no other");
        let answer = wanted.accept("v4.channel.k8s.io");
        assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(answer.headers()["sec-websocket-protocol"], "v4.channel.k8s.io");

        let unnamed = Wanted { protocols: Vec::new(), ..wanted };
        assert_eq!(unnamed.choose(&["v4.channel.k8s.io", ""]), Some(""));
        assert!(!unnamed.accept("").headers().contains_key("sec-websocket-protocol"));
        for missing in ["upgrade", "sec-websocket-version", "sec-websocket-key"] {
            let mut headers = headers.clone();
            headers.remove(missing);
            assert_eq!(Wanted::of(&headers), None, "{missing}");
        }
    }

    #[test]
    fn tunnels_are_known_by_their_names() {
        assert_eq!(tunnelled("SPDY/3.1+portforward.k8s.io"), Some("portforward.k8s.io"));
        assert_eq!(tunnelled("SPDY/3.1+other"), None);
        assert_eq!(tunnelled("v4.channel.k8s.io"), None);
    }

    #[tokio::test]
    async fn bytes_go_through_a_tunnel_whole() {
        let (near, far) = duplex(100);
        let (mut near, mut far) = (Tunnel::new(ask(near).await), Tunnel::new(serve(far).await));
        let much: Vec<u8> = (0..100_000u32).map(|at| at as u8).collect();
        let sent = much.clone();
        let sending = tokio::spawn(async move {
            near.write_all(&sent).await.unwrap();
            near.shutdown().await.unwrap();
            let mut answer = String::new();
            near.read_to_string(&mut answer).await.unwrap();
            answer
        });
        let mut got = Vec::new();
        far.read_to_end(&mut got).await.unwrap();
        assert_eq!(got, much);
        assert!(far.shutdown().await.is_ok());
        drop(far);
        assert_eq!(sending.await.unwrap(), "");
    }
}
