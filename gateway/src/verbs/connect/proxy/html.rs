//! Links in HTML, found and replaced as the page goes by. Only tags are read; what is no tag passes as it is. No more is held
//! back than one tag, and a tag that is longer than any page needs passes unread.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{DeflateDecoder, DeflateEncoder, GzDecoder, GzEncoder};

use super::links::Links;

/// The longest tag that is read.
const TAG: usize = 64 << 10;
/// So much of a compressed page is unpacked at once: it may become a thousand times as much.
const SLICE: usize = 512;

/// Content-Encoding of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Deflate,
}

/// Attributes that hold a URL, by tag (HTML 4.01's index of attributes, and what HTML 5 added).
fn holds_url(tag: &[u8], attribute: &[u8]) -> bool {
    let attributes: &[&str] = match tag {
        b"a" | b"area" | b"base" | b"link" => &["href"],
        b"applet" => &["codebase"],
        b"audio" | b"embed" | b"script" | b"source" => &["src"],
        b"blockquote" | b"del" | b"ins" | b"q" => &["cite"],
        b"body" => &["background"],
        b"button" => &["formaction"],
        b"command" => &["icon"],
        b"form" => &["action"],
        b"frame" | b"iframe" => &["longdesc", "src"],
        b"head" => &["profile"],
        b"html" => &["manifest"],
        b"img" => &["longdesc", "src", "usemap"],
        b"input" => &["src", "usemap", "formaction"],
        b"object" => &["classid", "codebase", "data", "usemap"],
        b"video" => &["poster", "src"],
        _ => &[],
    };
    attributes.iter().any(|known| known.as_bytes() == attribute)
}

/// Elements whose content is text, whatever it looks like.
const TEXT: [&[u8]; 8] = [b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes"];

/// What the next bytes belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Page,
    /// The content of one of [`TEXT`].
    Text(&'static [u8]),
    Comment,
    /// A tag that is passed unread: an end tag, a declaration, or one that is too long.
    Tag,
}

/// A page on its way: compressed as it was, with its links rewritten.
pub(super) struct Pages {
    rewriter: Rewriter,
    unpack: Unpack,
    pack: Pack,
}

enum Unpack {
    Identity,
    Gzip(GzDecoder<Vec<u8>>),
    Deflate(DeflateDecoder<Vec<u8>>),
}

enum Pack {
    Identity(Vec<u8>),
    Gzip(GzEncoder<Vec<u8>>),
    Deflate(DeflateEncoder<Vec<u8>>),
}

impl Pages {
    pub(super) fn new(links: Links, coding: Coding) -> Self {
        let rewriter = Rewriter { links, held: Vec::new(), inside: Inside::Page };
        let (unpack, pack) = match coding {
            Coding::Identity => (Unpack::Identity, Pack::Identity(Vec::new())),
            Coding::Gzip => (
                Unpack::Gzip(GzDecoder::new(Vec::new())),
                Pack::Gzip(GzEncoder::new(Vec::new(), Compression::default())),
            ),
            Coding::Deflate => (
                Unpack::Deflate(DeflateDecoder::new(Vec::new())),
                Pack::Deflate(DeflateEncoder::new(Vec::new(), Compression::default())),
            ),
        };
        Self { rewriter, unpack, pack }
    }

    /// Takes a piece in; what can go out, which may be nothing yet.
    pub(super) fn take(&mut self, piece: &[u8]) -> io::Result<Bytes> {
        for slice in piece.chunks(if matches!(self.unpack, Unpack::Identity) { piece.len().max(1) } else { SLICE }) {
            match &mut self.unpack {
                Unpack::Identity => self.rewriter.take(slice, self.pack.writer())?,
                Unpack::Gzip(decoder) => {
                    decoder.write_all(slice)?;
                    decoder.flush()?;
                    self.rewriter.take(&std::mem::take(decoder.get_mut()), self.pack.writer())?;
                }
                Unpack::Deflate(decoder) => {
                    decoder.write_all(slice)?;
                    decoder.flush()?;
                    self.rewriter.take(&std::mem::take(decoder.get_mut()), self.pack.writer())?;
                }
            }
        }
        Ok(std::mem::take(self.pack.buffer()).into())
    }

    /// What is left at the end of the page.
    pub(super) fn end(mut self) -> io::Result<Bytes> {
        match &mut self.unpack {
            Unpack::Identity => {}
            Unpack::Gzip(decoder) => {
                decoder.try_finish()?;
                self.rewriter.take(&std::mem::take(decoder.get_mut()), self.pack.writer())?;
            }
            Unpack::Deflate(decoder) => {
                decoder.try_finish()?;
                self.rewriter.take(&std::mem::take(decoder.get_mut()), self.pack.writer())?;
            }
        }
        self.pack.writer().write_all(&std::mem::take(&mut self.rewriter.held))?;
        Ok(match self.pack {
            Pack::Identity(buffer) => buffer.into(),
            Pack::Gzip(encoder) => encoder.finish()?.into(),
            Pack::Deflate(encoder) => encoder.finish()?.into(),
        })
    }
}

impl Pack {
    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Identity(buffer) => buffer,
            Self::Gzip(encoder) => encoder,
            Self::Deflate(encoder) => encoder,
        }
    }

    fn buffer(&mut self) -> &mut Vec<u8> {
        match self {
            Self::Identity(buffer) => buffer,
            Self::Gzip(encoder) => encoder.get_mut(),
            Self::Deflate(encoder) => encoder.get_mut(),
        }
    }
}

struct Rewriter {
    links: Links,
    /// Not yet understood.
    held: Vec<u8>,
    inside: Inside,
}

impl Rewriter {
    fn take(&mut self, piece: &[u8], out: &mut dyn Write) -> io::Result<()> {
        self.held.extend_from_slice(piece);
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            let passed = self.step(&held[at..], out)?;
            if passed == 0 {
                break;
            }
            at += passed;
        }
        self.held = held[at..].to_vec();
        Ok(())
    }

    /// Passes something of `bytes` on; how much. 0: more must come first.
    fn step(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<usize> {
        let pass = |out: &mut dyn Write, count: usize| out.write_all(&bytes[..count]).map(|()| count);
        match self.inside {
            Inside::Comment => self.pass_through(bytes, b"-->", true, out),
            Inside::Tag => self.pass_through(bytes, b">", true, out),
            Inside::Text(name) => {
                let end = [b"</", name].concat();
                self.pass_through(bytes, &end, false, out)
            }
            Inside::Page => match bytes.iter().position(|byte| *byte == b'<') {
                None => pass(out, bytes.len()),
                Some(0) => self.open(bytes, out),
                Some(text) => pass(out, text),
            },
        }
    }

    /// Passes everything up to a mark, the mark itself included or not; behind it the page goes on.
    fn pass_through(&mut self, bytes: &[u8], mark: &[u8], included: bool, out: &mut dyn Write) -> io::Result<usize> {
        let found = bytes.windows(mark.len()).position(|window| window.eq_ignore_ascii_case(mark));
        let count = match found {
            Some(at) => {
                // The end tag itself is a tag as others are.
                self.inside = if included { Inside::Page } else { Inside::Tag };
                if included { at + mark.len() } else { at }
            }
            // Its beginning may be there.
            None => bytes.len().saturating_sub(mark.len() - 1),
        };
        out.write_all(&bytes[..count])?;
        if count == 0 && found.is_some() {
            return self.step(bytes, out);
        }
        Ok(count)
    }

    /// Something that begins with `<`.
    fn open(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<usize> {
        let (inside, count) = match bytes {
            [b'<', b'!', b'-', b'-', ..] => (Inside::Comment, 4),
            [b'<'] | [b'<', b'!'] | [b'<', b'!', b'-'] => return Ok(0),
            [b'<', b'!' | b'?' | b'/', ..] => (Inside::Tag, 2),
            [b'<', letter, ..] if letter.is_ascii_alphabetic() => return self.tag(bytes, out),
            _ => (Inside::Page, 1),
        };
        self.inside = inside;
        out.write_all(&bytes[..count])?;
        Ok(count)
    }

    fn tag(&mut self, bytes: &[u8], out: &mut dyn Write) -> io::Result<usize> {
        let Some(tag) = Tag::read(bytes) else {
            if bytes.len() < TAG {
                return Ok(0);
            }
            self.inside = Inside::Tag;
            out.write_all(&bytes[..1])?;
            return Ok(1);
        };
        let mut written = 0;
        for (name, value) in &tag.attributes {
            let link = &bytes[value.clone()];
            if !holds_url(&tag.name, name) {
                continue;
            }
            if let Some(led) = std::str::from_utf8(link).ok().and_then(|link| self.links.lead(link)) {
                out.write_all(&bytes[written..value.start])?;
                out.write_all(led.as_bytes())?;
                written = value.end;
            }
        }
        out.write_all(&bytes[written..tag.length])?;
        if let Some(text) = TEXT.iter().find(|text| **text == tag.name) {
            self.inside = Inside::Text(text);
        }
        Ok(tag.length)
    }
}

/// A start tag.
struct Tag {
    /// In lower case.
    name: Vec<u8>,
    /// Names in lower case, and where their values are.
    attributes: Vec<(Vec<u8>, std::ops::Range<usize>)>,
    /// With both brackets.
    length: usize,
}

impl Tag {
    /// `None`: it is not over yet.
    fn read(bytes: &[u8]) -> Option<Self> {
        let until = |from: usize, ends: &dyn Fn(u8) -> bool| {
            bytes[from..].iter().position(|byte| ends(*byte)).map(|length| from + length)
        };
        let blank = |byte: u8| byte.is_ascii_whitespace();
        let mut at = until(1, &|byte| blank(byte) || byte == b'/' || byte == b'>')?;
        let name = bytes[1..at].to_ascii_lowercase();
        let mut attributes = Vec::new();
        loop {
            at = until(at, &|byte| !blank(byte) && byte != b'/')?;
            if bytes[at] == b'>' {
                return Some(Self { name, attributes, length: at + 1 });
            }
            let end = until(at + 1, &|byte| blank(byte) || matches!(byte, b'/' | b'>' | b'='))?;
            let attribute = bytes[at..end].to_ascii_lowercase();
            at = until(end, &|byte| !blank(byte))?;
            if bytes[at] != b'=' {
                continue;
            }
            at = until(at + 1, &|byte| !blank(byte))?;
            let value = match bytes[at] {
                quote @ (b'"' | b'\'') => {
                    let end = until(at + 1, &|byte| byte == quote)?;
                    let value = at + 1..end;
                    at = end + 1;
                    value
                }
                _ => {
                    let end = until(at, &|byte| blank(byte) || byte == b'>')?;
                    let value = at..end;
                    at = end;
                    value
                }
            };
            attributes.push((attribute, value));
        }
    }
}

#[cfg(test)]
mod tests {
    use flate2::read::GzDecoder as Unzip;
    use proptest::prelude::*;

    use super::super::links::tests::links;
    use super::*;

    fn rewritten(page: &[u8], size: usize) -> Vec<u8> {
        let mut pages = Pages::new(links(), Coding::Identity);
        let mut out = Vec::new();
        for piece in page.chunks(size.max(1)) {
            out.extend_from_slice(&pages.take(piece).unwrap());
        }
        out.extend_from_slice(&pages.end().unwrap());
        out
    }

    const PAGE: &str = r#"<!DOCTYPE html><html manifest=/m><head><title><a href="/no"></title>
        <script src='/s.js'>if (a < b) { document.write('<a href="/no">') }</script><!-- <a href="/no"> -->
        <link rel=stylesheet href = "/c.css" /></head><body><A HREF="/x?a=1&amp;b=2">x</A> a < b <a href="rel">r</a>
        <img alt="/no" src="/i.png"><a title="a > b" href="/y">y</a></body></html>"#;

    #[test]
    fn links_in_tags_are_rewritten_and_nothing_else() {
        let prefix = links().prefix;
        let mut expected = PAGE.to_owned();
        for link in ["=/m", "'/s.js", "\"/c.css", "\"/x?a", "\"/i.png", "\"/y"] {
            expected = expected.replacen(link, &format!("{}{prefix}{}", &link[..1], &link[1..]), 1);
        }
        for size in [1, 2, 3, 7, 64, PAGE.len()] {
            let out = String::from_utf8(rewritten(PAGE.as_bytes(), size)).unwrap();
            assert_eq!(out, expected, "in pieces of {size}");
        }
    }

    #[test]
    fn a_compressed_page_stays_compressed() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::fast());
        packed.write_all(PAGE.as_bytes()).unwrap();
        let mut pages = Pages::new(links(), Coding::Gzip);
        let mut out = pages.take(&packed.finish().unwrap()).unwrap().to_vec();
        out.extend_from_slice(&pages.end().unwrap());
        let mut page = Vec::new();
        io::Read::read_to_end(&mut Unzip::new(&out[..]), &mut page).unwrap();
        assert_eq!(page, rewritten(PAGE.as_bytes(), 100));
    }

    #[test]
    fn a_tag_without_an_end_is_not_held_for_ever() {
        let mut pages = Pages::new(links(), Coding::Identity);
        let mut passed = pages.take(b"<a href=\"/").unwrap().len();
        for _ in 0..100 {
            passed += pages.take(&[b'x'; 4096]).unwrap().len();
            assert!(pages.rewriter.held.len() <= TAG + 4096);
        }
        assert!(passed > 300_000, "{passed}");
    }

    proptest! {
        #[test]
        fn a_page_is_the_same_in_pieces(page in "[a<>/!='\" -]{0,80}", size in 1..9usize) {
            prop_assert_eq!(rewritten(page.as_bytes(), size), rewritten(page.as_bytes(), page.len()));
        }

        #[test]
        fn what_has_no_links_passes_as_it_is(page in proptest::collection::vec(any::<u8>(), 0..300), size in 1..50usize) {
            prop_assume!(!page.windows(3).any(|three| three.eq_ignore_ascii_case(b"src") || three.eq_ignore_ascii_case(b"ref")));
            let out = rewritten(&page, size);
            prop_assume!(!out.windows(5).any(|five| five == b"/api/"));
            prop_assert_eq!(out, page);
        }
    }
}
