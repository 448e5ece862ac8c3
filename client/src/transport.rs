//! How a request reaches an API server.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;

/// A response body as it arrives. Dropping it cancels the request.
pub type BodyStream = BoxStream<'static, Result<Bytes, TransportError>>;

/// Why no answer came. Whether the request was executed is unknown unless `sent` is false.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{message}")]
pub struct TransportError {
    /// What happened, where, and what to do.
    pub message: String,
    /// Whether the server may have seen the request.
    pub sent: bool,
}

/// A way to one API server.
///
/// The request's URI holds path and query only; the transport adds scheme, authority and credentials. An HTTP status of
/// any kind is an answer, not an error. Dropping the future, or the body, cancels the request on the server as well.
pub trait Transport: Send + Sync + 'static {
    /// Sends one request and waits for the head of the answer.
    fn send(
        &self,
        request: http::Request<Bytes>,
    ) -> BoxFuture<'static, Result<http::Response<BodyStream>, TransportError>>;
}
