//! Calls of one exchange: those that wait to be sent, and those that wait for their reply.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker};

use futures_util::Stream;
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wire::proto::shard as proto;

use crate::rpc::convert::Context;
use crate::rpc::{BATCH_BYTES, BATCH_CALLS, CONTEXTS};
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
    calls: VecDeque<Queued>,
    /// What has been told on the newest connection, and by which number.
    contexts: HashMap<Context, u32>,
    waiting: HashMap<u64, oneshot::Sender<Reply>>,
    sender: Option<Waker>,
}

/// A call that waits to be sent.
struct Queued {
    id: u64,
    what: What,
    /// Of one that executes something.
    context: Option<Context>,
}

impl State {
    fn push(&mut self, queued: Queued) -> Option<Waker> {
        self.calls.push_back(queued);
        self.sender.take()
    }
}

/// The context's number, and whether it must be told first.
fn number(contexts: &mut HashMap<Context, u32>, context: Context) -> (u32, Option<proto::Context>) {
    if let Some(number) = contexts.get(&context) {
        return (*number, None);
    }
    // Rather tell all of them again than remember which was used last.
    if contexts.len() == CONTEXTS {
        contexts.clear();
    }
    let (number, told) = (contexts.len() as u32, context.to_proto());
    contexts.insert(context, number);
    (number, Some(told))
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Queue {
    /// Adds a call, and what it has in common with others. Whoever drops the [`Waiting`] gives up its reply.
    pub(super) fn call(self: &Arc<Self>, what: What, context: Option<Context>) -> Result<Waiting, ShardError> {
        let (send, reply) = oneshot::channel();
        let mut state = self.0.lock();
        if let Some(why) = &state.down {
            return Err(ShardError::Unreachable(why.clone()));
        }
        state.next += 1;
        let id = state.next;
        state.waiting.insert(id, send);
        let waker = state.push(Queued { id, what, context });
        drop(state);
        wake(waker);
        Ok(Waiting { queue: self.clone(), id, reply })
    }

    /// Adds a call to which there is no reply; drops it where nobody is there to hear it.
    pub(super) fn tell(&self, what: What) {
        let mut state = self.0.lock();
        if state.down.is_none() {
            let waker = state.push(Queued { id: 0, what, context: None });
            drop(state);
            wake(waker);
        }
    }

    /// There is a connection: what it sends.
    pub(super) fn connected(self: &Arc<Self>) -> Sending {
        let mut state = self.0.lock();
        state.down = None;
        state.connection += 1;
        state.contexts.clear();
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
        // In the order in which they came, and not in one that differs from run to run.
        let mut waiting: Vec<_> = waiting.into_iter().collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
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
            let waker = state.push(Queued { id, what: What::Cancel(proto::Cancel {}), context: None });
            drop(state);
            wake(waker);
        }
    }

    fn was_sent(&self, id: u64) -> bool {
        id <= self.0.lock().sent
    }

    /// What has queued on that connection; `None`: nothing. An error says that the connection is not the newest any more.
    fn take(&self, connection: u64, context: &mut task::Context<'_>) -> Result<Option<proto::Calls>, Former> {
        let mut state = self.0.lock();
        if state.connection != connection {
            return Err(Former);
        }
        let State { calls: queued, contexts, waiting, sent, sender, .. } = &mut *state;
        let (mut calls, mut bytes) = (Vec::with_capacity(queued.len().min(BATCH_CALLS)), 0);
        while calls.len() < BATCH_CALLS
            && bytes < BATCH_BYTES
            && let Some(Queued { id, mut what, context }) = queued.pop_front()
        {
            *sent = (*sent).max(id);
            // What nobody waits for any more.
            if matches!(what, What::Execute(_) | What::Clock(_)) && !waiting.contains_key(&id) {
                continue;
            }
            if let (What::Execute(execute), Some(context)) = (&mut what, context) {
                bytes += size(execute);
                let told;
                (execute.context, told) = number(contexts, context);
                calls.extend(
                    told.map(|told| proto::Call { id: execute.context.into(), what: Some(What::Context(told)) }),
                );
            }
            calls.push(proto::Call { id, what: Some(what) });
        }
        if calls.is_empty() {
            *sender = Some(context.waker().clone());
            return Ok(None);
        }
        Ok(Some(proto::Calls { calls }))
    }
}

/// There is a newer connection.
struct Former;

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

/// What one connection sends: each item is whatever had queued. It is read after others had their turn ([`wire::Turn`]), so
/// that one message carries what they all have to say.
pub(super) struct Sending {
    queue: Arc<Queue>,
    connection: u64,
}

impl Stream for Sending {
    type Item = proto::Calls;

    fn poll_next(self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        match self.queue.take(self.connection, context) {
            Ok(Some(calls)) => Poll::Ready(Some(calls)),
            Ok(None) => Poll::Pending,
            Err(Former) => Poll::Ready(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use api::builtin::{RuntimeConfig, registry};

    use super::*;
    use crate::rpc::convert::execute;
    use crate::service::{Request, UserInfo, Verb};

    #[test]
    fn a_context_is_told_once_and_again_when_there_were_too_many() {
        let registry = registry(&RuntimeConfig::default());
        let context = |user: usize| {
            let request = Request {
                id: 1,
                cluster: "default".into(),
                resource: registry.named("pods").unwrap().id,
                served: 0,
                subresource: "".into(),
                namespace: "default".into(),
                name: "a".into(),
                user: Arc::new(UserInfo { name: user.to_string(), ..UserInfo::default() }),
                verb: Verb::Get { version: None },
            };
            execute(&registry, request).0
        };
        let mut contexts = HashMap::new();
        for user in 0..CONTEXTS {
            let (at, told) = number(&mut contexts, context(user));
            assert_eq!((at as usize, told.unwrap().user.unwrap().name), (user, user.to_string()));
        }
        assert_eq!(number(&mut contexts, context(7)), (7, None));
        assert!(number(&mut contexts, context(CONTEXTS)).1.is_some());
        let (at, told) = number(&mut contexts, context(7));
        assert!((at as usize) < CONTEXTS && told.is_some(), "its number may mean another one by now");
    }
}
