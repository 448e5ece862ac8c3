//! The gateway over real shards.

mod backups;
mod clusters;
mod forms;
mod lists;
mod logs;
mod moves;
mod openapi;
mod passing;
mod paths;
mod protobuf;
mod serving;
mod sharding;
mod translating;
mod watches;
