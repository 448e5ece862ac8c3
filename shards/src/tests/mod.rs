//! Tests of whole shards over a store that may fail. A random one prints its seed and takes one from `SHARDPLANE_SEED`.

mod cluster;
mod faulty;
mod informers;
mod lists;
mod model;
mod moves;
mod ownership;
mod pods;
mod services;
mod verbs;
mod watches;
