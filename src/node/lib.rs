//! Wiring: the processes that make a cluster. A master (`server`), the balancer in front of several,
//! and the commands that run all of them on one machine (`up`, `down`).

pub mod address;
mod agent;
pub mod balancer;
pub mod behaviour;
mod cli;
pub mod cluster;
pub mod controllers;
mod data_dir;
mod failure;
pub mod https;
pub mod identity;
mod init;
mod kubeconfig;
mod master;
pub mod node_token;
mod open_files;
pub mod pki;
mod rules;
mod service_ranges;
mod sizes;
pub mod token;
pub mod up;

pub use cli::main;
