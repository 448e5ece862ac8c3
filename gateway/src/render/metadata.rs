//! metav1.PartialObjectMetadata: an object's metadata and nothing else.

use api::Object;
use bytes::{BufMut, BytesMut};
use serde::Deserialize;
use serde_json::value::RawValue;

#[derive(Deserialize)]
struct Tail<'a> {
    #[serde(borrow)]
    metadata: Option<&'a RawValue>,
}

/// The text of metadata in a stored object.
pub(super) fn metadata_of(object: &Object) -> String {
    let mut text = Vec::with_capacity(object.tail().len() + 1);
    text.push(b'{');
    text.extend_from_slice(object.tail());
    let tail: Tail<'_> = serde_json::from_slice(&text).expect("a stored tail is JSON");
    tail.metadata.map_or_else(|| "{}".to_owned(), |metadata| metadata.get().to_owned())
}

/// Appends a PartialObjectMetadata of meta.k8s.io/`version`.
pub(crate) fn partial(out: &mut BytesMut, version: &str, object: &Object) {
    out.put_slice(b"{\"kind\":\"PartialObjectMetadata\",\"apiVersion\":\"meta.k8s.io/");
    out.put_slice(version.as_bytes());
    out.put_slice(b"\",\"metadata\":");
    out.put_slice(metadata_of(object).as_bytes());
    out.put_u8(b'}');
}
