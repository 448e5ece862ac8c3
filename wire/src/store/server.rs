//! Serving a store.

use std::sync::Arc;
use std::time::Duration;

use ::store::{Batch, SERVER_KEYS, SharedStore, StoreError, Write};
use api::ambient::Ambient;
use bytes::Bytes;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::outcomes::{self, Outcome};
use super::{client, convert};
use crate::proto::store as proto;
use crate::serve::only;
use crate::{MESSAGE_BYTES, Role};

/// Commits at once, over all clients: what waits beyond them has been read from the network, and no more is.
const COMMITS: usize = 64;
const SWEEP_EVERY: Duration = Duration::from_secs(600);

/// A store, as it is served to other processes.
pub struct StoreService {
    store: SharedStore,
    ambient: Ambient,
    room: Semaphore,
}

/// What [`crate::serve::serve`] needs to serve a store to shards and to the operator's commands.
pub fn routes(service: Arc<StoreService>) -> Routes {
    let server = proto::store_server::StoreServer::from_arc(service)
        .max_decoding_message_size(MESSAGE_BYTES)
        .max_encoding_message_size(MESSAGE_BYTES);
    Routes::new(tonic::service::interceptor::InterceptedService::new(server, only(&[Role::Shard, Role::Admin])))
}

impl StoreService {
    /// Serves `store`, whose keys from [`SERVER_KEYS`] on are then its own.
    pub fn new(store: SharedStore, ambient: Ambient) -> Arc<Self> {
        Arc::new(Self { store, ambient, room: Semaphore::new(COMMITS) })
    }

    /// Drops outcomes of batches that nobody will ask for any more, now and then, until `shutdown`.
    pub async fn sweep(&self, shutdown: CancellationToken) {
        loop {
            match outcomes::sweep(&self.store, &self.ambient).await {
                Ok(0) => {}
                Ok(dropped) => tracing::debug!(dropped, "dropped old outcomes of batches"),
                Err(error) => tracing::warn!(%error, "old outcomes of batches could not be dropped"),
            }
            tokio::select! {
                () = tokio::time::sleep(SWEEP_EVERY) => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    pub(super) async fn apply(
        &self,
        batch: Batch,
        again: bool,
        forget: Vec<::store::BatchId>,
    ) -> Result<(), StoreError> {
        let id = batch.id;
        batch.check()?;
        if again && let Some(outcome) = outcomes::of(&self.store, id).await? {
            return settled(outcome);
        }
        let mut recorded = batch;
        outcomes::record(&mut recorded, forget.into_iter(), &self.ambient);
        match self.store.commit(recorded).await {
            Err(StoreError::Fenced { key }) => {
                let known = match outcomes::of(&self.store, id).await? {
                    None if again => Some(outcomes::refuse(&self.store, id, &self.ambient).await?),
                    known => known,
                };
                match known {
                    Some(Outcome::Applied) => Ok(()),
                    _ => Err(StoreError::Fenced { key }),
                }
            }
            other => other,
        }
    }
}

fn settled(outcome: Outcome) -> Result<(), StoreError> {
    match outcome {
        Outcome::Applied => Ok(()),
        Outcome::Refused => Err(StoreError::Fenced { key: "when it was asked for before".to_owned() }),
    }
}

/// The end of a range as clients see it: the server's own keys are not there.
fn visible(to: Bytes) -> Bytes {
    if to.as_ref() > SERVER_KEYS { Bytes::from_static(SERVER_KEYS) } else { to }
}

/// Refuses writes to the server's own keys, and ends ranges before them.
fn keep_out(batch: &mut Batch) -> Result<(), Status> {
    let own = |key: &[u8]| key.starts_with(SERVER_KEYS);
    for write in &mut batch.writes {
        match write {
            Write::Put(key, _) | Write::Delete(key) if own(key) => {
                return Err(Status::invalid_argument("keys that begin with ff ff are the server's own"));
            }
            Write::DeleteRange(_, to) => *to = visible(std::mem::take(to)),
            _ => {}
        }
    }
    Ok(())
}

#[tonic::async_trait]
impl proto::store_server::Store for StoreService {
    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let key = request.into_inner().key;
        let result = if key.starts_with(SERVER_KEYS) { Ok(None) } else { self.store.get(key).await };
        Ok(Response::new(match result {
            Ok(value) => proto::GetResponse { value, refusal: None },
            Err(error) => proto::GetResponse { value: None, refusal: Some(convert::refusal(error)) },
        }))
    }

    async fn scan(&self, request: Request<proto::ScanRequest>) -> Result<Response<proto::ScanResponse>, Status> {
        let mut request = request.into_inner();
        let from = convert::read_from(&mut request);
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let result = self.store.scan(from, visible(request.to), limit).await;
        Ok(Response::new(match result {
            Ok(page) => convert::page(page),
            Err(error) => proto::ScanResponse { refusal: Some(convert::refusal(error)), ..Default::default() },
        }))
    }

    async fn commit(&self, request: Request<proto::CommitRequest>) -> Result<Response<proto::CommitResponse>, Status> {
        let request = request.into_inner();
        let again = request.again;
        let forget = request.forget.iter().map(|id| convert::read_id(id)).collect::<Result<Vec<_>, _>>()?;
        if forget.len() > client::FORGET {
            return Err(Status::invalid_argument("too many batches to forget at once"));
        }
        let mut batch = convert::read_batch(request)?;
        keep_out(&mut batch)?;
        let _place = self.room.acquire().await.expect("never closed");
        let refusal = self.apply(batch, again, forget).await.err().map(convert::refusal);
        Ok(Response::new(proto::CommitResponse { refusal }))
    }
}
