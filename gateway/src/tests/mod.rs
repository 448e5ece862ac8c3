//! The gateway over real shards.

mod clusters;
mod lists;
mod logs;
mod moves;
mod paths;
mod protobuf;
mod serving;
mod sharding;
mod watches;
