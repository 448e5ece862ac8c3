//! The gateway over real shards.

mod backups;
mod clusters;
mod forms;
mod lists;
mod logs;
mod moves;
mod openapi;
mod paths;
mod protobuf;
mod serving;
mod sharding;
mod watches;
