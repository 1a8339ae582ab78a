//! What every other crate stands on: the environment (time, randomness, spawning), ids, shutdown,
//! backoff, private files, deadlines of writes, the host's resolvers, TLS that believes everybody and telemetry. Knows
//! nothing of Kubernetes, Raft or storage.

pub mod backoff;
pub mod env;
pub mod files;
pub mod ids;
pub mod resolv_conf;
pub mod shutdown;
pub mod stall;
pub mod telemetry;
pub mod unverified;
