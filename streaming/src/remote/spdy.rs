//! Over SPDY: each stream says in a header what it is.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use super::{Ending, Input, Output, Remote, Wishes};
use crate::spdy::{Accept, Session, Stream};

/// How long a client may take to open its streams.
const PATIENCE: Duration = Duration::from_secs(30);

/// The streams of a client that speaks SPDY, once it has opened all that it wanted.
pub async fn serve_spdy<I>(io: I, protocol: &str, wishes: Wishes) -> io::Result<Remote>
where
    I: AsyncRead + AsyncWrite + Send + 'static,
{
    let (session, mut accept) = Session::server(io);
    let version = match protocol {
        "v4.channel.k8s.io" => 4,
        "v3.channel.k8s.io" => 3,
        "v2.channel.k8s.io" => 2,
        _ => 1,
    };
    let resizes = wishes.tty && version >= 3;
    let late = |_| io::Error::new(io::ErrorKind::TimedOut, "timed out waiting for client to create streams");
    let streams = tokio::time::timeout(PATIENCE, Streams::wait(&mut accept, wishes, resizes)).await.map_err(late)??;
    let stdin = streams.stdin.map(|stream| Input::Stream(stream.split().0));
    let output = |stream: Stream| Output::Stream(stream.split().1);
    let error = streams.error.map(output).ok_or_else(missing)?;
    let remote = Remote {
        stdin,
        stdout: streams.stdout.map(output),
        stderr: streams.stderr.map(output),
        resize: streams.resize.map_or(Input::Nothing, |stream| Input::Stream(stream.split().0)),
        ending: Ending { error, status: version >= 4 },
        gone: session.over(),
    };
    Ok(remote)
}

fn missing() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the client has not opened its streams")
}

/// Streams by what they are.
#[derive(Default)]
struct Streams {
    error: Option<Stream>,
    stdin: Option<Stream>,
    stdout: Option<Stream>,
    stderr: Option<Stream>,
    resize: Option<Stream>,
}

impl Streams {
    async fn wait(accept: &mut Accept, wishes: Wishes, resizes: bool) -> io::Result<Self> {
        let mut streams = Self::default();
        while !streams.are_complete(wishes, resizes) {
            let stream = accept.recv().await.ok_or_else(missing)?;
            let place = match stream.header("streamtype") {
                "error" => &mut streams.error,
                "stdin" => &mut streams.stdin,
                "stdout" => &mut streams.stdout,
                "stderr" => &mut streams.stderr,
                "resize" => &mut streams.resize,
                // It is reset when it is dropped.
                _ => continue,
            };
            *place = Some(stream);
        }
        Ok(streams)
    }

    fn are_complete(&self, wishes: Wishes, resizes: bool) -> bool {
        self.error.is_some()
            && (!wishes.stdin || self.stdin.is_some())
            && (!wishes.stdout || self.stdout.is_some())
            && (!wishes.stderr || self.stderr.is_some())
            && (!resizes || self.resize.is_some())
    }
}
