//! Calls and streams between places, over a network that loses, delays and breaks them as TCP connections do: what has gone
//! out may have arrived or not, and the caller is told so a while later; a stream is in order, and whole up to where it ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, oneshot};

use crate::net::{Net, Place, STORE};

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// Nobody was asked.
    Unsent,
    /// Somebody may have been.
    Lost,
}

/// Two ends of a call or stream, as they were when it began.
#[derive(Clone, Copy)]
pub(crate) struct Ends {
    from: usize,
    from_start: u64,
    to: usize,
    to_start: u64,
}

impl Ends {
    fn new(net: &Net, from: usize, to: usize) -> Self {
        Self { from, from_start: net.place(from).start, to, to_start: net.place(to).start }
    }

    /// Whether what comes from the first can arrive at the second.
    fn forth(&self, net: &Net) -> bool {
        !net.is_cut(self.from, self.to) && net.runs(self.to, self.to_start)
    }

    fn back(&self, net: &Net) -> bool {
        !net.is_cut(self.to, self.from) && net.runs(self.from, self.from_start)
    }

    /// Whether one side would find, on a look at the connection, that it is of no use any more.
    fn is_dead(&self, net: &Net) -> bool {
        let silent = self.to != STORE && net.is_frozen(self.to);
        silent || !self.forth(net) || !self.back(net)
    }
}

type Answer<T> = Arc<Mutex<Option<oneshot::Sender<Result<T, Failed>>>>>;

fn tell<T>(answer: &Answer<T>, what: Result<T, Failed>) {
    let sender = answer.lock().take();
    if let Some(sender) = sender {
        let _ = sender.send(what);
    }
}

/// Asks `to` something on behalf of `from`. `work` runs in the process that is asked.
pub(crate) async fn call<T: Send + 'static>(
    net: &Arc<Net>,
    from: usize,
    to: usize,
    work: impl FnOnce(Place) -> BoxFuture<'static, T> + Send + 'static,
) -> Result<T, Failed> {
    let (sender, receiver) = oneshot::channel();
    let answer: Answer<T> = Arc::new(Mutex::new(Some(sender)));
    let ends = Ends::new(net, from, to);
    if !net.runs(to, ends.to_start) || (net.is_cut(from, to) && net.one_in(2)) {
        // The connection was known to be broken.
        net.after(net.delay(), move |_| tell(&answer, Err(Failed::Unsent)));
    } else {
        if net.resets() {
            let answer = answer.clone();
            net.after(net.delay(), move |_| tell(&answer, Err(Failed::Lost)));
        }
        watch_over(net, ends, answer.clone());
        net.after(net.delay(), move |net| arrive(net, ends, answer, work));
    }
    receiver.await.unwrap_or(Err(Failed::Lost))
}

/// Now and then looks whether the connection of a call is still good.
fn watch_over<T: Send + 'static>(net: &Arc<Net>, ends: Ends, answer: Answer<T>) {
    net.after(net.detection(), move |net| {
        if answer.lock().is_none() {
            return;
        }
        match ends.is_dead(net) {
            true => tell(&answer, Err(Failed::Lost)),
            false => watch_over(net, ends, answer),
        }
    });
}

fn arrive<T: Send + 'static>(
    net: &Arc<Net>,
    ends: Ends,
    answer: Answer<T>,
    work: impl FnOnce(Place) -> BoxFuture<'static, T> + Send + 'static,
) {
    if !ends.forth(net) {
        return lose(net, answer);
    }
    // The store's calls run beside the clients, who are always there.
    let at = if ends.to == STORE { crate::net::CLIENTS } else { ends.to };
    let place = net.place(at);
    let Some(handle) = place.handle.clone() else { return lose(net, answer) };
    let work = work(place);
    let net = net.clone();
    handle.spawn(async move {
        let done = work.await;
        net.after(net.delay(), move |net| match ends.back(net) && ends.forth(net) {
            true => tell(&answer, Ok(done)),
            false => lose(net, answer),
        });
    });
}

/// A message is lost on the way, which is noticed later.
fn lose<T: Send + 'static>(net: &Net, answer: Answer<T>) {
    net.after(net.detection(), move |_| tell(&answer, Err(Failed::Lost)));
}

/// The receiving end of a stream.
struct Stream<T> {
    ends: Ends,
    /// When the last item arrives.
    last: AtomicU64,
    sink: Mutex<Option<mpsc::Sender<T>>>,
}

/// Carries what comes out of `source` from the process that runs this to another place, until either ends or the network
/// breaks it. What it answers is to be handed to the receiver.
pub(crate) fn stream<T: Send + 'static>(
    net: &Arc<Net>,
    from: usize,
    to: usize,
    mut source: mpsc::Receiver<T>,
) -> mpsc::Receiver<T> {
    let (sink, receiver) = mpsc::channel(256);
    let ends = Ends::new(net, from, to);
    let stream = Arc::new(Stream { ends, last: AtomicU64::new(net.now()), sink: Mutex::new(Some(sink)) });
    look_after(net, stream.clone());
    let net = net.clone();
    tokio::spawn(async move {
        loop {
            let closed = stream.sink.lock().clone();
            let Some(closed) = closed else { return };
            let next = tokio::select! {
                biased;
                next = source.recv() => next,
                () = closed.closed() => return,
            };
            let over = next.is_none();
            let carried = stream.clone();
            let at = stream.last.load(Ordering::Relaxed).max(net.now() + net.delay());
            stream.last.store(at, Ordering::Relaxed);
            net.after(at - net.now(), move |net| put(net, &carried, next));
            if over {
                return;
            }
        }
    });
    receiver
}

fn put<T>(net: &Net, stream: &Stream<T>, item: Option<T>) {
    let mut sink = stream.sink.lock();
    let arrives = stream.ends.forth(net);
    let put = match (&*sink, item) {
        (Some(sink), Some(item)) if arrives => sink.try_send(item).is_ok(),
        _ => false,
    };
    if !put {
        *sink = None;
    }
}

fn look_after<T: Send + 'static>(net: &Arc<Net>, stream: Arc<Stream<T>>) {
    net.after(net.detection(), move |net| {
        let mut sink = stream.sink.lock();
        if sink.as_ref().is_none_or(mpsc::Sender::is_closed) {
            *sink = None;
            return;
        }
        let ends = &stream.ends;
        let silent = net.is_frozen(ends.from) || !net.runs(ends.from, ends.from_start);
        if silent || net.is_cut(ends.from, ends.to) || net.is_cut(ends.to, ends.from) {
            *sink = None;
            return;
        }
        drop(sink);
        look_after(net, stream);
    });
}
