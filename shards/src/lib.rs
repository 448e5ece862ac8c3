//! Hash slots, the sequencer, the commit log, admission, the registry, watches: who decides, remembers and publishes.
//!
//! [`service::ShardService`] is what a gateway sees of a shard; one process calls it as a function, several speak it over
//! gRPC. Start reading there.

pub mod service;
