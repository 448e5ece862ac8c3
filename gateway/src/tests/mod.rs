//! The gateway over real shards.

mod lists;
mod logs;
mod paths;
mod protobuf;
mod serving;
mod sharding;
mod watches;
