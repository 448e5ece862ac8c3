//! Protobuf around objects: envelopes, watch events, and the lists in [`super::list`].

use api::codec::protobuf;
use api::document::Document;
use api::schema::{Schema, Shape};
use api::{Status, Value};
use bytes::{BufMut, Bytes, BytesMut};

use super::list::ListMeta;

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";

/// An object in its envelope.
pub(crate) fn enveloped(api_version: &str, kind: &str, object: &[u8]) -> Bytes {
    protobuf::wrap(api_version, kind, object).into()
}

/// A PartialObjectMetadata without an envelope: the object's first field is all of it.
pub(crate) fn metadata_of(object: &Bytes) -> Bytes {
    object.slice(..protobuf::metadata_length(object))
}

/// A PartialObjectMetadata of meta.k8s.io/`version`.
pub(crate) fn partial(version: &str, object: &Bytes) -> Bytes {
    enveloped(&format!("meta.k8s.io/{version}"), "PartialObjectMetadata", &metadata_of(object))
}

/// A document that says what it is, in its envelope. 406 for what has no protobuf.
pub(crate) fn document(document: &Value) -> Result<Bytes, Status> {
    let (api_version, kind) = (document.text(&["apiVersion"]), document.text(&["kind"]));
    let schema = Schema::builtin();
    let object = match shape_of(&schema, api_version, kind) {
        Some(shape) => protobuf::object(shape, document).map_err(Status::internal)?,
        None if kind == "PartialObjectMetadata" => protobuf::metadata(document).map_err(Status::internal)?,
        None => return Err(unknown(kind)),
    };
    Ok(enveloped(api_version, kind, &object))
}

fn shape_of<'a>(schema: &'a Schema, api_version: &str, kind: &str) -> Option<Shape<'a>> {
    let (group, version) = api_version.split_once('/').unwrap_or(("", api_version));
    match (group, version) {
        // What belongs to every group.
        ("", "v1" | "") if kind.starts_with("API") || kind == "Status" => schema.named(&format!("{META}.{kind}")),
        // Its versions are alike.
        ("apidiscovery.k8s.io", _) => schema.named(&format!("io.k8s.api.apidiscovery.v2.{kind}")),
        _ => schema.named(&api::builtin::type_name(group, version, kind)),
    }
}

fn unknown(kind: &str) -> Status {
    let message = format!(
        "object {kind} does not implement the protobuf marshalling interface and cannot be encoded to a protobuf message"
    );
    Status::new(api::status::Reason::NotAcceptable, message)
}

/// One frame of a watch: its length, and a WatchEvent around an object that has its envelope.
pub(crate) fn event(kind: &str, enveloped: &[u8]) -> Bytes {
    // runtime.RawExtension
    let raw = protobuf::field_head(1, enveloped.len());
    let kind = [&protobuf::field_head(1, kind.len()), kind.as_bytes()].concat();
    let object = protobuf::field_head(2, raw.len() + enveloped.len());
    let length = kind.len() + object.len() + raw.len() + enveloped.len();
    let mut frame = BytesMut::with_capacity(4 + length);
    frame.put_u32(u32::try_from(length).expect("an object has less than 4 GiB"));
    for part in [&kind, &object, &raw, enveloped] {
        frame.put_slice(part);
    }
    frame.freeze()
}

/// The pieces of a list: what stands before the items, before each of them, and behind them.
pub(crate) struct Frame {
    pub(crate) start: Bytes,
    pub(crate) heads: Vec<Vec<u8>>,
    pub(crate) end: &'static [u8],
}

/// The frame of a list of items.
pub(crate) fn list(api_version: &str, kind: &str, meta: &ListMeta, items: &[Bytes]) -> Frame {
    let schema = Schema::builtin();
    let shape = schema.named(&format!("{META}.ListMeta")).expect("the table has metav1");
    let meta = protobuf::object(shape, &meta.to_value()).expect("a ListMeta is in the table");
    let meta = [protobuf::field_head(1, meta.len()), meta].concat();
    let heads: Vec<Vec<u8>> = items.iter().map(|item| protobuf::field_head(2, item.len())).collect();
    let inside: usize = heads.iter().zip(items).map(|(head, item)| head.len() + item.len()).sum();
    let (before, end) = protobuf::envelope(api_version, kind, meta.len() + inside);
    Frame { start: [before, meta].concat().into(), heads, end }
}
