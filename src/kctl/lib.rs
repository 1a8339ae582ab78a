//! `kctl`: the admin CLI. Talks to the masters over HTTPS only.
//!
//! One file per verb, one table of them: [`cluster::Verb`].

mod cli;
mod cluster;
mod masters;
mod table;

// kube needs one of its crate's versions chosen; nothing here uses the types themselves.
use k8s_openapi as _;

pub use cli::main;
