//! The gateway over real shards.

mod lists;
mod logs;
mod paths;
mod serving;
mod watches;
