//! A command's streams, over each protocol, from the client's side.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::*;
use crate::spdy::Session;
use crate::websocket;

const ALL: Wishes = Wishes { stdin: true, stdout: true, stderr: true, tty: false };

/// What `tr a-z A-Z` does: every piece of stdin in capitals, and then a word on stderr.
async fn shout(mut remote: Remote, outcome: Outcome) {
    let (mut stdin, mut stdout) = (remote.stdin.take().unwrap(), remote.stdout.take().unwrap());
    while let Some(piece) = stdin.next().await {
        stdout.send(piece.to_ascii_uppercase().into()).await.unwrap();
    }
    stdout.finish().await.unwrap();
    remote.stderr.take().unwrap().send(Bytes::from_static(b"done")).await.unwrap();
    drop(stdin);
    remote.ending.finish(&outcome).await.unwrap();
}

async fn websocket(protocol: &str, outcome: Outcome) -> WebSocketStream<DuplexStream> {
    let (near, far) = duplex(1000);
    let dialect = Dialect::of(protocol).unwrap();
    tokio::spawn(async move { shout(serve_channels(far, dialect, ALL).await, outcome).await });
    websocket::ask(near).await
}

/// Everything until the connection is closed.
async fn all(mut socket: WebSocketStream<DuplexStream>) -> Vec<Message> {
    let mut messages = Vec::new();
    while let Some(Ok(message)) = socket.next().await {
        messages.push(message);
    }
    messages
}

fn binary(channel: u8, data: &[u8]) -> Message {
    Message::Binary([&[channel], data].concat().into())
}

#[tokio::test]
async fn version_5_closes_channels_and_ends_with_a_status() {
    let mut socket = websocket("v5.channel.k8s.io", Outcome::Exit(3)).await;
    for message in [binary(0, b"abc"), binary(9, b"?"), binary(0, b""), binary(0, b"def"), binary(255, &[0])] {
        socket.send(message).await.unwrap();
    }
    let messages = all(socket).await;
    assert_eq!(messages[..4], [binary(1, b""), binary(1, b"ABC"), binary(1, b"DEF"), binary(2, b"done")]);
    let status: serde_json::Value = serde_json::from_slice(&messages[4].clone().into_data()[1..]).unwrap();
    assert_eq!(messages[4].clone().into_data()[0], 3);
    assert_eq!(
        (&status["reason"], &status["details"]["causes"][0]["message"]),
        (&"NonZeroExitCode".into(), &"3".into())
    );
    let Message::Close(Some(frame)) = &messages[5] else { panic!("{messages:?}") };
    assert_eq!(u16::from(frame.code), 1000, "a normal end, or clients call it an error");
}

#[tokio::test]
async fn older_versions_are_text_if_a_client_wants_it_so() {
    let (near, far) = duplex(1000);
    let dialect = Dialect::of("base64.channel.k8s.io").unwrap();
    let mut socket = websocket::ask(near).await;
    let mut remote = serve_channels(far, dialect, Wishes { stdout: false, stderr: false, ..ALL }).await;
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text("3"), "the first channel that is read");
    socket.send(Message::text("0aGk=")).await.unwrap();
    assert_eq!(remote.stdin.as_mut().unwrap().next().await, Some(Bytes::from_static(b"hi")));
    remote.ending.finish(&Outcome::Failed("it broke".to_owned())).await.unwrap();
    let text = "3SW50ZXJuYWwgZXJyb3Igb2NjdXJyZWQ6IGl0IGJyb2tl";
    assert_eq!(socket.next().await.unwrap().unwrap(), Message::text(text));
}

#[tokio::test]
async fn a_client_that_goes_is_noticed_and_one_that_floods_is_held_up() {
    let (near, far) = duplex(1000);
    let mut socket = websocket::ask(near).await;
    let remote = serve_channels(far, Dialect::of("v4.channel.k8s.io").unwrap(), ALL).await;
    let mut sent = 0;
    let flood = async {
        loop {
            socket.send(binary(0, &[7; 10_000])).await.unwrap();
            sent += 1;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(1), flood).await.is_err());
    assert!(sent <= 4, "{sent} messages were taken that nobody reads");
    let Remote { stdin, gone, .. } = remote;
    drop((stdin, socket));
    tokio::time::timeout(Duration::from_secs(5), gone.cancelled()).await.expect("it is noticed");
}

async fn spdy(protocol: &'static str, outcome: Outcome) -> (String, String, String) {
    let (near, far) = duplex(1000);
    let serving = tokio::spawn(async move { shout(serve_spdy(far, protocol, ALL).await.unwrap(), outcome).await });
    let session = Session::client(near, None);
    let open = async |kind: &str| session.open(vec![("streamtype".to_owned(), kind.to_owned())]).await.unwrap();
    let mut error = open("error").await;
    let (mut stdin, mut stdout, mut stderr) = (open("stdin").await, open("stdout").await, open("stderr").await);
    stdin.write_all(b"hello").await.unwrap();
    stdin.shutdown().await.unwrap();
    let mut said = (String::new(), String::new(), String::new());
    stdout.read_to_string(&mut said.0).await.unwrap();
    stderr.read_to_string(&mut said.1).await.unwrap();
    error.read_to_string(&mut said.2).await.unwrap();
    serving.await.unwrap();
    said
}

#[tokio::test]
async fn over_spdy_every_stream_ends_and_the_result_comes_last() {
    let (stdout, stderr, error) = spdy("v4.channel.k8s.io", Outcome::Success).await;
    assert_eq!((stdout.as_str(), stderr.as_str()), ("HELLO", "done"));
    assert_eq!(error, r#"{"metadata":{},"status":"Success"}"#);
    let (.., error) = spdy("v3.channel.k8s.io", Outcome::Success).await;
    assert_eq!(error, "");
    let (.., error) = spdy("v2.channel.k8s.io", Outcome::Exit(2)).await;
    assert_eq!(error, "command terminated with non-zero exit code: exit status 2");
}

#[tokio::test(start_paused = true)]
async fn a_client_that_opens_no_streams_is_not_waited_for_long() {
    let (near, far) = duplex(1000);
    let session = Session::client(near, None);
    let _error = session.open(vec![("streamtype".to_owned(), "error".to_owned())]).await.unwrap();
    let refused = serve_spdy(far, "v4.channel.k8s.io", ALL).await.unwrap_err();
    assert_eq!(refused.to_string(), "timed out waiting for client to create streams");
}
