//! Tests of whole shards over a store that may fail. A random one prints its seed and takes one from `SHARDPLANE_SEED`.

mod audit;
mod cluster;
mod definitions;
mod faulty;
mod floors;
mod full;
mod informers;
mod lists;
mod lost;
mod model;
mod moves;
mod over_the_wire;
mod ownership;
mod pods;
mod quota;
mod restarts;
mod roles;
mod rpc;
mod services;
mod takeover;
mod verbs;
mod watches;
mod wire;
