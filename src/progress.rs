//! What a start shows while it happens: a bar on a terminal, plain lines elsewhere. On stderr, beside the log.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar that log lines must not tear.
static BAR: OnceLock<ProgressBar> = OnceLock::new();

/// stderr, with the bar taken away while a line is written.
pub(crate) struct Stderr;

impl tracing_subscriber::fmt::MakeWriter<'_> for Stderr {
    type Writer = Line;

    fn make_writer(&self) -> Line {
        Line(Vec::new())
    }
}

/// One log event.
pub(crate) struct Line(Vec<u8>);

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let write = || io::stderr().write_all(&self.0);
        // Nobody can be told when stderr itself is gone.
        let _ = match BAR.get() {
            Some(bar) => bar.suspend(write),
            None => write(),
        };
    }
}

/// The display of one process.
#[derive(Clone)]
pub(crate) struct Progress {
    bar: ProgressBar,
    terminal: bool,
}

impl Progress {
    /// A display on stderr. Once a process.
    pub(crate) fn start() -> Self {
        let terminal = io::stderr().is_terminal();
        let bar = ProgressBar::no_length();
        bar.set_draw_target(if terminal {
            ProgressDrawTarget::stderr_with_hz(8)
        } else {
            ProgressDrawTarget::hidden()
        });
        bar.set_style(ProgressStyle::with_template("{spinner} {msg}").expect("a constant template"));
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(125));
            let _ = BAR.set(bar.clone());
        }
        Self { bar, terminal }
    }

    /// Whether a person looks at it.
    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Says what is being done now.
    pub(crate) fn step(&self, doing: &str) {
        if self.terminal {
            self.bar.set_message(doing.to_owned());
        } else {
            tracing::info!("{doing}");
        }
    }

    /// Shows how far something countable is.
    pub(crate) fn count(&self, doing: &str, done: usize, of: usize) {
        if self.bar.length() != Some(of as u64) {
            let style = ProgressStyle::with_template("{spinner} {msg} [{bar:32}] {pos}/{len}");
            self.bar.set_message(doing.to_owned());
            self.bar.set_style(style.expect("a constant template"));
            self.bar.set_length(of as u64);
        }
        self.bar.set_position(done as u64);
    }

    /// Replaces the bar by one line that stays.
    pub(crate) fn line(&self, text: String) {
        if self.terminal {
            self.bar.set_style(ProgressStyle::with_template("{spinner} {wide_msg}").expect("a constant template"));
            self.bar.set_message(text);
        } else {
            tracing::info!("{text}");
        }
    }

    /// The one line on stdout, where data goes: what to paste.
    #[allow(clippy::print_stdout, reason = "the answer of the command")]
    pub(crate) fn say(&self, line: &str) {
        self.bar.suspend(|| println!("{line}"));
    }

    /// Takes the display away.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
