//! A value of which only the latest counts, and those who wait for it to change.
//!
//! Like `tokio::sync::watch`, except that waiters are woken in the order in which they began to wait. There the order is
//! random, and the simulations (DESIGN D10) must do the same thing twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::RwLock;
use tokio::sync::Notify;

/// The value will not change any more: whoever could change it has gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("nobody is left to change it")]
pub struct Gone;

#[derive(Debug)]
struct Shared<T> {
    /// The value, and how often it has changed.
    state: RwLock<(T, u64)>,
    changed: Notify,
    gone: AtomicBool,
}

/// Changes the value.
#[derive(Debug)]
pub struct Sender<T>(Arc<Shared<T>>);

/// Sees the value change.
#[derive(Clone, Debug)]
pub struct Receiver<T> {
    shared: Arc<Shared<T>>,
    /// The change that was seen last.
    seen: u64,
}

impl<T> Sender<T> {
    /// A value that nobody waits for yet.
    pub fn new(value: T) -> Self {
        let (state, gone) = (RwLock::new((value, 0)), AtomicBool::new(false));
        Self(Arc::new(Shared { state, changed: Notify::new(), gone }))
    }

    /// One who has seen the value as it is now.
    pub fn subscribe(&self) -> Receiver<T> {
        Receiver { shared: self.0.clone(), seen: self.0.state.read().1 }
    }

    /// Another value; answers the former one.
    pub fn send_replace(&self, mut value: T) -> T {
        self.send_if_modified(|old| {
            std::mem::swap(old, &mut value);
            true
        });
        value
    }

    /// Changes it, and tells everybody if `modify` says that it did. Answers what that said.
    pub fn send_if_modified(&self, modify: impl FnOnce(&mut T) -> bool) -> bool {
        {
            let mut state = self.0.state.write();
            if !modify(&mut state.0) {
                return false;
            }
            state.1 += 1;
        }
        self.0.changed.notify_waiters();
        true
    }
}

impl<T: Clone> Sender<T> {
    /// The value.
    pub fn get(&self) -> T {
        self.0.state.read().0.clone()
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        self.0.gone.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }
}

impl<T: Clone> Receiver<T> {
    /// The value.
    pub fn get(&self) -> T {
        self.shared.state.read().0.clone()
    }

    /// The value, which is seen by that: [`Receiver::changed`] waits for another.
    pub fn get_and_update(&mut self) -> T {
        let state = self.shared.state.read();
        self.seen = state.1;
        state.0.clone()
    }

    /// Waits for a value that was not seen yet, and counts it as seen.
    pub async fn changed(&mut self) -> Result<(), Gone> {
        loop {
            let changed = self.shared.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let now = self.shared.state.read().1;
            if now != self.seen {
                self.seen = now;
                return Ok(());
            }
            if self.shared.gone.load(Ordering::Acquire) {
                return Err(Gone);
            }
            changed.await;
        }
    }

    /// Waits for a value like that, which may be the one that there is. It is seen by that.
    pub async fn wait_for(&mut self, mut wanted: impl FnMut(&T) -> bool) -> Result<T, Gone> {
        loop {
            {
                let state = self.shared.state.read();
                self.seen = state.1;
                if wanted(&state.0) {
                    return Ok(state.0.clone());
                }
            }
            self.changed().await?;
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use parking_lot::Mutex;

    use super::*;

    #[tokio::test]
    async fn waiters_see_every_last_value_and_the_end() {
        let sender = Sender::new(1);
        let mut receiver = sender.subscribe();
        assert_eq!(receiver.changed().now_or_never(), None);
        sender.send_replace(2);
        sender.send_replace(3);
        assert_eq!((receiver.changed().now_or_never(), receiver.get()), (Some(Ok(())), 3));
        assert!(!sender.send_if_modified(|_| false));
        assert_eq!(receiver.changed().now_or_never(), None);
        assert_eq!(receiver.wait_for(|value| *value == 3).now_or_never(), Some(Ok(3)));
        let waits = tokio::spawn(async move { receiver.wait_for(|value| *value > 8).await });
        tokio::task::yield_now().await;
        sender.send_replace(9);
        assert_eq!(waits.await.unwrap(), Ok(9));
        let mut receiver = sender.subscribe();
        drop(sender);
        assert_eq!((receiver.changed().await, receiver.get()), (Err(Gone), 9));
        assert_eq!(receiver.wait_for(|value| *value == 0).await, Err(Gone));
    }

    #[tokio::test]
    async fn waiters_are_woken_in_the_order_in_which_they_began_to_wait() {
        let (sender, order) = (Sender::new(0), Arc::new(Mutex::new(Vec::new())));
        let waits = (0..50).map(|number| {
            let (mut receiver, order) = (sender.subscribe(), order.clone());
            async move {
                receiver.changed().await.unwrap();
                order.lock().push(number);
            }
        });
        let waits: Vec<_> = waits.map(tokio::spawn).collect();
        tokio::task::yield_now().await;
        sender.send_replace(1);
        futures_util::future::join_all(waits).await;
        assert_eq!(*order.lock(), (0..50).collect::<Vec<_>>());
    }
}
