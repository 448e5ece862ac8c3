//! Saying where slots have to be.

use api::ambient::Ambient;
use api::slot::SlotSet;
use store::{Store, StoreError};

use super::batch::Change;
use super::records::{self, Pin};

/// Pins slots, or with `None` takes their pins away. Their owner moves them when it reads that.
pub async fn pin(store: &dyn Store, ambient: &Ambient, slots: &SlotSet, pin: Option<&Pin>) -> Result<(), StoreError> {
    let mut change = Change::new(ambient);
    for slot in slots.iter() {
        match pin {
            Some(pin) => change.put(records::pin(slot), pin.encode()),
            None => change.delete(records::pin(slot)),
        }
    }
    change.commit(store).await
}
