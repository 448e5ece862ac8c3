//! A port of a pod, by way of its kubelet: for gateways that are not on the network of the pods.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use hyper_util::rt::TokioIo;
use streaming::spdy::{Incoming, Session, Stream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::{refusal, spdy_request};
use crate::forward::{Backend, Begun, Link, begin};

/// What the protocol of port-forward is called.
const PROTOCOL: &str = "portforward.k8s.io";
/// Bytes of a reason.
const REASON: usize = 4096;

/// Opens a connection to a port of a pod, as `kubectl port-forward` would.
pub(crate) async fn pod_port(kubelet: Backend, target: String, port: u16) -> io::Result<Link> {
    let failed = |status: api::Status| io::Error::other(status.message().to_owned());
    let request = spdy_request(&kubelet, &target, PROTOCOL).map_err(failed)?;
    let upgrading = match begin(&kubelet, request).await.map_err(failed)? {
        Begun::Agreed(_, upgrading) => upgrading,
        Begun::Refused(answer) => {
            let said = refusal(answer).await;
            return Err(io::Error::other(String::from_utf8_lossy(&said).trim().to_owned()));
        }
    };
    let session = Session::client(TokioIo::new(upgrading.await.map_err(io::Error::other)?), None);
    let headers = |kind: &str| {
        let own = [("streamtype", kind.to_owned()), ("port", port.to_string()), ("requestid", "0".to_owned())];
        own.map(|(name, value)| (name.to_owned(), value)).to_vec()
    };
    let (errors, mut silent) = session.open(headers("error")).await?.split();
    silent.finish().await?;
    let data = session.open(headers("data")).await?;
    Ok(Box::new(PodPort { data, errors, reason: Vec::new() }))
}

/// The two streams of a connection that is forwarded.
struct PodPort {
    data: Stream,
    errors: Incoming,
    reason: Vec<u8>,
}

impl AsyncRead for PodPort {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        ready!(Pin::new(&mut self.data).poll_read(cx, into))?;
        if into.filled().len() > before || into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        // The end; the other stream says whether it is a good one.
        loop {
            let mut buffer = [0; 512];
            let mut buffer = ReadBuf::new(&mut buffer);
            ready!(Pin::new(&mut self.errors).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
            let room = REASON.saturating_sub(self.reason.len()).min(buffer.filled().len());
            self.reason.extend_from_slice(&buffer.filled()[..room]);
        }
        match std::mem::take(&mut self.reason) {
            reason if reason.is_empty() => Poll::Ready(Ok(())),
            reason => Poll::Ready(Err(io::Error::other(String::from_utf8_lossy(&reason).into_owned()))),
        }
    }
}

impl AsyncWrite for PodPort {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.data).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.data).poll_shutdown(cx)
    }
}
