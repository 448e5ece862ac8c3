//! The clauses of an Accept header, in the order and with the oddities of the reference's parser: parameters keep their
//! quotes, what is no media type is passed over, and a clause with a wildcard comes behind one without.

/// One of Accept's alternatives.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Clause<'a> {
    /// `application`, or `*`
    pub(super) main: &'a str,
    /// `json`, or `*`
    pub(super) sub: &'a str,
    quality: f32,
    /// The last one of a name counts.
    pub(super) params: Vec<(&'a str, &'a str)>,
}

impl<'a> Clause<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (media, rest) = text.split_once(';').unwrap_or((text, ""));
        let (main, sub) = match media.split_once('/') {
            Some((main, sub)) => (trim(main), trim(sub)),
            None if trim(media) == "*" => ("*", "*"),
            None => return None,
        };
        if sub.contains('/') {
            return None;
        }
        let mut clause = Self { main, sub, quality: 1.0, params: Vec::new() };
        for (name, value) in rest.split(';').filter_map(|part| part.split_once('=')) {
            match trim(name) {
                "q" => clause.quality = value.parse().unwrap_or(0.0),
                name if !value.is_empty() && !value.contains('=') => {
                    clause.params.retain(|(have, _)| *have != name);
                    clause.params.push((name, trim(value)));
                }
                _ => {}
            }
        }
        Some(clause)
    }

    /// Whether `application/sub` is meant.
    pub(super) fn takes(&self, sub: &str) -> bool {
        match (self.main, self.sub) {
            ("*", "*") | ("application", "*") => true,
            (main, have) => main == "application" && have == sub,
        }
    }

    fn before(&self, other: &Self) -> bool {
        self.quality > other.quality || (self.main != "*" && other.main == "*") || (self.sub != "*" && other.sub == "*")
    }
}

fn trim(text: &str) -> &str {
    text.trim_matches(' ')
}

/// The clauses, best first.
pub(super) fn clauses(accept: &str) -> Vec<Clause<'_>> {
    let mut sorted: Vec<Clause<'_>> = Vec::new();
    for clause in accept.split(',').map(trim).filter_map(Clause::parse) {
        // The order is no total one, so it depends on how it is made: by insertion from behind.
        let worse = sorted.iter().rev().take_while(|have| clause.before(have)).count();
        sorted.insert(sorted.len() - worse, clause);
    }
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first() {
        let order = |accept: &str| {
            clauses(accept).iter().map(|clause| format!("{}/{}", clause.main, clause.sub)).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(order("a/b;q=0.5, c/d , e/f;q=0.9"), "c/d e/f a/b");
        assert_eq!(order("*/*, a/b"), "a/b */*");
        assert_eq!(order("*/*;q=0.9, a/b;q=0.1"), "a/b */*", "as the reference has it");
        assert_eq!(order("*, a, a/b/c, a/*"), "a/* */*");
        assert_eq!(order(""), "");
    }

    #[test]
    fn parameters_are_as_they_stand() {
        let clause = clauses("application/json; as=Table;v=v1 ;g=\"meta\";x;y=;z=1=2;v=v2").remove(0);
        assert_eq!(clause.params, [("as", "Table"), ("g", "\"meta\""), ("v", "v2")]);
    }
}
