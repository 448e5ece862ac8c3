//! The body of a list: a concatenation, made in pieces while it is sent.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use api::{Object, Resource, Status, Value, Version};
use axum::body::Body;
use bytes::{BufMut, Bytes, BytesMut};
use http::Response;
use http::header::CONTENT_TYPE;
use http_body::{Frame, SizeHint};
use serde_json::json;

use super::{Tables, json_bytes, partial, protobuf, response, tail};
use crate::forms::Forms;
use crate::media::{Encoding, Output, Target};

/// Bytes of one piece, more or less: several TLS records, little enough to wait for.
const PIECE: usize = 64 << 10;

/// metav1.ListMeta
#[derive(Clone, Debug, Default)]
pub(crate) struct ListMeta {
    pub(crate) version: Version,
    /// Empty at the end.
    pub(crate) continuation: String,
    pub(crate) remaining: Option<usize>,
    /// The selector of shardInfo: the list is that shard of itself. Empty where it is whole.
    pub(crate) shard: String,
}

impl ListMeta {
    pub(super) fn to_value(&self) -> Value {
        let mut value = json!({ "resourceVersion": self.version.to_string() });
        if !self.continuation.is_empty() {
            value["continue"] = json!(self.continuation);
        }
        if let Some(remaining) = self.remaining {
            value["remainingItemCount"] = json!(remaining);
        }
        if !self.shard.is_empty() {
            value["shardInfo"] = json!({ "selector": self.shard });
        }
        value
    }
}

/// The answer to a list.
pub(crate) async fn answer(
    resource: &Arc<Resource>,
    served: usize,
    objects: Vec<Arc<Object>>,
    meta: &ListMeta,
    output: Output,
    now: i64,
    forms: &Arc<Forms>,
) -> Result<Response<Body>, Status> {
    let version = &resource.served[served];
    let (kind, api_version, items) = match output.target {
        Target::Table(table_version, include) => {
            let tables = Tables { resource, served: version, version: table_version, include, now };
            let mut table = tables.empty(meta.to_value());
            table["rows"] = objects.iter().map(|object| tables.row(object)).collect();
            return Ok(response(200, json_bytes(&table), output));
        }
        Target::Metadata(meta_version) => {
            let api_version = format!("meta.k8s.io/{meta_version}");
            ("PartialObjectMetadataList".to_owned(), api_version, Items::Metadata(meta_version))
        }
        Target::Object => (format!("{}List", resource.kind), version.api_version(), Items::Plain),
    };
    if output.encoding == Encoding::Protobuf {
        let mut forms = forms.of_all(resource, served, objects).await?;
        if items != Items::Plain {
            forms = forms.iter().map(protobuf::metadata_of).collect();
        }
        return Ok(streamed(FormsBody::new(&api_version, &kind, meta, forms), Encoding::Protobuf));
    }
    let mut start = BytesMut::with_capacity(256);
    let head = json!([kind, api_version, meta.to_value()]);
    start.put_slice(format!("{{\"kind\":{},\"apiVersion\":{},", head[0], head[1]).as_bytes());
    start.put_slice(format!("\"metadata\":{},\"items\":[", head[2]).as_bytes());
    let body = ListBody {
        resource: resource.clone(),
        served,
        items,
        left: size_of_list(start.len(), resource, served, items, &objects),
        start: Some(start),
        objects: objects.into_iter(),
        first: true,
    };
    if output.pretty || output.encoding == Encoding::Yaml {
        return Ok(response(200, whole(body), output));
    }
    Ok(streamed(body, Encoding::Json))
}

fn streamed<B>(body: B, encoding: Encoding) -> Response<Body>
where
    B: http_body::Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static,
{
    let mut response = Response::new(Body::new(body));
    response.headers_mut().insert(CONTENT_TYPE, encoding.content_type());
    response
}

/// A list in protobuf: what stands around the items is made, the items are shared.
struct FormsBody {
    start: Option<Bytes>,
    items: std::iter::Zip<std::vec::IntoIter<Vec<u8>>, std::vec::IntoIter<Bytes>>,
    end: &'static [u8],
    left: u64,
}

impl FormsBody {
    fn new(api_version: &str, kind: &str, meta: &ListMeta, items: Vec<Bytes>) -> Self {
        let protobuf::Frame { start, heads, end } = protobuf::list(api_version, kind, meta, &items);
        let inside: usize = heads.iter().zip(&items).map(|(head, item)| head.len() + item.len()).sum();
        let left = (start.len() + inside + end.len()) as u64;
        Self { start: Some(start), items: heads.into_iter().zip(items), end, left }
    }

    fn piece(&mut self) -> Option<Bytes> {
        if self.left == 0 {
            return None;
        }
        let mut piece = BytesMut::with_capacity(PIECE.min(self.left as usize));
        if let Some(start) = self.start.take() {
            piece.put_slice(&start);
        }
        while piece.len() < PIECE {
            let Some((head, item)) = self.items.next() else {
                piece.put_slice(self.end);
                break;
            };
            piece.put_slice(&head);
            piece.put_slice(&item);
        }
        self.left = self.left.saturating_sub(piece.len() as u64);
        Some(piece.freeze())
    }
}

impl http_body::Body for FormsBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Items {
    /// Without kind and apiVersion: the list's own say it.
    Plain,
    Metadata(&'static str),
}

/// What the whole list will take, where that is known before it is made.
fn size_of_list(
    start: usize,
    resource: &Resource,
    served: usize,
    items: Items,
    objects: &[Arc<Object>],
) -> Option<u64> {
    if items != Items::Plain || resource.served[served].convert.is_some() {
        return None;
    }
    let tails: usize = objects.iter().map(|object| object.tail().len() + 1).sum();
    Some((start + tails + objects.len().saturating_sub(1) + END.len()) as u64)
}

const END: &[u8] = b"]}\n";

struct ListBody {
    resource: Arc<Resource>,
    served: usize,
    items: Items,
    /// `None` once it was sent, and the list is over.
    start: Option<BytesMut>,
    objects: std::vec::IntoIter<Arc<Object>>,
    first: bool,
    /// Bytes that are still to come, if that is known.
    left: Option<u64>,
}

impl ListBody {
    /// The next piece; `None` behind the last.
    fn piece(&mut self) -> Option<Bytes> {
        if self.objects.as_slice().is_empty() && self.start.is_none() && !self.first {
            return None;
        }
        let mut piece = self.start.take().unwrap_or_default();
        piece.reserve(PIECE.min(4096 * (self.objects.len() + 1)));
        let served = &self.resource.served[self.served];
        while piece.len() < PIECE {
            let Some(object) = self.objects.next() else { break };
            if !std::mem::take(&mut self.first) {
                piece.put_u8(b',');
            }
            match self.items {
                Items::Plain => {
                    piece.put_u8(b'{');
                    piece.put_slice(&tail(served, &object));
                }
                Items::Metadata(version) => partial(&mut piece, version, &object),
            }
        }
        if self.objects.as_slice().is_empty() {
            self.first = false;
            piece.put_slice(END);
        }
        self.left = self.left.map(|left| left.saturating_sub(piece.len() as u64));
        Some(piece.freeze())
    }
}

fn whole(mut body: ListBody) -> Bytes {
    let mut whole = BytesMut::new();
    while let Some(piece) = body.piece() {
        whole.put_slice(&piece);
    }
    whole.freeze()
}

impl http_body::Body for ListBody {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.piece().map(|piece| Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.objects.as_slice().is_empty() && self.start.is_none() && !self.first
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
