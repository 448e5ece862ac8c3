//! Lists of completion indexes: `0,2-4,7`.

/// First and last index of each part.
pub(super) type Intervals = Vec<(i64, i64)>;

/// Reads a list for a Job of so many completions. The error is worded as the reference's.
pub(super) fn parse(text: &str, completions: i64) -> Result<Intervals, String> {
    let mut intervals: Intervals = Vec::new();
    if text.is_empty() {
        return Ok(intervals);
    }
    for part in text.split(',') {
        let (first, last) = interval(part, completions)?;
        if let Some((_, previous)) = intervals.last().filter(|(_, previous)| *previous >= first) {
            return Err(format!("non-increasing order, previous: {previous}, current: {first}"));
        }
        intervals.push((first, last));
    }
    Ok(intervals)
}

fn interval(part: &str, completions: i64) -> Result<(i64, i64), String> {
    let index = |text: &str| match text.parse::<i64>() {
        Err(_) => Err(format!("cannot convert string to integer for index: {text:?}")),
        Ok(index) if index >= completions => Err(format!("too large index: {text:?}")),
        Ok(index) => Ok(index),
    };
    match part.split('-').collect::<Vec<_>>().as_slice() {
        [one] => index(one).map(|one| (one, one)),
        [first, last] => match (index(first)?, index(last)?) {
            (first, last) if first >= last => Err(format!("non-increasing order, previous: {first}, current: {last}")),
            pair => Ok(pair),
        },
        _ => Err(format!(
            "the fragment {part:?} violates the requirement that an index interval can have at most two parts \
             separated by '-'"
        )),
    }
}

/// How many indexes there are.
pub(super) fn count(intervals: &[(i64, i64)]) -> i64 {
    intervals.iter().map(|(first, last)| last - first + 1).sum()
}

/// The first index that both have.
pub(super) fn overlap(one: &[(i64, i64)], other: &[(i64, i64)]) -> Option<i64> {
    let pairs = one.iter().flat_map(|a| other.iter().map(move |b| (a, b)));
    pairs.filter(|(a, b)| a.0 <= b.1 && b.0 <= a.1).map(|(a, b)| a.0.max(b.0)).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(parse("0,2-4,7", 8), Ok(vec![(0, 0), (2, 4), (7, 7)]));
        assert_eq!(count(&parse("0,2-4,7", 8).unwrap()), 5);
        assert_eq!(parse("", 8), Ok(Vec::new()));
        for (text, words) in [
            ("8", "too large index: \"8\""),
            ("2,1", "non-increasing order, previous: 2, current: 1"),
            ("3-3", "non-increasing order, previous: 3, current: 3"),
            ("x", "cannot convert string to integer for index: \"x\""),
        ] {
            assert_eq!(parse(text, 8), Err(words.to_owned()));
        }
        assert_eq!(overlap(&[(0, 2)], &[(3, 4)]), None);
        assert_eq!(overlap(&[(0, 2), (5, 9)], &[(3, 6)]), Some(5));
    }
}
