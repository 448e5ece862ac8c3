//! A batch that is being filled or written, and who waits for it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::slot::Slot;
use api::{Status, Version};
use hashbrown::HashMap;

use super::TableId;
use crate::latest;
use crate::log::Operation;
use crate::service::{Event, ShardError};

/// What an open batch may count for ([`store::Batch::size`]) before writers wait for the commit loop: with the largest object
/// and a fence of every slot it still fits [`store::BATCH_BYTES`].
const BATCH_BYTES: usize = 3 << 20;
/// What a write counts for beside its object: its key, names and the fence of its slot.
pub(super) const WRITE_OVERHEAD: usize = 1024;
/// Writes of an open batch beyond which writers wait for the commit loop.
const BATCH_WRITES: usize = 8192;
/// How long an answer waits for its batch.
const COMMIT_WAIT: Duration = Duration::from_secs(30);

/// Why a batch was not published.
#[derive(Clone, Debug)]
pub(crate) enum Loss {
    /// It did not happen, for a reason that a client may read.
    Failed(Arc<str>),
    /// It did not happen, because the shard does not own its slots any more.
    NotOwner,
    /// Nobody knows whether it happened.
    Unknown(Arc<str>),
}

impl From<Loss> for ShardError {
    fn from(loss: Loss) -> Self {
        match loss {
            Loss::Failed(reason) => Status::unavailable(format!("the write was not stored: {reason}")).into(),
            Loss::NotOwner => Self::NotOwner,
            Loss::Unknown(reason) => Self::Lost(reason.to_string()),
        }
    }
}

/// What became of a batch.
type Settled = Option<Result<(), Loss>>;

/// A batch to wait for.
#[derive(Clone, Debug)]
pub(crate) struct Ticket {
    pub(super) number: u64,
    settled: latest::Receiver<Settled>,
}

impl Ticket {
    /// Waits until the batch is published. An error says that it is lost, or that nobody knows yet.
    pub(crate) async fn wait(mut self) -> Result<(), ShardError> {
        let settled = tokio::time::timeout(COMMIT_WAIT, self.settled.wait_for(Option::is_some)).await;
        match settled {
            Ok(Ok(settled)) => Ok(settled.expect("waited for it")?),
            Ok(Err(_)) => Err(ShardError::Lost("the shard is shutting down".to_owned())),
            Err(_) => {
                let late = Status::new(api::status::Reason::Timeout, "the store did not answer in time");
                Err(late.retry_after(1).into())
            }
        }
    }

    /// The later of two batches: it is settled only after the earlier one.
    pub(crate) fn later(self, other: Option<Self>) -> Self {
        match other {
            Some(other) if other.number > self.number => other,
            _ => self,
        }
    }
}

/// One write of a batch.
pub(crate) struct Written {
    pub(crate) table: TableId,
    pub(crate) event: Arc<Event>,
    pub(crate) request: u128,
    pub(crate) code: u16,
    pub(crate) operation: Operation,
}

/// A batch that is being filled or written.
pub(crate) struct Pending {
    pub(crate) number: u64,
    pub(crate) writes: Vec<Written>,
    pub(crate) slots: BTreeSet<Slot>,
    /// The first version of each table in it.
    pub(super) first: HashMap<TableId, Version>,
    pub(crate) bytes: usize,
    /// Somebody waits for it.
    pub(super) urgent: bool,
    /// Stored in the same transaction.
    pub(crate) ceiling: Option<Version>,
    settled: latest::Sender<Settled>,
}

impl Pending {
    pub(super) fn new(number: u64) -> Self {
        Self {
            number,
            writes: Vec::new(),
            slots: BTreeSet::new(),
            first: HashMap::new(),
            bytes: 0,
            urgent: false,
            ceiling: None,
            settled: latest::Sender::new(None),
        }
    }

    pub(super) fn ticket(&self) -> Ticket {
        Ticket { number: self.number, settled: self.settled.subscribe() }
    }

    pub(super) fn is_full(&self) -> bool {
        self.bytes >= BATCH_BYTES || self.writes.len() >= BATCH_WRITES
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.writes.is_empty() && self.ceiling.is_none()
    }

    /// Whether it takes room.
    pub(crate) fn adds(&self) -> bool {
        self.writes.iter().any(|write| !write.event.deleted)
    }

    pub(super) fn settle(&self, result: Result<(), Loss>) {
        self.settled.send_replace(Some(result));
    }
}
