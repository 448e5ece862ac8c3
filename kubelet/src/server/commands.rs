//! `/exec` and `/attach`: the streams of a command, over whatever the client speaks.

use std::sync::Arc;

use client::Key;
use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use streaming::remote::{
    Dialect, Outcome, PROTOCOL_VERSION, Remote, SPDY_PROTOCOLS, WEBSOCKET_PROTOCOLS, Wishes, offered, serve_channels,
    serve_spdy,
};
use streaming::spdy;
use streaming::websocket::Wanted;
use tokio::sync::OwnedSemaphorePermit;

use super::{Answered, Serving, bare};
use crate::container::{exec, tell};
use crate::logs::{LogOptions, Reading};

/// How a client's streams come.
enum Way {
    WebSocket(Dialect),
    Spdy(&'static str),
}

impl Way {
    /// What a client and this server both speak, and the answer that agrees to it.
    fn agree(headers: &HeaderMap) -> Result<(Self, Response<()>), (StatusCode, String)> {
        if let Some(wanted) = Wanted::of(headers) {
            let protocol = wanted.choose(&WEBSOCKET_PROTOCOLS);
            let dialect = protocol.and_then(|protocol| Some((protocol, Dialect::of(protocol)?)));
            let (protocol, dialect) = dialect.ok_or_else(|| unknown(&wanted.protocols, &WEBSOCKET_PROTOCOLS))?;
            return Ok((Self::WebSocket(dialect), wanted.accept(protocol)));
        }
        if !wants_spdy(headers) {
            return Err((StatusCode::BAD_REQUEST, "Upgrade request required".to_owned()));
        }
        let offered = offered(headers);
        let mut both = offered.iter().filter_map(|wanted| SPDY_PROTOCOLS.iter().find(|known| *known == wanted));
        let protocol = match both.next() {
            Some(protocol) => *protocol,
            // As clients did before there were versions.
            None if offered.is_empty() => "",
            None => return Err(unknown(&offered, &SPDY_PROTOCOLS)),
        };
        Ok((Self::Spdy(protocol), spdy_answer(protocol)))
    }

    /// The streams of a connection that was taken over.
    async fn open(self, upgrading: OnUpgrade, wishes: Wishes) -> std::io::Result<Remote> {
        let io = TokioIo::new(upgrading.await.map_err(std::io::Error::other)?);
        match self {
            Self::WebSocket(dialect) => Ok(serve_channels(io, dialect, wishes).await),
            Self::Spdy(protocol) => serve_spdy(io, protocol, wishes).await,
        }
    }
}

pub(super) fn wants_spdy(headers: &HeaderMap) -> bool {
    headers.get(UPGRADE).is_some_and(|wanted| wanted.as_bytes().eq_ignore_ascii_case(spdy::UPGRADE.as_bytes()))
}

pub(super) fn spdy_answer(protocol: &str) -> Response<()> {
    let mut response = Response::new(());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(spdy::UPGRADE));
    if let Ok(protocol) = HeaderValue::from_str(protocol)
        && !protocol.is_empty()
    {
        response.headers_mut().insert(PROTOCOL_VERSION, protocol);
    }
    response
}

pub(super) fn unknown(offered: &[impl std::fmt::Debug], known: &[&str]) -> (StatusCode, String) {
    let why = "unable to upgrade: unable to negotiate protocol";
    (StatusCode::FORBIDDEN, format!("{why}: client supports {offered:?}, server accepts {known:?}"))
}

/// The parameters of both.
#[derive(Debug, Default, PartialEq, Eq)]
struct Asked {
    wishes: Wishes,
    command: Vec<String>,
}

impl Asked {
    fn read(query: &str) -> Result<Self, (StatusCode, String)> {
        let mut asked = Self::default();
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match name {
                "input" => asked.wishes.stdin = value == "1",
                "output" => asked.wishes.stdout = value == "1",
                "error" => asked.wishes.stderr = value == "1",
                "tty" => asked.wishes.tty = value == "1",
                "command" => asked.command.push(decode(value)),
                _ => {}
            }
        }
        // A terminal has one screen.
        asked.wishes.stderr &= !asked.wishes.tty;
        if !asked.wishes.any() {
            let why = "you must specify at least 1 of stdin, stdout, stderr".to_owned();
            return Err((StatusCode::BAD_REQUEST, why));
        }
        Ok(asked)
    }
}

/// Percent-decoding, as it is in a query.
fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let escaped = (bytes[at] == b'%').then(|| text.get(at + 1..at + 3)).flatten();
        match escaped.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                out.push(byte);
                at += 3;
            }
            None => {
                out.push(if bytes[at] == b'+' { b' ' } else { bytes[at] });
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl Serving {
    /// Runs a command.
    pub(super) async fn exec(
        &self,
        mut request: Request<Incoming>,
        place: Arc<OwnedSemaphorePermit>,
        key: Key,
        name: &str,
    ) -> Answered {
        let asked = Asked::read(request.uri().query().unwrap_or_default())?;
        let container = self.container(&key, name).await?;
        let ambient = self.ambient()?;
        let (way, answer) = Way::agree(request.headers())?;
        let (upgrading, shutdown) = (hyper::upgrade::on(&mut request), self.shutdown.clone());
        let running = async move {
            match way.open(upgrading, asked.wishes).await {
                Ok(remote) => exec(container, &asked.command, remote, asked.wishes.tty, &ambient).await,
                Err(error) => tracing::debug!(%error, "a client's streams have not come"),
            }
            drop(place);
        };
        tokio::spawn(async move { shutdown.run_until_cancelled(running).await });
        Ok(bare(answer))
    }

    /// Shows what a container writes from now on, until it ends. What is typed goes nowhere: nothing reads it.
    pub(super) async fn attach(
        &self,
        mut request: Request<Incoming>,
        place: Arc<OwnedSemaphorePermit>,
        key: Key,
        name: &str,
    ) -> Answered {
        let asked = Asked::read(request.uri().query().unwrap_or_default())?;
        self.container(&key, name).await?;
        let (way, answer) = Way::agree(request.headers())?;
        let upgrading = hyper::upgrade::on(&mut request);
        let (logs, name, shutdown) = (self.logs.clone(), name.to_owned(), self.shutdown.clone());
        let running = async move {
            match way.open(upgrading, asked.wishes).await {
                Ok(remote) => show(remote, logs, key, &name).await,
                Err(error) => tracing::debug!(%error, "a client's streams have not come"),
            }
            drop(place);
        };
        tokio::spawn(async move { shutdown.run_until_cancelled(running).await });
        Ok(bare(answer))
    }
}

/// Shows a container's lines as they come.
async fn show(mut remote: Remote, logs: crate::Logs, key: Key, name: &str) {
    let Some(life) = logs.get(&key) else { return };
    let Some(at) = life.containers.iter().position(|(known, _)| known == name) else { return };
    let options = LogOptions { follow: true, tail: Some(0), ..LogOptions::default() };
    let (span, now) = (life.span, logs.now());
    let mut reading = Reading::new(logs, key, life, at, span, options, now);
    let stdin = remote.stdin.take();
    let typing = async move {
        if let Some(mut stdin) = stdin {
            while stdin.next().await.is_some() {}
        }
        std::future::pending::<()>().await;
    };
    let mut stdout = remote.stdout.take();
    let gone = remote.gone.clone();
    let showing = async {
        while let Some(lines) = reading.next().await {
            if let Some(stdout) = &mut stdout {
                stdout.send(lines).await?;
            }
        }
        match &mut stdout {
            Some(stdout) => stdout.finish().await,
            None => Ok(()),
        }
    };
    tokio::select! {
        shown = showing => if shown.is_err() {
            return;
        },
        () = typing => {}
        () = gone.cancelled() => return,
    }
    drop(stdout);
    tell(remote, &Outcome::Success).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_read() {
        let asked = Asked::read("command=sh&command=-c&command=echo%20a%26b+c&input=1&output=1&tty=1&error=1").unwrap();
        assert_eq!(asked.command, ["sh", "-c", "echo a&b c"]);
        assert_eq!(asked.wishes, Wishes { stdin: true, stdout: true, stderr: false, tty: true });
        assert_eq!(Asked::read("command=ls").unwrap_err().0, StatusCode::BAD_REQUEST);
    }
}
