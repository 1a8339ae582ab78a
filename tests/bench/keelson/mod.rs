//! The product, seen from outside: its binaries, its kubeconfig, its API.

pub mod cluster;
pub mod config_maps;
pub mod http;
pub mod pod_watch;
pub mod workloads;
