//! What a scan returns, and where a page ends.

use std::ops::Bound;

use bytes::Bytes;

/// What the keys and values of a page amount to at most, in bytes, unless its only pair is larger.
pub const PAGE_BYTES: usize = 1 << 20;

/// One page of a scan: pairs in key order, and whether there is more behind the last one.
///
/// A page holds at most `limit` pairs and at most [`PAGE_BYTES`] of keys and values; a single pair may be larger. So
/// `more` may be true with fewer than `limit` pairs, and whoever wants all of a range goes on until it is false. It is
/// exact: where it is true, there was a further pair at that moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values.
    pub pairs: Vec<(Bytes, Bytes)>,
    /// Whether the range holds more behind the last pair.
    pub more: bool,
}

/// A page while it fills.
#[derive(Debug)]
pub(crate) struct Filling {
    page: Page,
    limit: usize,
    bytes: usize,
}

impl Filling {
    pub(crate) fn new(limit: usize) -> Self {
        Self { page: Page::default(), limit, bytes: 0 }
    }

    /// Whether a pair of that size goes into the page. If not, the page ends here and there is more.
    pub(crate) fn takes(&mut self, size: usize) -> bool {
        let count = self.page.pairs.len();
        let fits = count < self.limit && (count == 0 || self.bytes + size <= PAGE_BYTES);
        self.page.more = !fits;
        self.bytes += size;
        fits
    }

    pub(crate) fn push(&mut self, key: Bytes, value: Bytes) {
        self.page.pairs.push((key, value));
    }

    pub(crate) fn done(self) -> Page {
        self.page
    }
}

/// Whether no key can be in a range, as an inverted one. Maps panic at those.
pub(crate) fn is_empty(from: &Bound<Bytes>, to: &Bytes) -> bool {
    match from {
        Bound::Included(key) | Bound::Excluded(key) => key >= to,
        Bound::Unbounded => to.is_empty(),
    }
}
