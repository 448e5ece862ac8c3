//! Answers over 128 KiB, compressed for those who take gzip. What is streamed is compressed as it goes.

use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, VARY};
use http::{HeaderValue, Response};
use http_body::{Body as _, Frame};
use http_body_util::BodyExt;

/// What is no larger stays as it is.
const THRESHOLD: usize = 128 << 10;

/// Compresses an answer that is large enough. Its body must be one that never waits for long.
pub(crate) async fn compress(response: Response<Body>) -> Response<Body> {
    let bounds = response.body().size_hint();
    let small = bounds.upper().is_some_and(|most| most <= THRESHOLD as u64);
    if small || response.headers().contains_key(CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, mut body) = response.into_parts();
    let mut begun = BytesMut::new();
    while begun.len() <= THRESHOLD {
        match body.frame().await.map(|frame| frame.map(Frame::into_data)) {
            Some(Ok(Ok(data))) => begun.put_slice(&data),
            None => return Response::from_parts(parts, Body::from(begun.freeze())),
            // Trailers, which nobody here sends.
            Some(Ok(Err(_))) => {}
            Some(Err(error)) => {
                let broken = futures_util::stream::iter([Ok(begun.freeze()), Err(error)]);
                return Response::from_parts(parts, Body::from_stream(broken));
            }
        }
    }
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
    // The reference's level: the others cost more than they save.
    let encoder = GzEncoder::new(Vec::with_capacity(THRESHOLD / 2), Compression::new(1));
    let body = Compressed { body, begun: Some(begun.freeze()), encoder: Some(encoder) };
    Response::from_parts(parts, Body::new(body))
}

struct Compressed {
    body: Body,
    /// Read before it was known whether there is more.
    begun: Option<Bytes>,
    /// `None` at the end.
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl Compressed {
    /// Takes data in; what comes out of it, which may be nothing yet.
    fn take(&mut self, data: &[u8]) -> Bytes {
        let encoder = self.encoder.as_mut().expect("data comes before the end");
        encoder.write_all(data).expect("a Vec takes every byte");
        std::mem::take(encoder.get_mut()).into()
    }
}

impl http_body::Body for Compressed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.encoder.is_some() {
            let out = match self.begun.take() {
                Some(data) => self.take(&data),
                None => match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                    Some(Ok(frame)) => frame.into_data().map(|data| self.take(&data)).unwrap_or_default(),
                    Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                    None => {
                        let encoder = self.encoder.take().expect("asked for above");
                        encoder.finish().expect("a Vec takes every byte").into()
                    }
                },
            };
            if !out.is_empty() {
                return Poll::Ready(Some(Ok(Frame::data(out))));
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none()
    }
}
