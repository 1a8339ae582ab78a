//! `kctl`: the admin CLI. Talks to the masters over HTTPS only.
//!
//! One file per verb, and two tables of them: [`cluster::Verb`] for the masters, [`verbs::Verb`] for objects.

mod catalog;
mod cli;
mod cluster;
mod describe;
mod dial;
mod explain;
mod failure;
#[cfg(test)]
mod fake;
mod flags;
mod jsonpath;
mod manifest;
mod masters;
mod output;
mod patch;
mod pods;
mod progress;
mod screen;
mod server;
mod session;
mod table;
mod targets;
mod terminal;
mod verbs;
mod workload;
mod yaml;

// kube needs one of its crate's versions chosen; nothing here uses the types themselves.
use k8s_openapi as _;

pub use cli::main;
