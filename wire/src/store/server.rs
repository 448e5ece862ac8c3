//! Serving a store.

use std::sync::Arc;

use ::store::SharedStore;
use tokio::sync::Semaphore;
use tonic::service::Routes;
use tonic::{Request, Response, Status};

use super::convert;
use crate::proto::store as proto;
use crate::serve::only;
use crate::{MESSAGE_BYTES, Role};

/// Commits at once, over all clients: no more than these, as large as they may be, are held in memory.
const COMMITS: usize = 64;

/// A store, as it is served to other processes.
pub struct StoreService {
    store: SharedStore,
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
    /// Serves `store`.
    pub fn new(store: SharedStore) -> Arc<Self> {
        Arc::new(Self { store, room: Semaphore::new(COMMITS) })
    }
}

#[tonic::async_trait]
impl proto::store_server::Store for StoreService {
    async fn get(&self, request: Request<proto::GetRequest>) -> Result<Response<proto::GetResponse>, Status> {
        let key = request.into_inner().key;
        Ok(Response::new(match self.store.get(key).await {
            Ok(value) => proto::GetResponse { value, refusal: None },
            Err(error) => proto::GetResponse { value: None, refusal: Some(convert::refusal(error)) },
        }))
    }

    async fn scan(&self, request: Request<proto::ScanRequest>) -> Result<Response<proto::ScanResponse>, Status> {
        let mut request = request.into_inner();
        let from = convert::read_from(&mut request);
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        Ok(Response::new(match self.store.scan(from, request.to, limit).await {
            Ok(page) => convert::page(page),
            Err(error) => proto::ScanResponse { refusal: Some(convert::refusal(error)), ..Default::default() },
        }))
    }

    async fn commit(&self, request: Request<proto::CommitRequest>) -> Result<Response<proto::CommitResponse>, Status> {
        let _place = self.room.acquire().await.expect("never closed");
        let batch = convert::read_batch(request.into_inner())?;
        let refusal = self.store.commit(batch).await.err().map(convert::refusal);
        Ok(Response::new(proto::CommitResponse { refusal }))
    }
}
