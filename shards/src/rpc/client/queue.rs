//! Calls of one exchange: those that wait to be sent, and those that wait for their reply.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use futures_util::Stream;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wire::proto::shard as proto;

use crate::rpc::{BATCH_BYTES, BATCH_CALLS};
use crate::service::ShardError;
use proto::call::What;
use proto::reply::What as Said;

/// What a call comes to.
pub(super) type Reply = Result<Option<Said>, ShardError>;

/// Shared by callers, the stream that sends, and the task that reads replies.
#[derive(Default)]
pub(super) struct Queue(Mutex<State>);

#[derive(Default)]
struct State {
    /// Why calls are refused at once.
    down: Option<String>,
    /// Counts connections: only the newest one's stream takes calls.
    connection: u64,
    next: u64,
    /// Calls up to this one have been handed to a connection.
    sent: u64,
    calls: VecDeque<proto::Call>,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    sender: Option<Waker>,
}

impl State {
    fn push(&mut self, id: u64, what: What) -> Option<Waker> {
        self.calls.push_back(proto::Call { id, what: Some(what) });
        self.sender.take()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Queue {
    /// Adds a call. Whoever drops the [`Waiting`] gives up its reply.
    pub(super) fn call(self: &Arc<Self>, what: What) -> Result<Waiting, ShardError> {
        let (send, reply) = oneshot::channel();
        let mut state = self.0.lock();
        if let Some(why) = &state.down {
            return Err(ShardError::Unreachable(why.clone()));
        }
        state.next += 1;
        let id = state.next;
        state.waiting.insert(id, send);
        let waker = state.push(id, what);
        drop(state);
        wake(waker);
        Ok(Waiting { queue: self.clone(), id, reply })
    }

    /// Adds a call to which there is no reply; drops it where nobody is there to hear it.
    pub(super) fn tell(&self, what: What) {
        let mut state = self.0.lock();
        if state.down.is_none() {
            let waker = state.push(0, what);
            drop(state);
            wake(waker);
        }
    }

    /// There is a connection: what it sends.
    pub(super) fn connected(self: &Arc<Self>) -> Sending {
        let mut state = self.0.lock();
        state.down = None;
        state.connection += 1;
        let connection = state.connection;
        // The former stream finds that it is over.
        let former = state.sender.take();
        drop(state);
        wake(former);
        Sending { queue: self.clone(), connection }
    }

    /// The connection is gone, and so are the calls: those that were sent may have been carried out. Further ones wait for
    /// the next connection.
    pub(super) fn broken(&self, why: &str) {
        self.fail(why, None);
    }

    /// There will be no connection for a while.
    pub(super) fn down(&self, why: &str) {
        self.fail(why, Some(why.to_owned()));
    }

    /// Nobody will answer what waits, whatever the connection says. It stays as it is: there may be a new shard behind it.
    pub(super) fn abandon(&self, why: &str) {
        let mut state = self.0.lock();
        state.calls.clear();
        let (sent, waiting) = (state.sent, std::mem::take(&mut state.waiting));
        drop(state);
        Self::lose(sent, waiting, why);
    }

    fn fail(&self, why: &str, down: Option<String>) {
        let mut state = self.0.lock();
        state.connection += 1;
        state.down = down;
        state.calls.clear();
        let (sent, waiting) = (state.sent, std::mem::take(&mut state.waiting));
        let former = state.sender.take();
        drop(state);
        wake(former);
        Self::lose(sent, waiting, why);
    }

    fn lose(sent: u64, waiting: HashMap<u64, oneshot::Sender<Reply>>, why: &str) {
        for (id, reply) in waiting {
            let why = why.to_owned();
            let error = if id <= sent { ShardError::Lost(why) } else { ShardError::Unreachable(why) };
            let _ = reply.send(Err(error));
        }
    }

    /// Hands replies to whoever waits for them.
    pub(super) fn replied(&self, replies: Vec<proto::Reply>) {
        let mut found = Vec::with_capacity(replies.len());
        let mut state = self.0.lock();
        for reply in replies {
            if let Some(waiting) = state.waiting.remove(&reply.id) {
                found.push((waiting, reply.what));
            }
        }
        drop(state);
        for (waiting, what) in found {
            let _ = waiting.send(Ok(what));
        }
    }

    fn give_up(&self, id: u64) {
        let mut state = self.0.lock();
        // Without a reply, and not because the connection is gone. If it still waits to be sent, it is left out then.
        if state.waiting.remove(&id).is_some() && id <= state.sent {
            let waker = state.push(id, What::Cancel(proto::Cancel {}));
            drop(state);
            wake(waker);
        }
    }

    fn was_sent(&self, id: u64) -> bool {
        id <= self.0.lock().sent
    }

    fn poll(&self, connection: u64, context: &mut Context<'_>) -> Poll<Option<proto::Calls>> {
        let mut state = self.0.lock();
        if state.connection != connection {
            return Poll::Ready(None);
        }
        let State { calls: queued, waiting, sent, sender, .. } = &mut *state;
        let (mut calls, mut bytes) = (Vec::with_capacity(queued.len().min(BATCH_CALLS)), 0);
        while calls.len() < BATCH_CALLS
            && bytes < BATCH_BYTES
            && let Some(call) = queued.pop_front()
        {
            let wanted = match &call.what {
                Some(What::Execute(execute)) => {
                    bytes += size(execute);
                    waiting.contains_key(&call.id)
                }
                Some(What::Clock(_)) => waiting.contains_key(&call.id),
                _ => true,
            };
            *sent = (*sent).max(call.id);
            if wanted {
                calls.push(call);
            }
        }
        if calls.is_empty() {
            *sender = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Some(proto::Calls { calls }))
    }
}

fn size(execute: &proto::Execute) -> usize {
    use proto::execute::Verb;
    let body = match &execute.verb {
        Some(Verb::Create(create)) => create.body.len(),
        Some(Verb::Update(update)) => update.body.len(),
        Some(Verb::Patch(patch)) => patch.body.len(),
        Some(Verb::Restore(restore)) => restore.tail.len(),
        _ => 0,
    };
    body + 256
}

/// One who waits for a reply.
pub(super) struct Waiting {
    queue: Arc<Queue>,
    id: u64,
    reply: oneshot::Receiver<Reply>,
}

impl Waiting {
    pub(super) async fn reply(&mut self) -> Reply {
        match (&mut self.reply).await {
            Ok(reply) => reply,
            Err(_) => Err(ShardError::Lost("this process is about to end".to_owned())),
        }
    }

    /// What it is when nobody wants to wait any longer.
    pub(super) fn late(&self, why: String) -> ShardError {
        if self.queue.was_sent(self.id) { ShardError::Lost(why) } else { ShardError::Unreachable(why) }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.queue.give_up(self.id);
    }
}

/// What one connection sends: each item is whatever had queued.
pub(super) struct Sending {
    queue: Arc<Queue>,
    connection: u64,
}

impl Stream for Sending {
    type Item = proto::Calls;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.queue.poll(self.connection, context)
    }
}
