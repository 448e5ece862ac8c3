//! Keeping an ordinal: the owner's side of a lease.

use std::time::Duration;

use api::ambient::Ambient;
use store::{Store, StoreError};

use super::Timing;
use super::batch::Change;
use super::directory::{HeldLease, damaged};
use super::records::{self, Lease, Standing};
use super::register::Registration;

/// A lease as its holder knows it.
#[derive(Clone, Debug)]
pub struct Holding {
    ordinal: u16,
    /// As it stands in the store, as far as is known.
    held: HeldLease,
    /// The counter of the last try, so that no two tries write the same.
    tried: u64,
    /// When the first try began whose outcome is not known.
    unsettled: Option<Duration>,
    /// When the last renewal began that is known to have happened.
    renewed: Duration,
}

impl Holding {
    /// From the moment of registration.
    pub fn new(registration: &Registration) -> Self {
        let (ordinal, held) = (registration.ordinal, registration.held.clone());
        Self { ordinal, tried: held.lease.renewals, held, unsettled: None, renewed: registration.began }
    }

    /// Until when its holder may serve, on the boot clock.
    pub fn valid_until(&self, timing: &Timing) -> Duration {
        self.renewed + timing.ttl.saturating_sub(timing.margin)
    }

    /// What was written last.
    pub fn lease(&self) -> &Lease {
        &self.held.lease
    }

    /// Renews it, and says what the member is up to. `Fenced`: it is another's, or nobody's, and this member is dead. After
    /// any other error it may be tried again.
    pub async fn renew(
        &mut self,
        store: &dyn Store,
        ambient: &Ambient,
        timing: &Timing,
        standing: Standing,
    ) -> Result<(), StoreError> {
        let began = ambient.clock.boot();
        self.tried += 1;
        let clock = ambient.clock.wall_micros();
        let lease = Lease { renewals: self.tried, standing, clock, ..self.held.lease.clone() };
        let next = HeldLease { raw: lease.encode(), lease };
        // What others decide by must not change in silence.
        let loud = standing != self.held.lease.standing;
        let mut change = if loud { Change::new(ambient) } else { Change::silent(ambient) };
        change.fence(records::lease(self.ordinal), Some(self.held.raw.clone()));
        change.put(records::lease(self.ordinal), next.raw.clone());
        // One that takes so long is as good as lost: the next one may be faster.
        let outcome = match tokio::time::timeout(timing.ttl / 2, change.commit(store)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(StoreError::Unknown("the store did not answer a renewal".to_owned())),
        };
        match outcome {
            Ok(()) => {
                self.settled(next, began);
                Ok(())
            }
            Err(StoreError::Fenced { key }) => self.look(store, key).await,
            Err(error) => {
                if matches!(error, StoreError::Unknown(_)) {
                    self.unsettled.get_or_insert(began);
                }
                Err(error)
            }
        }
    }

    /// The record is not what was written last: either a try of unknown outcome has happened after all, or it is lost.
    async fn look(&mut self, store: &dyn Store, key: String) -> Result<(), StoreError> {
        let raw = store.get(records::lease(self.ordinal)).await?;
        let Some(raw) = raw else { return Err(StoreError::Fenced { key }) };
        let lease = Lease::decode(&raw).ok_or_else(|| damaged(key.as_bytes()))?;
        match self.unsettled {
            // It counts from the first of them: whichever it was did not begin earlier.
            Some(began) if lease.incarnation == self.held.lease.incarnation => {
                self.settled(HeldLease { lease, raw }, began);
                Ok(())
            }
            _ => Err(StoreError::Fenced { key }),
        }
    }

    fn settled(&mut self, held: HeldLease, began: Duration) {
        self.held = held;
        self.renewed = began;
        self.unsettled = None;
    }
}
