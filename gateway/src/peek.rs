//! A look at a body's metadata, to know where it goes (DESIGN D3), without reading the rest.

use api::codec::{self, Format, Malformed};
use api::document::Document;
use api::schema::Shape;
use serde::Deserialize;
use smol_str::SmolStr;

/// What routing wants to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Peek {
    pub(crate) name: SmolStr,
    pub(crate) generate_name: SmolStr,
    pub(crate) namespace: SmolStr,
}

#[derive(Deserialize)]
struct Body {
    #[serde(default)]
    metadata: Option<Metadata>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    #[serde(default)]
    name: Option<SmolStr>,
    #[serde(default)]
    generate_name: Option<SmolStr>,
    #[serde(default)]
    namespace: Option<SmolStr>,
}

/// Reads the metadata of a body that is to become a document of `shape`. What is none is answered with the
/// codec's words.
pub(crate) fn peek(shape: Shape<'_>, body: &[u8], format: Format) -> Result<Peek, Malformed> {
    if format == Format::Json
        // An array would pass as a struct's fields in their order.
        && body.trim_ascii_start().starts_with(b"{")
        && let Ok(Body { metadata }) = serde_json::from_slice::<Body>(body)
    {
        let metadata = metadata.unwrap_or(Metadata { name: None, generate_name: None, namespace: None });
        return Ok(Peek {
            name: metadata.name.unwrap_or_default(),
            generate_name: metadata.generate_name.unwrap_or_default(),
            namespace: metadata.namespace.unwrap_or_default(),
        });
    }
    if format == Format::Protobuf {
        let names = codec::protobuf::names(body)?;
        return Ok(Peek {
            name: names.name.into(),
            generate_name: names.generate_name.into(),
            namespace: names.namespace.into(),
        });
    }
    // YAML; JSON that is broken, or only odd (a field twice): the codec knows.
    let decoded = codec::decode(shape, body, format)?;
    Ok(Peek {
        name: decoded.value.name().into(),
        generate_name: decoded.value.text(&["metadata", "generateName"]).into(),
        namespace: decoded.value.namespace().into(),
    })
}
