//! A store that another process serves.

use std::ops::Bound;
use std::time::Duration;

use ::store::{Batch, Page, REMEMBERED, Store, StoreError};
use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout_at};
use tonic::{Code, Response, Status};

use super::convert;
use crate::proto::store as proto;
use crate::{Connection, Link, MESSAGE_BYTES};

/// Between two attempts on a connection that did not break.
const PAUSE: Duration = Duration::from_millis(20);

/// How a [`RemoteStore`] behaves.
#[derive(Clone, Copy, Debug)]
pub struct RemoteOptions {
    /// How long a call tries, over as many connections as that takes. At most half of [`::store::REMEMBERED`].
    pub patience: Duration,
    /// Calls at once; further ones wait.
    pub in_flight: usize,
}

impl Default for RemoteOptions {
    fn default() -> Self {
        Self { patience: Duration::from_secs(10), in_flight: 256 }
    }
}

/// A store behind a [`Link`] to a process of the role `store`.
pub struct RemoteStore {
    link: Link,
    options: RemoteOptions,
    room: Semaphore,
}

/// How one attempt failed.
enum Failure {
    /// It was not made, or was refused before it did anything; more attempts will not help.
    Refused(String),
    /// It was not made: there was no connection.
    Unsent(String),
    /// It may have been made.
    Lost(String),
}

type Client = proto::store_client::StoreClient<Connection>;

impl RemoteStore {
    /// A store behind that link.
    pub fn new(link: Link, mut options: RemoteOptions) -> Self {
        options.patience = options.patience.min(REMEMBERED / 2);
        Self { link, options, room: Semaphore::new(options.in_flight) }
    }

    async fn attempt<T, F>(&self, until: Instant, call: impl FnOnce(Client) -> F) -> Result<T, Failure>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let connection = self.link.patiently(until.saturating_duration_since(Instant::now())).await;
        let connection = connection.map_err(|error| Failure::Unsent(error.to_string()))?;
        let client = Client::new(connection).max_decoding_message_size(MESSAGE_BYTES);
        match timeout_at(until, call(client)).await {
            Ok(Ok(response)) => Ok(response.into_inner()),
            Ok(Err(status)) => Err(match status.code() {
                // What only the server's own checks say, before anything is done.
                Code::InvalidArgument | Code::PermissionDenied | Code::Unimplemented | Code::OutOfRange => {
                    Failure::Refused(status.message().to_owned())
                }
                _ => Failure::Lost(format!("{}: {}", self.link.address(), status.message())),
            }),
            Err(_) => Err(Failure::Lost(format!("{} did not answer in time", self.link.address()))),
        }
    }

    async fn read<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let until = Instant::now() + self.options.patience;
        let _place = self.place(until).await?;
        loop {
            match self.attempt(until, &call).await {
                Ok(answer) => return Ok(answer),
                Err(Failure::Refused(why)) => return Err(StoreError::Unavailable(why)),
                Err(Failure::Unsent(why) | Failure::Lost(why)) if Instant::now() >= until => {
                    return Err(StoreError::Unavailable(why));
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn write(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let until = Instant::now() + self.options.patience;
        let _place = self.place(until).await?;
        let request = convert::commit(batch);
        // Whether an attempt may have reached the server and its answer not us.
        let mut open = false;
        loop {
            let again = request.clone();
            let failure = match self.attempt(until, |mut client| async move { client.commit(again).await }).await {
                Ok(proto::CommitResponse { refusal: None }) => return Ok(()),
                Ok(proto::CommitResponse { refusal: Some(refusal) }) => match convert::error(refusal) {
                    // The server does not know, for its store did not: it can be asked again.
                    StoreError::Unknown(why) => Failure::Lost(why),
                    StoreError::Unavailable(why) | StoreError::Full(why) if open => Failure::Unsent(why),
                    error => return Err(error),
                },
                Err(failure) => failure,
            };
            let why = match failure {
                Failure::Refused(why) if open => return Err(StoreError::Unknown(why)),
                Failure::Refused(why) => return Err(StoreError::Unavailable(why)),
                Failure::Unsent(why) => why,
                Failure::Lost(why) => {
                    open = true;
                    why
                }
            };
            if Instant::now() >= until {
                return Err(if open { StoreError::Unknown(why) } else { StoreError::Unavailable(why) });
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn place(&self, until: Instant) -> Result<tokio::sync::SemaphorePermit<'_>, StoreError> {
        match timeout_at(until, self.room.acquire()).await {
            Ok(place) => Ok(place.expect("never closed")),
            Err(_) => Err(StoreError::Unavailable("too many calls wait for the store".to_owned())),
        }
    }
}

impl Store for RemoteStore {
    fn get(&self, key: Bytes) -> BoxFuture<'_, Result<Option<Bytes>, StoreError>> {
        async move {
            let call = |mut client: Client| {
                let request = proto::GetRequest { key: key.clone() };
                async move { client.get(request).await }
            };
            let proto::GetResponse { value, refusal } = self.read(call).await?;
            refusal.map_or(Ok(value), |refusal| Err(convert::error(refusal)))
        }
        .boxed()
    }

    fn scan(&self, from: Bound<Bytes>, to: Bytes, limit: usize) -> BoxFuture<'_, Result<Page, StoreError>> {
        async move {
            let request = convert::scan(from, to, limit);
            let call = |mut client: Client| {
                let request = request.clone();
                async move { client.scan(request).await }
            };
            let mut response: proto::ScanResponse = self.read(call).await?;
            match response.refusal.take() {
                Some(refusal) => Err(convert::error(refusal)),
                None => Ok(convert::read_page(response)),
            }
        }
        .boxed()
    }

    fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<(), StoreError>> {
        self.write(batch).boxed()
    }
}
