//! What a refused request still sends: taken in, up to a point, before it is answered. Many clients read an answer only
//! once they have sent everything, and some lose one that comes earlier.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use parking_lot::Mutex;

/// How long an answer waits for what nobody reads.
const DISCARDING: Duration = Duration::from_secs(5);

/// Where a body goes that was not read to its end.
#[derive(Clone, Default)]
pub(crate) struct Unread(Arc<Mutex<Option<Body>>>);

impl Unread {
    /// The body, with the promise that what is left of it can be discarded later.
    pub(crate) fn watch(&self, body: Body) -> Body {
        if body.is_end_stream() { body } else { Body::new(Lent { body, owner: self.clone() }) }
    }

    /// Takes in what is left, at most so many bytes.
    pub(crate) async fn discard(self, most: usize) {
        let Some(mut body) = self.0.lock().take() else { return };
        let take = async {
            let mut taken = 0;
            while let Some(Ok(frame)) = body.frame().await {
                taken += frame.data_ref().map_or(0, Bytes::len);
                if taken > most {
                    return;
                }
            }
        };
        // In time or not, the answer is the same.
        let _ = tokio::time::timeout(DISCARDING, take).await;
    }
}

struct Lent {
    body: Body,
    owner: Unread,
}

impl http_body::Body for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if !self.body.is_end_stream() {
            *self.owner.0.lock() = Some(std::mem::take(&mut self.body));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::{StreamExt, stream};

    use super::*;

    fn pieces(count: usize, read: &Arc<AtomicUsize>) -> Body {
        let read = read.clone();
        Body::from_stream(stream::iter(0..count).map(move |_| {
            read.fetch_add(1, Ordering::Relaxed);
            Ok::<_, std::convert::Infallible>(Bytes::from_static(b"0123456789"))
        }))
    }

    #[tokio::test]
    async fn what_nobody_read_is_taken_in_up_to_a_point() {
        let read = Arc::new(AtomicUsize::new(0));
        let unread = Unread::default();
        drop(unread.watch(pieces(5, &read)));
        unread.discard(1000).await;
        assert_eq!(read.load(Ordering::Relaxed), 5);

        let unread = Unread::default();
        let mut body = unread.watch(pieces(100, &read));
        body.frame().await.unwrap().unwrap();
        drop(body);
        unread.discard(20).await;
        assert_eq!(read.load(Ordering::Relaxed), 5 + 1 + 3, "not all of a flood");
    }

    #[tokio::test]
    async fn what_was_read_is_over() {
        let read = Arc::new(AtomicUsize::new(0));
        let unread = Unread::default();
        let whole = unread.watch(pieces(3, &read)).collect().await.unwrap().to_bytes();
        assert_eq!(whole.len(), 30);
        unread.discard(1000).await;
        assert_eq!(read.load(Ordering::Relaxed), 3);
    }
}
