//! Which rows have changed, in order, as far back as it pays to follow.

use std::collections::VecDeque;

use super::Row;

/// A reader that is further behind than this had better look at every row.
const SHORTEST: usize = 1024;

/// Numbered changes of rows. A reader remembers the number after the last change that it has seen.
pub(crate) struct ChangeLog {
    entries: VecDeque<(Row, bool)>,
    start: u64,
    capacity: usize,
}

impl Default for ChangeLog {
    fn default() -> Self {
        // Number 0 is that of a reader that has seen nothing: it is never answered with changes.
        Self { entries: VecDeque::new(), start: 1, capacity: SHORTEST }
    }
}

impl ChangeLog {
    /// Notes a change of a row; `of_node`: of what its Node object says, not only of what is taken from it.
    pub(crate) fn push(&mut self, row: Row, of_node: bool) {
        if self.entries.len() >= self.capacity {
            self.entries.pop_front();
            self.start += 1;
        }
        self.entries.push_back((row, of_node));
    }

    /// Keeps as many changes as there are rows.
    pub(crate) fn resize(&mut self, rows: usize) {
        self.capacity = rows.max(SHORTEST);
    }

    /// The number after the last change.
    pub(crate) fn end(&self) -> u64 {
        self.start + self.entries.len() as u64
    }

    /// The changes from a number on, `None` where they are no longer all there.
    pub(crate) fn since(&self, number: u64) -> Option<impl Iterator<Item = (Row, bool)>> {
        let skipped = number.checked_sub(self.start)?;
        let skipped = usize::try_from(skipped).expect("no reader is ahead of the log");
        Some(self.entries.range(skipped..).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_sees_each_change_once_or_is_told_to_look_at_everything() {
        let mut log = ChangeLog::default();
        assert!(log.since(0).is_none(), "a new reader must look at everything");
        let first = log.end();
        log.push(7, true);
        log.push(8, false);
        assert_eq!(log.since(first).unwrap().collect::<Vec<_>>(), [(7, true), (8, false)]);
        let second = log.end();
        assert_eq!(log.since(second).unwrap().count(), 0);
        for row in 0..SHORTEST as u32 {
            log.push(row, false);
        }
        assert!(log.since(first).is_none());
        assert_eq!(log.since(second).unwrap().count(), SHORTEST);
        log.push(0, false);
        assert!(log.since(second).is_none());
    }
}
