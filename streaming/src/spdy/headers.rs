//! Header blocks: names and values, in a zlib stream that lasts as long as the connection.

use bytes::{Buf, BufMut, BytesMut};
use flate2::{Decompress, FlushDecompress};

use super::SpdyError;
use super::dictionary::DICTIONARY;

/// Names in lower case, and their values.
pub type Headers = Vec<(String, String)>;

/// The value of a header; empty where it is not there.
pub fn value<'a>(headers: &'a Headers, name: &str) -> &'a str {
    headers.iter().find(|(have, _)| have == name).map_or("", |(_, value)| value.as_str())
}

/// Bytes of one block, unpacked, at most: what clients send has a hundred.
const MOST: usize = 64 << 10;
/// Bytes of one stored block of deflate.
const STORED: usize = 0xffff;

/// Writes header blocks. They are stored and not compressed, which any reader of zlib takes: these headers are a few words, and
/// a compressor costs 200 kB a connection.
#[derive(Debug, Default)]
pub(super) struct HeaderWriter {
    begun: bool,
}

impl HeaderWriter {
    pub(super) fn write(&mut self, headers: &Headers, out: &mut BytesMut) {
        let mut block = Vec::new();
        block.put_u32(headers.len() as u32);
        for (name, value) in headers {
            for text in [name, value] {
                block.put_u32(text.len() as u32);
                block.put_slice(text.as_bytes());
            }
        }
        if !self.begun {
            // Deflate with a window of 32 KiB, no dictionary (RFC 1950).
            out.put_slice(&[0x78, 0x01]);
            self.begun = true;
        }
        // An empty piece behind them, as a flush leaves one: some readers hand out nothing before they have seen it.
        for piece in block.chunks(STORED).chain([&[][..]]) {
            out.put_u8(0);
            out.put_u16_le(piece.len() as u16);
            out.put_u16_le(!(piece.len() as u16));
            out.put_slice(piece);
        }
    }
}

/// Reads header blocks.
#[derive(Debug)]
pub(super) struct HeaderReader(Option<Decompress>);

impl HeaderReader {
    pub(super) fn new() -> Self {
        Self(None)
    }

    pub(super) fn read(&mut self, block: &[u8]) -> Result<Headers, SpdyError> {
        parse(&self.unpack(block)?)
    }

    fn unpack(&mut self, mut packed: &[u8]) -> Result<Vec<u8>, SpdyError> {
        let inflate = self.0.get_or_insert_with(|| Decompress::new(true));
        let mut out = Vec::with_capacity(1024);
        loop {
            let (taken, made) = (inflate.total_in(), inflate.total_out());
            let result = inflate.decompress_vec(packed, &mut out, FlushDecompress::Sync);
            packed.advance((inflate.total_in() - taken) as usize);
            match result {
                Err(error) if error.needs_dictionary().is_some() => {
                    inflate.set_dictionary(&DICTIONARY).map_err(|_| SpdyError::Compression)?;
                    continue;
                }
                Err(_) => return Err(SpdyError::Compression),
                Ok(_) => {}
            }
            let full = out.len() == out.capacity();
            if packed.is_empty() && !full {
                return Ok(out);
            }
            if !full && inflate.total_out() == made && inflate.total_in() == taken {
                // Neither more room nor more input would help.
                return Err(SpdyError::Compression);
            }
            if out.len() >= MOST {
                return Err(SpdyError::TooLarge);
            }
            out.reserve(1024);
        }
    }
}

fn parse(mut block: &[u8]) -> Result<Headers, SpdyError> {
    let count = block.try_get_u32().map_err(|_| SpdyError::Headers)?;
    let mut headers = Headers::new();
    for _ in 0..count {
        let name = text(&mut block)?;
        if name.is_empty() || name.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(SpdyError::Headers);
        }
        headers.push((name, text(&mut block)?));
    }
    if block.is_empty() { Ok(headers) } else { Err(SpdyError::Headers) }
}

fn text(block: &mut &[u8]) -> Result<String, SpdyError> {
    let length = block.try_get_u32().map_err(|_| SpdyError::Headers)? as usize;
    let (text, rest) = block.split_at_checked(length).ok_or(SpdyError::Headers)?;
    *block = rest;
    String::from_utf8(text.to_vec()).map_err(|_| SpdyError::Headers)
}

#[cfg(test)]
mod tests {
    use flate2::{Compress, Compression, FlushCompress};
    use proptest::prelude::*;

    use super::*;

    fn block(headers: &Headers) -> Vec<u8> {
        let mut packed = BytesMut::new();
        HeaderWriter { begun: true }.write(headers, &mut packed);
        // Between the head of the one stored block and the empty one.
        packed[5..packed.len() - 5].to_vec()
    }

    #[test]
    fn what_others_compress_is_read() {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate.set_dictionary(&DICTIONARY).unwrap();
        let mut reader = HeaderReader::new();
        for round in 0..20 {
            let headers = vec![("streamtype".to_owned(), "error".to_owned()), ("port".to_owned(), round.to_string())];
            let mut packed = Vec::with_capacity(4096);
            deflate.compress_vec(&block(&headers), &mut packed, FlushCompress::Sync).unwrap();
            assert_eq!(reader.read(&packed), Ok(headers), "block {round} of one stream");
        }
    }

    #[test]
    fn a_bomb_is_refused() {
        let mut deflate = Compress::new(Compression::best(), true);
        deflate.set_dictionary(&DICTIONARY).unwrap();
        let mut packed = Vec::with_capacity(1 << 20);
        deflate.compress_vec(&vec![b'a'; 8 << 20], &mut packed, FlushCompress::Sync).unwrap();
        assert!(packed.len() < 64 << 10, "small: {}", packed.len());
        assert_eq!(HeaderReader::new().read(&packed), Err(SpdyError::TooLarge));
        // So many names, none of which is there.
        let mut lies = BytesMut::new();
        lies.put_u32(u32::MAX);
        assert_eq!(parse(&lies), Err(SpdyError::Headers));
    }

    proptest! {
        #[test]
        fn blocks_come_back(headers in proptest::collection::vec(("[a-z-]{1,20}", ".{0,300}"), 0..20), times in 1..4usize) {
            let (mut writer, mut reader) = (HeaderWriter::default(), HeaderReader::new());
            for _ in 0..times {
                let mut packed = BytesMut::new();
                writer.write(&headers, &mut packed);
                prop_assert_eq!(reader.read(&packed), Ok(headers.clone()));
            }
        }

        #[test]
        fn any_bytes_are_an_error_or_headers(packed in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = HeaderReader::new().read(&packed);
            let _ = parse(&packed);
        }
    }
}
