//! A connection to one peer that is made again whenever it breaks.

use std::sync::Arc;
use std::time::Duration;

use api::ambient::Ambient;
use tokio::task::AbortHandle;

use crate::connection::{ConnectError, Connection, Connector};
use crate::pki::{Identity, Role};
use crate::{Dial, Timing, latest};

/// Keeps one connection to one peer: made at once, and again with growing pauses whenever it breaks, until it is dropped.
/// Clones share it.
#[derive(Clone)]
pub struct Link(Arc<Shared>);

struct Shared {
    address: String,
    state: latest::Receiver<State>,
    keeper: AbortHandle,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.keeper.abort();
    }
}

#[derive(Clone)]
enum State {
    /// Nothing is known yet.
    Trying,
    Up(Connection),
    /// The last attempt failed, or the connection broke; the next attempt comes.
    Down(ConnectError),
}

impl Link {
    /// A link to a peer of that role at `host:port`. Must be called within a runtime.
    pub fn new(
        address: &str,
        role: Role,
        identity: &Identity,
        dial: Arc<dyn Dial>,
        timing: Timing,
        ambient: &Ambient,
    ) -> Result<Self, ConnectError> {
        let connector = Connector::new(address, role, identity, dial, timing)?;
        let publish = latest::Sender::new(State::Trying);
        let state = publish.subscribe();
        let keeper = tokio::spawn(keep(connector, timing, ambient.clone(), publish)).abort_handle();
        Ok(Self(Arc::new(Shared { address: address.to_owned(), state, keeper })))
    }

    /// `host:port` of the peer.
    pub fn address(&self) -> &str {
        &self.0.address
    }

    /// The connection, if there is one now.
    pub fn up(&self) -> Option<Connection> {
        match self.0.state.get() {
            State::Up(connection) if !connection.is_closed() => Some(connection),
            _ => None,
        }
    }

    /// The connection, now or as soon as an attempt that is under way succeeds; why there is none, as soon as one failed.
    pub async fn connection(&self) -> Result<Connection, ConnectError> {
        let mut state = self.0.state.clone();
        loop {
            match state.get_and_update() {
                State::Up(connection) if !connection.is_closed() => return Ok(connection),
                State::Down(error) => return Err(error),
                State::Up(_) | State::Trying => {}
            }
            if state.changed().await.is_err() {
                return Err(ConnectError::Closed { address: self.0.address.clone(), why: "the link ended".to_owned() });
            }
        }
    }

    /// The connection, however many attempts it takes within `patience`.
    pub async fn patiently(&self, patience: Duration) -> Result<Connection, ConnectError> {
        let mut state = self.0.state.clone();
        let up = state.wait_for(|state| matches!(state, State::Up(connection) if !connection.is_closed()));
        if let Ok(Ok(State::Up(connection))) = tokio::time::timeout(patience, up).await {
            return Ok(connection);
        }
        match self.0.state.get() {
            State::Down(error) => Err(error),
            _ => Err(ConnectError::Timeout { address: self.0.address.clone() }),
        }
    }

    /// What becomes of the link from now on.
    pub fn follow(&self) -> Followed {
        Followed { state: self.0.state.clone(), fresh: true }
    }
}

/// A link's connections, one after the other, and the failures between them.
pub struct Followed {
    state: latest::Receiver<State>,
    fresh: bool,
}

impl Followed {
    /// The connection or failure that there is, at the first call; after that the next one. Ends never once the link is gone.
    pub async fn next(&mut self) -> Result<Connection, ConnectError> {
        loop {
            if !std::mem::take(&mut self.fresh) && self.state.changed().await.is_err() {
                return std::future::pending().await;
            }
            match self.state.get_and_update() {
                State::Up(connection) if !connection.is_closed() => return Ok(connection),
                State::Down(error) => return Err(error),
                State::Up(_) | State::Trying => {}
            }
        }
    }
}

async fn keep(connector: Connector, timing: Timing, ambient: Ambient, publish: latest::Sender<State>) {
    let mut pause = timing.pause_min;
    loop {
        match connector.connect().await {
            Ok(connection) => {
                publish.send_replace(State::Up(connection.clone()));
                let lasted = tokio::time::Instant::now();
                let why = connection.closed().await;
                tracing::debug!(peer = connector.address(), why, "the connection ended");
                publish.send_replace(State::Trying);
                // One that broke at once is no success: the pauses go on growing.
                if lasted.elapsed() > timing.pause_max {
                    pause = timing.pause_min;
                    continue;
                }
            }
            Err(error) => {
                tracing::debug!(peer = connector.address(), %error, "no connection");
                publish.send_replace(State::Down(error));
            }
        }
        // Full jitter over the upper half, so that those who lost the same peer do not all come back at once.
        let draw = u32::try_from(ambient.entropy.next_u64() >> 32).unwrap_or(u32::MAX);
        let part = 0.5 + f64::from(draw) / f64::from(u32::MAX) / 2.0;
        tokio::time::sleep(pause.mul_f64(part)).await;
        pause = (pause * 2).min(timing.pause_max);
    }
}
