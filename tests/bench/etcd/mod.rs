//! The reference: an etcd of three members, and a client for it.

pub mod client;
pub mod cluster;
pub mod proto;
pub mod reference;
