//! What membership asks of the shard that it works for.

use std::sync::Arc;
use std::time::Duration;

use api::slot::SlotSet;
use futures_util::future::BoxFuture;
use store::StoreError;

use crate::keys::Epoch;

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
            StoreError::Unavailable(_) | StoreError::Unknown(_) | StoreError::TooLarge(_) => {
                Self::Later(error.to_string())
            }
        }
    }
}

/// Who is to own slots next.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Heir {
    pub(crate) ordinal: u16,
    /// Its epoch when the directory was read. A release is fenced by it.
    pub(crate) epoch: Epoch,
}

/// A shard, as far as slots come and go. Its calls may run at the same time for slots that differ; dropping their futures
/// leaves open what has happened.
pub(crate) trait SlotHolder: Send + Sync + 'static {
    /// The slots that it answers for, its lease set aside.
    fn serving(&self) -> Arc<SlotSet>;

    /// It may answer until then, on the boot clock; a later call counts, whether it says more or less. It checks after it
    /// has taken what it is about to answer.
    fn serve_until(&self, until: Duration);

    /// Reads what is in slots of somebody else, so that [`SlotHolder::adopt`] has little left to read. Forgotten when the
    /// slots do not come soon.
    fn prefetch(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>>;

    /// Stops serving slots, waits for what is under way in them, and writes the heir's epoch into their records together with
    /// their floors, in one batch that is fenced by its own epoch, by the records, and by the heir's epoch. After an error it
    /// does not serve them; the records say whose they are.
    fn release(&self, slots: Arc<SlotSet>, heir: Heir) -> BoxFuture<'_, Result<(), HoldError>>;

    /// Makes sure that the slots are its, reads them, and serves them: those whose records name its epoch, and those that
    /// nobody owns, because whoever stands in their records has been fenced; these it claims first. All or nothing. Slots
    /// that it serves already are left alone.
    fn adopt(&self, slots: Arc<SlotSet>) -> BoxFuture<'_, Result<(), HoldError>>;
}
