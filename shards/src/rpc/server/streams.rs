//! The shard's side of lists, subscriptions and histories. A piece is made when there is room for it on the way.

use std::sync::Arc;

use api::Registry;
use futures_util::{StreamExt, stream};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use wire::proto::shard as proto;

use super::Answering;
use crate::rpc::convert;
use crate::service::{Delivery, Event, ShardError, ShardService};
use proto::subscribe_piece::What;

/// About so many bytes of objects are in one piece, unless a single one is larger.
const PIECE_BYTES: usize = 128 << 10;

/// How many from the front make a piece.
fn piece<T>(items: &[T], size: impl Fn(&T) -> usize) -> usize {
    let mut bytes = 0;
    let fits = |item: &&T| {
        let fits = bytes < PIECE_BYTES;
        bytes += size(item);
        fits
    };
    items.iter().take_while(fits).count()
}

fn event_size(event: &Arc<Event>) -> usize {
    event.object.stored().len() + event.old.as_ref().map_or(0, |old| old.stored().len()) + 256
}

pub(super) async fn list(
    service: &dyn ShardService,
    registry: &Registry,
    said: proto::ListRequest,
) -> Answering<proto::ListPiece> {
    let page = match convert::read_list(registry, said) {
        Ok(request) => service.list(request).await,
        Err(misread) => Err(misread.into()),
    };
    let page = match page {
        Ok(page) => page,
        Err(error) => {
            let failure = Some(convert::failure(error));
            return one(proto::ListPiece { failure, ..Default::default() });
        }
    };
    let end = proto::ListEnd { version: page.version.0, remaining: page.remaining as u64 };
    stream::unfold(Some(page.objects.into_iter()), move |left| async move {
        let mut left = left?;
        let count = piece(left.as_slice(), |object| object.stored().len() + 128);
        let objects = left.by_ref().take(count).map(|object| convert::object(&object)).collect();
        let is_last = left.len() == 0;
        let piece = proto::ListPiece { objects, end: is_last.then_some(end), failure: None };
        Some((Ok(piece), (!is_last).then_some(left)))
    })
    .boxed()
}

pub(super) async fn history(
    service: &dyn ShardService,
    registry: &Registry,
    said: proto::HistoryRequest,
) -> Answering<proto::HistoryPiece> {
    let history = match convert::read_history(registry, said) {
        Ok(request) => service.history(request).await,
        Err(misread) => Err(misread.into()),
    };
    let history = match history {
        Ok(history) => history,
        Err(error) => {
            let failure = Some(convert::failure(error));
            return one(proto::HistoryPiece { failure, ..Default::default() });
        }
    };
    let to = history.to.0;
    stream::unfold(Some(history.events.into_iter()), move |left| async move {
        let mut left = left?;
        let count = piece(left.as_slice(), event_size);
        let events = left.by_ref().take(count).map(|event| convert::event(&event)).collect();
        let is_last = left.len() == 0;
        let piece = proto::HistoryPiece { events, to: is_last.then_some(to), failure: None };
        Some((Ok(piece), (!is_last).then_some(left)))
    })
    .boxed()
}

fn one<T: Send + 'static>(piece: T) -> Answering<T> {
    stream::once(std::future::ready(Ok(piece))).boxed()
}

pub(super) async fn subscribe(
    service: &dyn ShardService,
    registry: &Registry,
    said: proto::SubscribeRequest,
    shutdown: CancellationToken,
) -> Answering<proto::SubscribePiece> {
    let subscription = match convert::read_subscribe(registry, said) {
        Ok(request) => service.subscribe(request).await,
        Err(misread) => Err(misread.into()),
    };
    let subscription = match subscription {
        Ok(subscription) => subscription,
        Err(error) => return one(failed(error)),
    };
    let (from, slots) = (subscription.from.0, subscription.slots.to_bytes().into());
    let opened = proto::SubscribePiece { what: Some(What::Opened(proto::Opened { from, slots })) };
    let following = Following { deliveries: subscription.deliveries, left: None };
    let deliveries = stream::unfold(following, |mut following| async move {
        let delivery = following.next().await?;
        Some((Ok(proto::SubscribePiece { what: Some(What::Delivery(delivery)) }), following))
    });
    stream::once(std::future::ready(Ok(opened))).chain(deliveries).take_until(shutdown.cancelled_owned()).boxed()
}

fn failed(error: ShardError) -> proto::SubscribePiece {
    proto::SubscribePiece { what: Some(What::Failure(convert::failure(error))) }
}

/// A shard's deliveries, joined where they are small and split where they are large.
struct Following {
    deliveries: mpsc::Receiver<Delivery>,
    left: Option<Delivery>,
}

impl Following {
    async fn next(&mut self) -> Option<proto::Delivery> {
        let mut delivery = match self.left.take() {
            Some(left) => left,
            None => self.deliveries.recv().await?,
        };
        let mut bytes: usize = delivery.events.iter().map(event_size).sum();
        // What is said of slots holds from a watermark on, so nothing is joined over it.
        while bytes < PIECE_BYTES
            && delivery.slots.is_none()
            && let Ok(next) = self.deliveries.try_recv()
        {
            if next.slots.is_some() {
                self.left = Some(next);
                break;
            }
            bytes += next.events.iter().map(event_size).sum::<usize>();
            delivery.events.extend(next.events);
            delivery.watermark = next.watermark;
        }
        let count = piece(&delivery.events, event_size);
        if count < delivery.events.len() {
            // What was taken from the queue behind it comes after what is split off: one of both is left at most, for
            // nothing more is joined to what is large enough to be split.
            let rest = delivery.events.split_off(count);
            let watermark = rest[0].version.before();
            let split = Delivery { events: rest, watermark: delivery.watermark, slots: delivery.slots.take() };
            debug_assert!(self.left.is_none(), "two deliveries are left");
            self.left = Some(split);
            delivery.watermark = watermark;
        }
        Some(proto::Delivery {
            events: delivery.events.iter().map(|event| convert::event(event)).collect(),
            watermark: delivery.watermark.0,
            slots: delivery.slots.map(|slots| slots.to_bytes().into()),
        })
    }
}
