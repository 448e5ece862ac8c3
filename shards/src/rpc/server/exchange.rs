//! The shard's side of an exchange.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll, Waker, ready};

use api::Registry;
use api::Version;
use futures_util::{Stream, poll};
use hashbrown::HashMap;
use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;
use tonic::{Status, Streaming};
use wire::Turn;
use wire::proto::shard as proto;

use crate::rpc::convert::{self, Context, Misread};
use crate::rpc::{BATCH_BYTES, BATCH_CALLS, CONTEXTS, WINDOW};
use crate::service::{ShardError, ShardService};
use proto::call::What;
use proto::reply::What as Said;

/// What the calls of one exchange share.
#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    replies: Vec<Ready>,
    sender: Option<Waker>,
    /// Nobody reads calls any more, and none is being carried out: the stream ends behind the last reply.
    done: bool,
    /// Calls that are being carried out, on tasks of their own.
    running: HashMap<u64, AbortHandle>,
}

/// A reply, and the call's places, which are free when it has been taken.
struct Ready {
    reply: proto::Reply,
    _places: [OwnedSemaphorePermit; 2],
}

impl Shared {
    fn reply(&self, id: u64, what: Said, places: [OwnedSemaphorePermit; 2]) {
        let mut state = self.0.lock();
        state.running.remove(&id);
        state.replies.push(Ready { reply: proto::Reply { id, what: Some(what) }, _places: places });
        let waker = state.sender.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn cancel(&self, id: u64) {
        if let Some(running) = self.0.lock().running.remove(&id) {
            running.abort();
        }
    }

    fn finish(&self) {
        let mut state = self.0.lock();
        state.done = true;
        let waker = state.sender.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

pub(super) fn start(
    calls: Streaming<proto::Calls>,
    service: Arc<dyn ShardService>,
    registry: Arc<Registry>,
    room: Arc<Semaphore>,
    shutdown: CancellationToken,
) -> Replying {
    let shared = Arc::new(Shared::default());
    let window = Arc::new(Semaphore::new(WINDOW));
    let contexts = HashMap::new();
    let reading = Reading { shared: shared.clone(), service, registry, contexts, window, room };
    let reader = tokio::spawn(reading.run(calls, shutdown)).abort_handle();
    Replying { shared, reader, turn: Turn::default() }
}

/// Reads calls and starts them.
struct Reading {
    shared: Arc<Shared>,
    service: Arc<dyn ShardService>,
    registry: Arc<Registry>,
    /// What calls refer to, by number.
    contexts: HashMap<u64, Arc<Context>>,
    window: Arc<Semaphore>,
    room: Arc<Semaphore>,
}

impl Reading {
    async fn run(mut self, mut calls: Streaming<proto::Calls>, shutdown: CancellationToken) {
        loop {
            let batch = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                batch = calls.message() => batch,
            };
            let Ok(Some(batch)) = batch else { break };
            for call in batch.calls {
                if let Some(what) = call.what {
                    self.start(call.id, what).await;
                }
            }
        }
        // All places are free when every reply has been taken.
        let _ = self.window.acquire_many(WINDOW as u32).await;
        self.shared.finish();
    }

    async fn start(&mut self, id: u64, what: What) {
        match what {
            What::Cancel(_) => self.shared.cancel(id),
            What::Context(context) if id < CONTEXTS as u64 => {
                self.contexts.insert(id, Arc::new(Context::read(context)));
            }
            // Calls that refer to it will be misread.
            What::Context(_) => {}
            What::Advance(advance) => {
                if let Ok(resource) = convert::resource_id(&self.registry, &advance.resource) {
                    self.service.advance(&advance.cluster, resource, Version(advance.version));
                }
            }
            What::Clock(_) => {
                let service = self.service.clone();
                let clock = async move { service.clock().await.map(|version| Said::Clock(version.0)) };
                self.carry_out(id, true, clock).await;
            }
            What::Execute(said) => {
                let is_read = matches!(said.verb, Some(proto::execute::Verb::Get(_)));
                let (service, registry) = (self.service.clone(), self.registry.clone());
                let context = self.contexts.get(&u64::from(said.context)).cloned();
                let execute = async move {
                    let context = context.ok_or_else(|| Misread("a context that was never told".to_owned()))?;
                    let request = convert::read_execute(&registry, &context, said)?;
                    service.execute(request).await.map(|answer| Said::Answer(convert::answer(answer)))
                };
                self.carry_out(id, is_read, execute).await;
            }
        }
    }

    /// Waits for a place and carries out a call: a short one here, as far as it gets at once, others on their own task, so
    /// that cores share what one peer asks.
    async fn carry_out(
        &self,
        id: u64,
        is_short: bool,
        call: impl Future<Output = Result<Said, ShardError>> + Send + 'static,
    ) {
        let window = self.window.clone().acquire_owned().await.expect("never closed");
        let places = [window, self.room.clone().acquire_owned().await.expect("never closed")];
        let mut call = Box::pin(call);
        if is_short && let Poll::Ready(result) = poll!(&mut call) {
            self.shared.reply(id, said(result), places);
            return;
        }
        // Held while the task is made: it takes itself out when it is done.
        let mut state = self.shared.0.lock();
        let shared = self.shared.clone();
        let task = tokio::spawn(async move {
            let result = call.await;
            shared.reply(id, said(result), places);
        });
        state.running.insert(id, task.abort_handle());
    }
}

fn said(result: Result<Said, ShardError>) -> Said {
    result.unwrap_or_else(|error| Said::Failure(convert::failure(error)))
}

/// The replies: each item is whatever was ready. When it is dropped, the peer is gone, and nobody waits any more.
pub struct Replying {
    shared: Arc<Shared>,
    reader: AbortHandle,
    turn: Turn,
}

impl Drop for Replying {
    fn drop(&mut self) {
        self.reader.abort();
        let running = std::mem::take(&mut self.shared.0.lock().running);
        // In an order that is the same in every run.
        let mut running: Vec<_> = running.into_iter().collect();
        running.sort_unstable_by_key(|(id, _)| *id);
        running.iter().for_each(|(_, running)| running.abort());
    }
}

impl Stream for Replying {
    type Item = Result<proto::Replies, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut task::Context<'_>) -> Poll<Option<Self::Item>> {
        // A batch that is committed answers many calls, one after the other: one message carries them all.
        ready!(self.turn.poll(context));
        let this = &mut *self;
        let mut state = this.shared.0.lock();
        if state.replies.is_empty() {
            if state.done {
                return Poll::Ready(None);
            }
            state.sender = Some(context.waker().clone());
            this.turn.end();
            return Poll::Pending;
        }
        let mut bytes = 0;
        let mut fits = |ready: &Ready| {
            let fits = bytes < BATCH_BYTES;
            bytes += size(&ready.reply);
            fits
        };
        let count = state.replies.iter().take(BATCH_CALLS).take_while(|ready| fits(ready)).count();
        let replies = state.replies.drain(..count).map(|ready| ready.reply).collect();
        Poll::Ready(Some(Ok(proto::Replies { replies })))
    }
}

fn size(reply: &proto::Reply) -> usize {
    use proto::answer::Outcome;
    match &reply.what {
        Some(Said::Answer(answer)) => match &answer.outcome {
            Some(Outcome::Object(object)) => object.index.len() + object.tail.len(),
            Some(Outcome::Document(document)) => document.len(),
            None => 0,
        },
        _ => 64,
    }
}
