//! Who makes what at the moment: whoever comes later waits for it instead of making it once more.

use std::collections::HashMap;
use std::sync::Arc;

use api::{Object, Status};
use parking_lot::Mutex;
use tokio::sync::watch;

/// What comes of a flight.
pub(super) type Landed = Result<Arc<Object>, Status>;

type Sky = Mutex<HashMap<u128, watch::Receiver<Option<Landed>>>>;

/// See the module.
#[derive(Default)]
pub(super) struct Flights(Arc<Sky>);

/// What to do about a key.
pub(super) enum Role {
    /// Make it.
    Leads(Flight),
    /// Wait for who does.
    Waits(Landing),
}

/// The duty to make something. Dropped without it, those who wait are told to look for themselves.
pub(super) struct Flight {
    key: u128,
    sender: watch::Sender<Option<Landed>>,
    sky: Arc<Sky>,
}

/// Somebody else's flight.
pub(super) struct Landing(watch::Receiver<Option<Landed>>);

impl Flights {
    pub(super) fn join(&self, key: u128) -> Role {
        let mut flying = self.0.lock();
        if let Some(receiver) = flying.get(&key) {
            return Role::Waits(Landing(receiver.clone()));
        }
        let (sender, receiver) = watch::channel(None);
        flying.insert(key, receiver);
        Role::Leads(Flight { key, sender, sky: self.0.clone() })
    }
}

impl Flight {
    pub(super) fn key(&self) -> u128 {
        self.key
    }

    /// Tells everybody. What was made has to be where the next one looks by then.
    pub(super) fn land(self, landed: Landed) {
        self.sender.send_replace(Some(landed));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.sky.lock().remove(&self.key);
    }
}

impl Landing {
    /// `None`: it was given up.
    pub(super) async fn landed(mut self) -> Option<Landed> {
        let landed = self.0.wait_for(Option::is_some).await;
        landed.ok().and_then(|landed| landed.clone())
    }
}
