//! Rows by score: insert, remove and a random one of the best, each in constant time.
//!
//! Scores are small whole numbers, so a bucket per score does what a heap would, without stale entries, and makes ties
//! as random as they should be.

use rand::{Rng, RngExt};

use crate::columns::Row;
use crate::plugins::MAX_LOCAL_SCORE;

const SCORES: usize = MAX_LOCAL_SCORE as usize + 1;
const WORDS: usize = SCORES.div_ceil(64);

/// Rows in buckets by score.
pub(crate) struct Ranking {
    buckets: Vec<Vec<Row>>,
    /// A bit per bucket that is not empty.
    filled: [u64; WORDS],
    len: usize,
}

impl Default for Ranking {
    fn default() -> Self {
        Self { buckets: vec![Vec::new(); SCORES], filled: [0; WORDS], len: 0 }
    }
}

impl Ranking {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Adds a row; returns its position, which [`Ranking::remove`] wants back.
    pub(crate) fn insert(&mut self, row: Row, score: u8) -> u32 {
        let bucket = &mut self.buckets[usize::from(score)];
        bucket.push(row);
        self.filled[usize::from(score / 64)] |= 1 << (score % 64);
        self.len += 1;
        u32::try_from(bucket.len() - 1).expect("fewer than 2^32 rows")
    }

    /// Removes the row at a position. Returns the row that has moved there instead, if one has.
    pub(crate) fn remove(&mut self, score: u8, position: u32) -> Option<Row> {
        let bucket = &mut self.buckets[usize::from(score)];
        let position = position as usize;
        bucket.swap_remove(position);
        self.len -= 1;
        if bucket.is_empty() {
            self.filled[usize::from(score / 64)] &= !(1 << (score % 64));
        }
        bucket.get(position).copied()
    }

    /// The best score there is.
    pub(crate) fn best(&self) -> Option<u8> {
        let word = (0..WORDS).rev().find(|word| self.filled[*word] != 0)?;
        let bit = 63 - self.filled[word].leading_zeros() as usize;
        Some(u8::try_from(word * 64 + bit).expect("scores are bytes"))
    }

    /// Number of rows of a score.
    pub(crate) fn ties(&self, score: u8) -> usize {
        self.buckets[usize::from(score)].len()
    }

    /// One of the rows of a score, at random; there must be one.
    pub(crate) fn any(&self, score: u8, random: &mut impl Rng) -> Row {
        let bucket = &self.buckets[usize::from(score)];
        bucket[random.random_range(0..bucket.len())]
    }

    /// Bytes on the heap, about.
    pub(crate) fn size(&self) -> usize {
        SCORES * size_of::<Vec<Row>>() + self.len * 2 * size_of::<Row>()
    }
}
