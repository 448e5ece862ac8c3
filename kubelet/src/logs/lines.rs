//! The lines of one container, as a function of its times.

use api::time;

use super::{Life, Span};

/// Microseconds between two signs of life.
pub(crate) const BEAT: i64 = 10_000_000;

/// One container's log in one of its lives.
pub(crate) struct Lines<'a> {
    pub(crate) life: &'a Life,
    /// Namespace and name of the Pod.
    pub(crate) pod: (&'a str, &'a str),
    /// Place in `life.containers`.
    pub(crate) container: usize,
    pub(crate) span: Span,
}

impl Lines<'_> {
    /// Lines there are up to `now`.
    pub(crate) fn count(&self, now: i64) -> u64 {
        let last = self.end().unwrap_or(now).min(now);
        if last < self.span.start {
            return 0;
        }
        let beats = if self.is_init() { 0 } else { (last - self.span.start) / BEAT };
        let ended = self.end().is_some_and(|end| end <= now);
        1 + beats.unsigned_abs() + u64::from(ended)
    }

    /// When a line was written.
    pub(crate) fn time(&self, at: u64) -> i64 {
        let beat = i64::try_from(at).unwrap_or(i64::MAX).saturating_mul(BEAT).saturating_add(self.span.start);
        self.end().map_or(beat, |end| beat.min(end))
    }

    /// The text of a line, line feed included.
    pub(crate) fn text(&self, at: u64, timestamps: bool) -> String {
        let when = self.time(at);
        let (name, image) = &self.life.containers[self.container];
        let (namespace, pod) = self.pod;
        let stamp = if timestamps { format!("{} ", time::format_micros(when)) } else { String::new() };
        let last = self.end().map(|end| self.count(end) - 1);
        let text = if at == 0 {
            format!(
                "container {name} of pod {namespace}/{pod} ({image}) started on {}; it is simulated, nothing runs in it",
                self.life.node
            )
        } else if last == Some(at) {
            format!("container {name} ended after {} s", (when - self.span.start) / 1_000_000)
        } else {
            format!("container {name} has been running for {} s", (when - self.span.start) / 1_000_000)
        };
        format!("{stamp}{} shardplane-sim: {text}\n", time::format_seconds(when))
    }

    /// Init containers end as soon as they have started.
    fn end(&self) -> Option<i64> {
        if self.is_init() { Some(self.span.start) } else { self.span.end }
    }

    fn is_init(&self) -> bool {
        self.container < self.life.inits
    }

    /// Whether no more lines will come.
    pub(crate) fn is_over(&self, now: i64) -> bool {
        self.end().is_some_and(|end| end <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_767_225_600_000_000;

    fn life(end: Option<i64>) -> Life {
        Life {
            node: "node-7".into(),
            uid: "u".into(),
            containers: [("init".into(), "busybox".into()), ("nginx".into(), "nginx:1.21".into())].into(),
            inits: 1,
            span: Span { start: START, end },
            previous: None,
        }
    }

    fn all(life: &Life, container: usize, now: i64) -> Vec<String> {
        let lines = Lines { life, pod: ("default", "web"), container, span: life.span };
        (0..lines.count(now)).map(|at| lines.text(at, false)).collect()
    }

    #[test]
    fn a_line_now_and_then() {
        let lines = all(&life(None), 1, START + 25_000_000);
        assert_eq!(lines.len(), 3);
        assert!(lines[0].contains("nginx:1.21") && lines[0].contains("node-7"), "{}", lines[0]);
        assert_eq!(lines[2], "2026-01-01T00:00:20Z shardplane-sim: container nginx has been running for 20 s\n");
        assert!(all(&life(None), 1, START - 1).is_empty());
    }

    #[test]
    fn an_ended_one_says_so_last() {
        let lines = all(&life(Some(START + 12_000_000)), 1, START + 99_000_000);
        assert_eq!(lines.len(), 3);
        assert!(lines[2].ends_with("ended after 12 s\n"), "{lines:?}");
        assert_eq!(all(&life(None), 0, START + 99_000_000).len(), 2, "an init container starts and ends");
    }
}
