//! Text that is kept compressed, and documents that are put together from it without taking it apart.
//!
//! A fragment is a run of whole deflate blocks, so fragments one behind the other are the blocks of one stream: a gzip body is
//! a header, the fragments, and a checksum that is combined from theirs. What a client without gzip gets is inflated fragment
//! by fragment, as it is sent.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use bytes::Bytes;
use flate2::{Compress, Compression, Crc, Decompress, FlushCompress, FlushDecompress};
use futures_util::stream;

/// The header of a gzip stream that says nothing about a file.
const HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
/// A last block that holds nothing.
const LAST: [u8; 2] = [3, 0];

/// See the module.
#[derive(Debug)]
pub(super) struct Fragment {
    blocks: Bytes,
    checksum: Crc,
    pub(super) length: usize,
}

/// Fragments in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct Document(pub(super) Vec<Arc<Fragment>>);

impl Fragment {
    pub(super) fn of(text: &[u8]) -> Arc<Self> {
        let mut checksum = Crc::new();
        checksum.update(text);
        let mut compress = Compress::new(Compression::default(), false);
        let mut blocks = Vec::with_capacity(text.len() / 8 + 64);
        loop {
            let taken = compress.total_in() as usize;
            let before = blocks.len();
            compress.compress_vec(&text[taken..], &mut blocks, FlushCompress::Sync).expect("deflate takes any input");
            // All is out when there was room to spare.
            if compress.total_in() as usize == text.len() && blocks.len() < blocks.capacity() {
                break;
            }
            if blocks.len() == blocks.capacity() || blocks.len() == before {
                blocks.reserve(text.len() / 8 + 64);
            }
        }
        blocks.shrink_to_fit();
        Arc::new(Self { blocks: blocks.into(), checksum, length: text.len() })
    }

    /// The text.
    pub(super) fn inflate(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.length + 1);
        let mut decompress = Decompress::new(false);
        for part in [&self.blocks[..], &LAST] {
            decompress.decompress_vec(part, &mut text, FlushDecompress::Sync).expect("these blocks were made above");
        }
        debug_assert_eq!(text.len(), self.length);
        text
    }
}

impl Document {
    /// How long the text is, and how long compressed.
    fn lengths(&self) -> (usize, usize) {
        let blocks: usize = self.0.iter().map(|fragment| fragment.blocks.len()).sum();
        (self.0.iter().map(|fragment| fragment.length).sum(), HEADER.len() + blocks + LAST.len() + 8)
    }

    /// A body and its length; compressed or not.
    pub(super) fn body(&self, gzip: bool) -> (Body, usize) {
        let (plain, compressed) = self.lengths();
        if !gzip {
            let texts = self.0.clone().into_iter().map(|fragment| Ok::<_, Infallible>(Bytes::from(fragment.inflate())));
            return (Body::from_stream(stream::iter(texts)), plain);
        }
        let mut checksum = Crc::new();
        self.0.iter().for_each(|fragment| checksum.combine(&fragment.checksum));
        let mut end = LAST.to_vec();
        end.extend(checksum.sum().to_le_bytes());
        // By its lowest 32 bits.
        end.extend((plain as u32).to_le_bytes());
        let mut pieces = vec![Bytes::from_static(&HEADER)];
        pieces.extend(self.0.iter().map(|fragment| fragment.blocks.clone()));
        pieces.push(end.into());
        (Body::from_stream(stream::iter(pieces.into_iter().map(Ok::<_, Infallible>))), compressed)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use flate2::read::GzDecoder;
    use http_body_util::BodyExt;

    use super::*;

    async fn bytes((body, length): (Body, usize)) -> Vec<u8> {
        let bytes = body.collect().await.unwrap().to_bytes().to_vec();
        assert_eq!(bytes.len(), length);
        bytes
    }

    #[tokio::test]
    async fn fragments_join_to_one_stream() {
        let long: String = (0..40_000).map(|number| format!("{},", number * 7919 % 10_007)).collect();
        for texts in [vec!["a"], vec![], vec!["", "one", ""], vec![&long, ",", &long, "end"]] {
            let document = Document(texts.iter().map(|text| Fragment::of(text.as_bytes())).collect());
            let whole = texts.concat();
            assert_eq!(bytes(document.body(false)).await, whole.as_bytes());
            let compressed = bytes(document.body(true)).await;
            assert!(whole.len() < 1000 || compressed.len() < whole.len() / 2);
            let mut inflated = String::new();
            GzDecoder::new(&compressed[..]).read_to_string(&mut inflated).unwrap();
            assert_eq!(inflated, whole);
        }
    }
}
