//! What a run shows while it runs: a bar on a terminal, a line every few seconds elsewhere. On stderr, always.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::task::JoinHandle;

use crate::Bench;
use crate::pace::Load;

/// A running display of one count.
pub(crate) struct Progress {
    done: Arc<AtomicU64>,
    bar: ProgressBar,
    task: JoinHandle<()>,
}

/// Between two lines where there is no terminal.
const LINES: Duration = Duration::from_secs(5);

impl Progress {
    /// Starts showing a load.
    pub(crate) fn start(load: &Load, bench: &Bench<'_>) -> Self {
        Self::count(&load.name, load.total, bench)
    }

    /// Starts showing a count towards `total`, or without an end.
    pub(crate) fn count(name: &str, total: Option<u64>, bench: &Bench<'_>) -> Self {
        let done = Arc::new(AtomicU64::new(0));
        let terminal = std::io::stderr().is_terminal() && !bench.command.json;
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        bar.set_draw_target(if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() });
        let template = match total {
            Some(_) => "{msg} [{bar:30}] {human_pos}/{human_len} {per_sec} {elapsed}",
            None => "{msg} {spinner} {human_pos} {per_sec} {elapsed}",
        };
        bar.set_style(ProgressStyle::with_template(template).expect("a constant template"));
        bar.set_message(name.to_owned());
        let task = tokio::spawn({
            let (done, bar, name, quiet) = (done.clone(), bar.clone(), name.to_owned(), terminal || bench.command.json);
            async move {
                let mut ticks = tokio::time::interval(if quiet { Duration::from_millis(100) } else { LINES });
                loop {
                    ticks.tick().await;
                    let count = done.load(Ordering::Relaxed);
                    bar.set_position(count);
                    if !quiet && count > 0 {
                        tracing::info!(done = count, total, "{name}");
                    }
                }
            }
        });
        Self { done, bar, task }
    }

    /// What workers count up.
    pub(crate) fn counter(&self) -> Arc<AtomicU64> {
        self.done.clone()
    }

    /// Takes the display away.
    pub(crate) fn finish(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}
