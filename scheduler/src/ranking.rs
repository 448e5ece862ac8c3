//! Rows by score: insert, remove and a random one of the best, each in next to constant time.
//!
//! Scores are small whole numbers, so a bucket per score does what a heap would, without stale entries, and makes ties
//! as random as they should be.

use rand::{Rng, RngExt};

use crate::columns::Row;

/// Rows in buckets by score.
#[derive(Default)]
pub(crate) struct Ranking {
    /// Lowest score first; none is empty.
    buckets: Vec<(u8, Vec<Row>)>,
    len: usize,
}

impl Ranking {
    /// Number of rows.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    fn find(&self, score: u8) -> Result<usize, usize> {
        self.buckets.binary_search_by_key(&score, |(score, _)| *score)
    }

    fn bucket(&self, score: u8) -> &[Row] {
        self.find(score).map_or(&[], |at| self.buckets[at].1.as_slice())
    }

    /// Adds a row; returns its position, which [`Ranking::remove`] wants back.
    pub(crate) fn insert(&mut self, row: Row, score: u8) -> u32 {
        let at = self.find(score).unwrap_or_else(|at| {
            self.buckets.insert(at, (score, Vec::new()));
            at
        });
        let bucket = &mut self.buckets[at].1;
        bucket.push(row);
        self.len += 1;
        u32::try_from(bucket.len() - 1).expect("fewer than 2^32 rows")
    }

    /// Removes the row at a position. Returns the row that has moved there instead, if one has.
    pub(crate) fn remove(&mut self, score: u8, position: u32) -> Option<Row> {
        let at = self.find(score).expect("the score of a row that is here");
        let bucket = &mut self.buckets[at].1;
        let position = position as usize;
        bucket.swap_remove(position);
        self.len -= 1;
        let moved = bucket.get(position).copied();
        if bucket.is_empty() {
            self.buckets.remove(at);
        }
        moved
    }

    /// All scores there are, best first.
    pub(crate) fn scores(&self) -> impl Iterator<Item = u8> {
        self.buckets.iter().rev().map(|(score, _)| *score)
    }

    /// Number of rows of a score.
    pub(crate) fn ties(&self, score: u8) -> usize {
        self.bucket(score).len()
    }

    /// One of the rows of a score that is not passed over, at random; there must be one. Costs as many looks as there are
    /// rows for each that will do.
    pub(crate) fn any(&self, score: u8, pass_over: impl Fn(Row) -> bool, random: &mut impl Rng) -> Row {
        let bucket = self.bucket(score);
        loop {
            let row = bucket[random.random_range(0..bucket.len())];
            if !pass_over(row) {
                return row;
            }
        }
    }

    /// Every row with its score.
    #[cfg(test)]
    pub(crate) fn rows(&self) -> impl Iterator<Item = (Row, u8)> {
        self.buckets.iter().flat_map(|(score, rows)| rows.iter().map(|row| (*row, *score)))
    }

    /// Bytes on the heap, about.
    pub(crate) fn size(&self) -> usize {
        self.buckets.capacity() * size_of::<(u8, Vec<Row>)>() + self.len * 2 * size_of::<Row>()
    }
}
