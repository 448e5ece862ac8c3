//! The store's words and the protocol's.

use std::ops::Bound;

use ::store::{Batch, BatchId, Fence, Page, StoreError, Write};
use bytes::Bytes;
use tonic::Status;

use crate::proto::store as proto;
use proto::refusal::Why;
use proto::write::Change;

pub(super) fn refusal(error: StoreError) -> proto::Refusal {
    let why = match error {
        StoreError::Fenced { key } => Why::Fenced(key),
        StoreError::Unavailable(why) => Why::Unavailable(why),
        StoreError::Unknown(why) => Why::Unknown(why),
        StoreError::Broken(why) => Why::Broken(why),
        StoreError::TooLarge(why) => Why::TooLarge(why),
        StoreError::Full(why) => Why::Full(why),
    };
    proto::Refusal { why: Some(why) }
}

pub(super) fn error(refusal: proto::Refusal) -> StoreError {
    match refusal.why {
        Some(Why::Fenced(key)) => StoreError::Fenced { key },
        Some(Why::Unavailable(why)) => StoreError::Unavailable(why),
        Some(Why::Unknown(why)) => StoreError::Unknown(why),
        Some(Why::Broken(why)) => StoreError::Broken(why),
        Some(Why::TooLarge(why)) => StoreError::TooLarge(why),
        Some(Why::Full(why)) => StoreError::Full(why),
        // A newer server's: the worst that may be meant.
        None => StoreError::Unknown("the store refused for a reason that this version does not know".to_owned()),
    }
}

pub(super) fn commit(batch: Batch) -> proto::CommitRequest {
    let fence = |fence: Fence| proto::Fence { key: fence.key, expected: fence.expected };
    let write = |write: Write| match write {
        Write::Put(key, value) => proto::Write { key, change: Some(Change::Put(value)) },
        Write::Delete(key) => proto::Write { key, change: Some(Change::Delete(true)) },
        Write::DeleteRange(from, to) => proto::Write { key: from, change: Some(Change::DeleteBefore(to)) },
    };
    proto::CommitRequest {
        id: Bytes::copy_from_slice(&batch.id.0.to_be_bytes()),
        fences: batch.fences.into_iter().map(fence).collect(),
        writes: batch.writes.into_iter().map(write).collect(),
        adds: batch.adds,
    }
}

pub(super) fn read_batch(request: proto::CommitRequest) -> Result<Batch, Status> {
    let fences = request.fences.into_iter().map(|fence| Fence { key: fence.key, expected: fence.expected });
    let write = |write: proto::Write| match write.change {
        Some(Change::Put(value)) => Ok(Write::Put(write.key, value)),
        Some(Change::Delete(_)) => Ok(Write::Delete(write.key)),
        Some(Change::DeleteBefore(to)) => Ok(Write::DeleteRange(write.key, to)),
        None => Err(Status::invalid_argument("a write of a kind that this version does not know")),
    };
    let id =
        <[u8; 16]>::try_from(&request.id[..]).map_err(|_| Status::invalid_argument("a batch's id has 16 bytes"))?;
    Ok(Batch {
        id: BatchId(u128::from_be_bytes(id)),
        fences: fences.collect(),
        writes: request.writes.into_iter().map(write).collect::<Result<_, _>>()?,
        adds: request.adds,
    })
}

pub(super) fn scan(from: Bound<Bytes>, to: Bytes, limit: usize) -> proto::ScanRequest {
    let (from, behind) = match from {
        Bound::Unbounded => (None, false),
        Bound::Included(key) => (Some(key), false),
        Bound::Excluded(key) => (Some(key), true),
    };
    proto::ScanRequest { from, behind, to, limit: limit as u64 }
}

pub(super) fn read_from(request: &mut proto::ScanRequest) -> Bound<Bytes> {
    match request.from.take() {
        None => Bound::Unbounded,
        Some(key) if request.behind => Bound::Excluded(key),
        Some(key) => Bound::Included(key),
    }
}

pub(super) fn page(page: Page) -> proto::ScanResponse {
    let pairs = page.pairs.into_iter().map(|(key, value)| proto::Pair { key, value }).collect();
    proto::ScanResponse { pairs, more: page.more, refusal: None }
}

pub(super) fn read_page(response: proto::ScanResponse) -> Page {
    let pairs = response.pairs.into_iter().map(|pair| (pair.key, pair.value)).collect();
    Page { pairs, more: response.more }
}
