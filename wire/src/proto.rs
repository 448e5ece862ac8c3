//! What `proto/*.proto` says, as Rust.

#![allow(missing_docs, reason = "the .proto files say what it means")]
#![allow(clippy::all, clippy::pedantic, reason = "made by a machine")]

/// The store's protocol.
pub mod store {
    tonic::include_proto!("shardplane.store.v1");
}

/// A shard's protocol.
pub mod shard {
    tonic::include_proto!("shardplane.shard.v1");
}

/// The slot map's protocol.
pub mod membership {
    tonic::include_proto!("shardplane.membership.v1");
}
