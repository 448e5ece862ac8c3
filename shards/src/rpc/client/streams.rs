//! Lists, subscriptions and histories: a stream each.

use std::sync::Arc;
use std::time::Duration;

use api::Version;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tonic::{Response, Status, Streaming};
use wire::proto::shard as proto;
use wire::{Connection, Link, MESSAGE_BYTES};

use super::exchange::why;
use crate::rpc::convert::{self, Known, Misread};
use crate::service::{Delivery, History, ListPage, ShardError, Subscription};
use proto::shard_client::ShardClient;
use proto::subscribe_piece::What;

/// Deliveries that wait for a subscriber here. While it is full nothing is read, so that the shard notices who is slow.
const QUEUE: usize = 4;

async fn connection(link: &Link) -> Result<Connection, ShardError> {
    link.connection().await.map_err(|error| ShardError::Unreachable(error.to_string()))
}

fn client(connection: &Connection) -> ShardClient<Connection> {
    ShardClient::new(connection.clone()).max_decoding_message_size(MESSAGE_BYTES)
}

async fn lost(connection: &Connection, status: &Status) -> ShardError {
    ShardError::Lost(why(connection, status).await)
}

/// Opens a stream: the shard has its answer then, or has failed.
async fn open<T>(
    connection: &Connection,
    deadline: Duration,
    call: impl Future<Output = Result<Response<Streaming<T>>, Status>>,
) -> Result<Streaming<T>, ShardError> {
    match timeout(deadline, call).await {
        Ok(Ok(response)) => Ok(response.into_inner()),
        Ok(Err(status)) => Err(lost(connection, &status).await),
        Err(_) => Err(ShardError::Lost(format!("{}: no answer within {deadline:?}", connection.address()))),
    }
}

fn cut() -> ShardError {
    ShardError::Lost("the shard ended the stream in the middle".to_owned())
}

pub(super) async fn list(link: &Link, deadline: Duration, request: proto::ListRequest) -> Result<ListPage, ShardError> {
    let connection = connection(link).await?;
    let mut pieces = open(&connection, deadline, client(&connection).list(request)).await?;
    let mut objects = Vec::new();
    loop {
        let piece = match pieces.message().await {
            Ok(piece) => piece.ok_or_else(cut)?,
            Err(status) => return Err(lost(&connection, &status).await),
        };
        if let Some(failure) = piece.failure {
            return Err(convert::read_failure(failure));
        }
        for object in piece.objects {
            objects.push(Arc::new(convert::read_object(object)?));
        }
        if let Some(end) = piece.end {
            let remaining = usize::try_from(end.remaining).unwrap_or(usize::MAX);
            return Ok(ListPage { version: Version(end.version), objects, remaining });
        }
    }
}

pub(super) async fn history(
    link: &Link,
    deadline: Duration,
    request: proto::HistoryRequest,
) -> Result<History, ShardError> {
    let connection = connection(link).await?;
    let mut pieces = open(&connection, deadline, client(&connection).history(request)).await?;
    let (mut events, mut known) = (Vec::new(), Known::default());
    loop {
        let piece = match pieces.message().await {
            Ok(piece) => piece.ok_or_else(cut)?,
            Err(status) => return Err(lost(&connection, &status).await),
        };
        if let Some(failure) = piece.failure {
            return Err(convert::read_failure(failure));
        }
        for event in piece.events {
            events.push(convert::read_event(event, &mut known)?);
        }
        if let Some(to) = piece.to {
            return Ok(History { events, to: Version(to) });
        }
    }
}

pub(super) async fn subscribe(
    link: &Link,
    deadline: Duration,
    request: proto::SubscribeRequest,
) -> Result<Subscription, ShardError> {
    let connection = connection(link).await?;
    let mut pieces = open(&connection, deadline, client(&connection).subscribe(request)).await?;
    let opened = match pieces.message().await {
        Ok(piece) => piece.ok_or_else(cut)?.what,
        Err(status) => return Err(lost(&connection, &status).await),
    };
    let opened = match opened {
        Some(What::Opened(opened)) => opened,
        Some(What::Failure(failure)) => return Err(convert::read_failure(failure)),
        _ => return Err(Misread("a subscription that is not opened".to_owned()).into()),
    };
    let slots = Arc::new(convert::read_slots(&opened.slots)?);
    let (deliver, deliveries) = mpsc::channel(QUEUE);
    // The connection must live as long as somebody reads.
    tokio::spawn(async move {
        if let Err(error) = carry(pieces, deliver).await {
            tracing::debug!(peer = connection.address(), %error, "a subscription ended");
        }
    });
    Ok(Subscription { from: Version(opened.from), slots, deliveries })
}

/// Carries deliveries until either side ends.
async fn carry(
    mut pieces: Streaming<proto::SubscribePiece>,
    deliver: mpsc::Sender<Delivery>,
) -> Result<(), ShardError> {
    let mut known = Known::default();
    loop {
        let piece = tokio::select! {
            biased;
            piece = pieces.message() => piece.map_err(|status| ShardError::Lost(status.message().to_owned()))?,
            () = deliver.closed() => return Ok(()),
        };
        let Some(piece) = piece else { return Ok(()) };
        let Some(What::Delivery(said)) = piece.what else {
            return Err(Misread("a piece of a subscription that is no delivery".to_owned()).into());
        };
        let mut events = Vec::with_capacity(said.events.len());
        for event in said.events {
            events.push(convert::read_event(event, &mut known)?);
        }
        let slots = said.slots.map(|slots| convert::read_slots(&slots).map(Arc::new)).transpose()?;
        let delivery = Delivery { events, watermark: Version(said.watermark), slots };
        if deliver.send(delivery).await.is_err() {
            return Ok(());
        }
    }
}
