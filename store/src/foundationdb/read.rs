//! Reading: single values, and pages.

use std::ops::Bound;

use bytes::{Bytes, BytesMut};
use foundationdb::options::StreamingMode;
use foundationdb::{KeySelector, RangeOption, Transaction};
use futures_util::future::try_join_all;

use super::{Cluster, Failure};
use crate::layout::{PIECE_BYTES, Stored};
use crate::memory::printable;
use crate::page::{Filling, is_empty};
use crate::{PAGE_BYTES, Page, StoreError};

/// Pairs that one page asks for at most, whatever its limit.
const PAIRS: usize = 100_000;

impl Cluster {
    pub(super) async fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        let mut transaction = self.begin()?;
        loop {
            match self.try_get(&transaction, key).await {
                Ok(value) => return Ok(value),
                Err(failure) => transaction = self.again(transaction, failure).await?,
            }
        }
    }

    async fn try_get(&self, transaction: &Transaction, key: &[u8]) -> Result<Option<Bytes>, Failure> {
        let Some(entry) = transaction.get(&self.layout.data(key), true).await? else {
            return Ok(None);
        };
        let stored = self.decode(key, &entry)?;
        self.whole(transaction, key, stored).await.map(Some)
    }

    pub(super) fn decode(&self, key: &[u8], entry: &[u8]) -> Result<Stored, StoreError> {
        Stored::decode(entry).ok_or_else(|| StoreError::Broken(format!("the value of {} is damaged", printable(key))))
    }

    /// The value of a key, with its pieces as they were at the transaction's read version: the same as the entry's.
    pub(super) async fn whole(&self, transaction: &Transaction, key: &[u8], stored: Stored) -> Result<Bytes, Failure> {
        let length = match stored {
            Stored::Whole(value) => return Ok(value),
            Stored::Pieces(length) => length,
        };
        let (from, to) = self.layout.pieces_of(key);
        let mut range = RangeOption::from((&from[..], &to[..]));
        range.limit = Some(length.div_ceil(PIECE_BYTES) + 1);
        range.mode = StreamingMode::Exact;
        let mut value = BytesMut::with_capacity(length);
        loop {
            let pieces = transaction.get_range(&range, 1, true).await?;
            for piece in &pieces {
                value.extend_from_slice(piece.value());
            }
            match range.next_range(&pieces) {
                Some(next) => range = next,
                None => break,
            }
        }
        if value.len() != length {
            let (key, found) = (printable(key), value.len());
            return Err(StoreError::Broken(format!("{found} of {length} bytes of {key} are there")).into());
        }
        Ok(value.freeze())
    }

    pub(super) async fn scan(&self, from: &Bound<Bytes>, to: &Bytes, limit: usize) -> Result<Page, StoreError> {
        if is_empty(from, to) {
            return Ok(Page::default());
        }
        let mut transaction = self.begin()?;
        loop {
            match self.try_scan(&transaction, from, to, limit).await {
                Ok(page) => return Ok(page),
                Err(failure) => transaction = self.again(transaction, failure).await?,
            }
        }
    }

    async fn try_scan(
        &self,
        transaction: &Transaction,
        from: &Bound<Bytes>,
        to: &Bytes,
        limit: usize,
    ) -> Result<Page, Failure> {
        let begin = match from {
            Bound::Included(key) => KeySelector::first_greater_or_equal(self.layout.data(key)),
            Bound::Excluded(key) => KeySelector::first_greater_than(self.layout.data(key)),
            Bound::Unbounded => KeySelector::first_greater_or_equal(self.layout.data(b"")),
        };
        let mut range = RangeOption::from((begin, KeySelector::first_greater_or_equal(self.layout.data(to))));
        // One more than asked for says whether there is more.
        range.limit = Some(limit.min(PAIRS) + 1);
        range.target_bytes = PAGE_BYTES + PIECE_BYTES;
        range.mode = StreamingMode::Exact;
        let mut filling = Filling::new(limit.min(PAIRS));
        let mut found: Vec<(Bytes, Stored)> = Vec::new();
        'page: loop {
            let pairs = transaction.get_range(&range, 1, true).await?;
            for pair in &pairs {
                let key = Bytes::copy_from_slice(self.layout.key_of(pair.key()));
                let stored = self.decode(&key, pair.value())?;
                if !filling.takes(found.len(), key.len() + stored.len()) {
                    break 'page;
                }
                found.push((key, stored));
            }
            match range.next_range(&pairs) {
                Some(next) => range = next,
                None => break,
            }
        }
        let values = found.into_iter().map(|(key, stored)| async move {
            let value = self.whole(transaction, &key, stored).await?;
            Ok::<_, Failure>((key, value))
        });
        Ok(filling.done(try_join_all(values).await?))
    }
}
