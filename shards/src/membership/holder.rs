//! What membership asks of the shard that it works for.

use std::sync::Arc;
use std::time::Duration;

use api::slot::SlotSet;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use store::StoreError;

use crate::keys::Epoch;
use crate::moves::MoveError;
use crate::shard::Shard;

/// Why a shard did not do it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum HoldError {
    /// The shard's epoch does not count any more.
    #[error("the shard was fenced")]
    Fenced,
    /// It did not work this time. Where the records say one thing and the shard does another, it does less.
    #[error("{0}")]
    Later(String),
    /// The process must exit.
    #[error("{0}")]
    Broken(String),
}

impl From<StoreError> for HoldError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Fenced { .. } => Self::Fenced,
            StoreError::Broken(reason) => Self::Broken(reason),
            StoreError::Unavailable(_) | StoreError::Full(_) | StoreError::Unknown(_) | StoreError::TooLarge(_) => {
                Self::Later(error.to_string())
            }
        }
    }
}

/// A shard, as far as slots come and go. Its calls may run at the same time for slots that differ; dropping their futures
/// leaves open what has happened.
pub(crate) trait SlotHolder: Send + Sync + 'static {
    /// The slots that it answers for, its lease set aside.
    fn serving(&self) -> Arc<SlotSet>;

    /// It may answer until then, on the boot clock; a later call counts, whether it says more or less. It checks after it
    /// has taken what it is about to answer.
    fn serve_until(&self, until: Duration);

    /// Reads what is in slots of somebody else, so that [`SlotHolder::adopt`] has little left to read.
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>>;

    /// Forgets what was read of slots that did not come.
    fn forget(&self, slots: &SlotSet);

    /// Stops serving slots, waits for what is under way in them, and writes the heir's epoch into their records together with
    /// their floors, in one batch that is fenced by its own epoch, by the records, and by the heir's epoch. Does not return
    /// before it is known whether that has happened: after an error it has not and will not.
    fn release(&self, slots: Arc<SlotSet>, heir: Epoch) -> BoxFuture<'_, Result<(), HoldError>>;

    /// Makes sure that the slots are its, reads them, and serves them: those whose records name its epoch, and those that
    /// nobody owns, because whoever stands in their records has been fenced; these it claims first. All or nothing. Slots
    /// that it serves already are left alone.
    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>>;
}

impl From<MoveError> for HoldError {
    fn from(error: MoveError) -> Self {
        match error {
            MoveError::Store(error) => error.into(),
            other => Self::Later(other.to_string()),
        }
    }
}

impl SlotHolder for Shard {
    fn serving(&self) -> Arc<SlotSet> {
        self.owned()
    }

    fn serve_until(&self, until: Duration) {
        self.lease().set(until);
    }

    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>> {
        async move { Ok(Self::prefetch(self, &slots).await?) }.boxed()
    }

    fn forget(&self, slots: &SlotSet) {
        Self::forget(self, slots);
    }

    fn release(&self, slots: Arc<SlotSet>, heir: Epoch) -> BoxFuture<'_, Result<(), HoldError>> {
        async move { Self::release(self, &slots, heir).await.map(drop).map_err(HoldError::from) }.boxed()
    }

    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>> {
        async move { Ok(Self::adopt(self, &slots).await?) }.boxed()
    }
}
