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
    use std::sync::atomic::AtomicUsize;

    use futures_util::future::poll_fn;
    use parking_lot::Mutex;

    use super::*;

    #[derive(Default)]
    struct Connection {
        polls: AtomicUsize,
        task: Mutex<Option<Waker>>,
    }

    impl Connection {
        /// Wakes it, and lets the next one do so, until it was woken so many times.
        fn ring(self: Arc<Self>, times: usize) {
            tokio::spawn(async move {
                self.task.lock().as_ref().unwrap().wake_by_ref();
                if times > 1 {
                    self.ring(times - 1);
                }
            });
        }
    }

    #[tokio::test]
    async fn what_is_woken_often_runs_once() {
        let connection = Arc::new(Connection::default());
        let driven = connection.clone();
        let (_socket, cork) = crate::cork(tokio::io::sink());
        let driver = poll_fn(move |context| {
            driven.polls.fetch_add(1, Ordering::Relaxed);
            *driven.task.lock() = Some(context.waker().clone());
            Poll::<()>::Pending
        });
        tokio::spawn(after_others(driver, cork));
        while connection.polls.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        connection.clone().ring(10);
        while connection.polls.load(Ordering::Relaxed) == 1 {
            tokio::task::yield_now().await;
        }
        // The test itself has its turns as well, and the driver may be between two of them.
        let polls = connection.polls.load(Ordering::Relaxed);
        assert!(polls <= 3, "polled {polls} times");
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        let polls = connection.polls.load(Ordering::Relaxed);
        assert!(polls <= 4, "polled {polls} times");
    }
}
