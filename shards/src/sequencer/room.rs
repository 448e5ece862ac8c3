//! While the store is full: what adds something is refused before it joins a batch, so that deletions and reads go on.

use std::sync::Arc;
use std::time::Duration;

use api::status::Reason;
use api::{Status, Version};
use tokio::time::Instant;

use super::{Inner, Sequencer, TableId, Ticket};
use crate::service::ShardError;

/// One write is let through that often, to see whether there is room again.
const LOOK: Duration = Duration::from_millis(250);
/// How often somebody who only waits waits again because a batch that had nothing to do with it failed.
const TRIES: usize = 3;

pub(super) struct Full {
    /// The next write that is let through.
    look: Instant,
    reason: Arc<str>,
}

impl Inner {
    /// Refuses what adds something while the store is full.
    pub(super) fn check_room(&mut self) -> Result<(), ShardError> {
        let Some(full) = &mut self.full else { return Ok(()) };
        if Instant::now() < full.look {
            return Err(Status::unavailable(format!("the write was not stored: {}", full.reason)).into());
        }
        full.look = Instant::now() + LOOK;
        Ok(())
    }
}

impl Sequencer {
    /// A batch found no room, but its ceiling was stored. Answers whether that is news.
    pub(crate) fn has_no_room(&self, ceiling: Option<Version>, reason: &Arc<str>) -> bool {
        let mut inner = self.inner.lock();
        if let Some(ceiling) = ceiling {
            inner.clock.stored(ceiling);
        }
        inner.full.replace(Full { look: Instant::now() + LOOK, reason: reason.clone() }).is_none()
    }

    /// A batch that adds something found room. Answers whether that is news.
    pub(crate) fn has_room_again(&self) -> bool {
        self.inner.lock().full.take().is_some()
    }

    /// Raises the clock to `version`, and waits until it may be released.
    pub(crate) async fn reach(&self, version: Version) -> Result<(), ShardError> {
        patiently(|| self.raise(version)).await
    }

    /// Waits until no write of the table at or below `version` is pending: it is stored, or was refused.
    pub(crate) async fn quiet(&self, table: TableId, version: Version) -> Result<(), ShardError> {
        patiently(|| self.flush(table, version)).await
    }
}

/// Waits for batches until there is none to wait for: one that failed, with all that is pending behind it, failed for reasons
/// of others.
async fn patiently(next: impl Fn() -> Option<Ticket>) -> Result<(), ShardError> {
    let mut refused = Ok(());
    for _ in 0..TRIES {
        let Some(ticket) = next() else { return Ok(()) };
        match ticket.wait().await {
            // One that could not be settled in time is not asked for again.
            Err(ShardError::Status(status)) if status.reason() == Reason::ServiceUnavailable => {
                refused = Err(status.into());
            }
            other => return other,
        }
    }
    refused
}
