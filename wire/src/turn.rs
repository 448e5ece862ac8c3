//! Letting others go first, so that what they have to say goes out together.
//!
//! A task that is woken runs next, before those that are about to wake it again: a connection would be flushed for each of its
//! streams, and a system call is what a small message costs most. Here it runs once the runtime has nothing else to do, which
//! is soon: nothing waits for time to pass.

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker, ready};

use futures_util::FutureExt;
use futures_util::task::AtomicWaker;
use tokio::io::AsyncWrite;

use crate::Cork;

/// One turn of everybody else.
#[derive(Default)]
pub struct Turn {
    bell: Arc<Bell>,
    state: State,
}

#[derive(Clone, Copy, Default)]
enum State {
    #[default]
    Idle,
    Waiting,
    Over,
}

/// Rung by the runtime when it has nothing else to do. Whatever else wakes the task meanwhile must wait for that too.
#[derive(Default)]
struct Bell {
    rung: AtomicBool,
    task: AtomicWaker,
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        self.task.wake();
    }
}

impl Turn {
    /// Ready when the others had their turn; from then on until [`Turn::end`].
    pub fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if matches!(self.state, State::Over) {
            return Poll::Ready(());
        }
        self.bell.task.register(context.waker());
        if matches!(self.state, State::Idle) {
            self.state = State::Waiting;
            self.bell.rung.store(false, Ordering::Release);
            // It hands the waker to the runtime, which is all that is wanted of it.
            let bell = Waker::from(self.bell.clone());
            let _ = pin!(tokio::task::yield_now()).poll(&mut Context::from_waker(&bell));
        }
        if !self.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        self.state = State::Over;
        Poll::Ready(())
    }

    /// The next time others go first again.
    pub fn end(&mut self) {
        self.state = State::Idle;
    }
}

/// Drives a connection, whenever it is woken after the others, and then lets go what it has written to its corked socket.
pub fn after_others<F: Future + Unpin, I: AsyncWrite + Unpin>(connection: F, cork: Cork<I>) -> AfterOthers<F, I> {
    cork.hold();
    AfterOthers { turn: Turn::default(), connection, cork }
}

/// See [`after_others`].
pub struct AfterOthers<F, I> {
    turn: Turn,
    connection: F,
    cork: Cork<I>,
}

impl<F: Future + Unpin, I: AsyncWrite + Unpin> Future for AfterOthers<F, I> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = self.get_mut();
        ready!(this.turn.poll(context));
        this.turn.end();
        let polled = this.connection.poll_unpin(context);
        this.cork.release(context);
        polled
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::Notify;

    use super::*;

    #[tokio::test]
    async fn what_is_woken_often_runs_once() {
        let (bell, polls) = (Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let connection = tokio::spawn({
            let (bell, polls) = (bell.clone(), polls.clone());
            async move {
                let mut rung = std::pin::pin!(async {
                    for _ in 0..2 {
                        bell.notified().await;
                    }
                });
                let counted = std::future::poll_fn(|context| {
                    polls.fetch_add(1, Ordering::Relaxed);
                    rung.as_mut().poll(context)
                });
                let (_socket, cork) = crate::cork(tokio::io::sink());
                after_others(std::pin::pin!(counted), cork).await;
            }
        });
        tokio::task::yield_now().await;
        let ringing: Vec<_> = (0..8)
            .map(|_| {
                let bell = bell.clone();
                tokio::spawn(async move { bell.notify_one() })
            })
            .collect();
        for ring in ringing {
            ring.await.unwrap();
        }
        bell.notify_one();
        connection.await.unwrap();
        let polls = polls.load(Ordering::Relaxed);
        assert!(polls <= 4, "polled {polls} times");
    }
}
