//! One request and its answer, both as they come.

use axum::body::Body;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;

use super::Link;
use super::headers::without_hops;

/// Sends a request by a link of its own, and waits for the head of the answer, for as long as the client does. What concerns one
/// connection only is taken out of both.
pub(crate) async fn exchange(link: Link, mut request: Request<Body>) -> hyper::Result<Response<Incoming>> {
    without_hops(request.headers_mut());
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(link)).await?;
    // Ends when the body of the answer was read, or dropped.
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "a connection to another server ended early");
        }
    });
    let mut response = sender.send_request(request).await?;
    without_hops(response.headers_mut());
    Ok(response)
}
