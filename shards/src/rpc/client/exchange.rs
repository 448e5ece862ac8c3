//! The stream of small calls to one shard, over one connection after the other.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::timeout;
use wire::proto::shard as proto;
use wire::{Connection, Link, MESSAGE_BYTES};

use super::Calling;
use super::queue::{Queue, Reply};
use crate::rpc::convert::Context;
use crate::service::ShardError;
use proto::call::What;
use proto::shard_client::ShardClient;

/// Before a connection is tried again on which the peer refused to exchange.
const PAUSE: Duration = Duration::from_millis(200);

pub(super) struct Exchange {
    queue: Arc<Queue>,
    window: Semaphore,
    room: Arc<Semaphore>,
    deadline: Duration,
    driver: AbortHandle,
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.driver.abort();
        self.queue.down("this process does not call it any more");
    }
}

impl Exchange {
    pub(super) fn start(link: Link, calling: &Calling) -> Self {
        let queue = Arc::new(Queue::default());
        let driver = tokio::spawn(drive(link, queue.clone())).abort_handle();
        let (window, room) = (Semaphore::new(calling.window), calling.room.clone());
        Self { queue, window, room, deadline: calling.deadline, driver }
    }

    /// Fails the calls that wait, those for a connection among them: nobody will answer them.
    pub(super) fn abandon(&self) {
        self.queue.abandon("it was taken for dead");
    }

    pub(super) fn tell(&self, what: What) {
        self.queue.tell(what);
    }

    /// Sends a call and waits for its reply, both within the deadline. Dropping the future gives up the reply.
    pub(super) async fn call(&self, what: What, context: Option<Context>) -> Reply {
        let mut waiting = None;
        let answer = timeout(self.deadline, async {
            let _place = self.window.acquire().await.expect("never closed");
            let _room = self.room.acquire().await.expect("never closed");
            waiting.insert(self.queue.call(what, context)?).reply().await
        });
        match answer.await {
            Ok(reply) => reply,
            Err(_) => {
                let why = format!("no answer within {:?}", self.deadline);
                Err(waiting.map_or_else(|| ShardError::Unreachable(why.clone()), |waiting| waiting.late(why.clone())))
            }
        }
    }
}

async fn drive(link: Link, queue: Arc<Queue>) {
    let mut connections = link.follow();
    loop {
        match connections.next().await {
            Err(error) => queue.down(&error.to_string()),
            Ok(connection) => {
                while !connection.is_closed() {
                    let (why, refused) = exchange(&connection, &queue).await;
                    if refused {
                        queue.down(&why);
                        tokio::time::sleep(PAUSE).await;
                    } else {
                        queue.broken(&why);
                    }
                }
            }
        }
    }
}

/// Exchanges until that ends; why, and whether the peer would not have it.
async fn exchange(connection: &Connection, queue: &Arc<Queue>) -> (String, bool) {
    let mut client = ShardClient::new(connection.clone()).max_decoding_message_size(MESSAGE_BYTES);
    let mut replies = match client.exchange(queue.connected()).await {
        Ok(response) => response.into_inner(),
        Err(status) => return (why(connection, &status).await, true),
    };
    loop {
        match replies.message().await {
            Ok(Some(batch)) => queue.replied(batch.replies),
            Ok(None) => return (format!("{} ended the exchange", connection.address()), false),
            Err(status) => return (why(connection, &status).await, false),
        }
    }
}

/// What is wrong: where the connection ended, that says more than the call that was on it.
pub(super) async fn why(connection: &Connection, status: &tonic::Status) -> String {
    let why = match timeout(Duration::from_millis(1), connection.closed()).await {
        Ok(ended) => ended,
        Err(_) => status.message().to_owned(),
    };
    format!("{}: {why}", connection.address())
}
