//! The gateway over real shards.

mod lists;
mod paths;
mod serving;
mod watches;
