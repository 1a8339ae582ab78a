//! Nodes without containers, thousands in one process.
//!
//! # Flow
//! `nodes.rs` registers the nodes and renews a lease for each. `pods.rs` follows all pods that have a node with one
//! watch, keeps what it needs of those of its own nodes (`pod.rs`), asks the pure plan what comes next
//! (`plan.rs`), and tells the masters with bodies made once for each sort of pod (`template.rs`).
//!
//! # Guarantees
//! - Requests in flight are bounded, and so is what is kept: some hundred bytes for a pod, a row for a node.
//! - A pod that cannot be written is tried again, later and later, until it can or is gone.
//! - A process that starts again takes over the nodes and pods that it finds.
//!
//! # Annotations
//! A test says by annotations of a pod what becomes of it: `hollow.keelson.io/succeed-after: 5s`,
//! `hollow.keelson.io/fail-after: 1m`, `hollow.keelson.io/not-ready: "true"`. What ends is started again where the
//! `restartPolicy` says so. Times count from when this process saw the pod run.

mod addresses;
mod nodes;
mod plan;
mod pod;
mod pods;
mod template;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use anyhow::ensure;
use base::shutdown::Shutdown;
use client::Client;

pub use nodes::REPORT_INTERVAL;
pub use pods::WRITES_IN_FLIGHT_MAX;

/// How long the Lease of a node holds that nobody asked otherwise of, as a kubelet's.
pub const LEASE_SECONDS: u32 = 40;

/// Nodes of one process: as many as there are addresses for, and far more than a cluster has.
pub const NODES_MAX: usize = 100_000;

/// What the nodes are.
#[derive(Clone)]
pub struct Options {
    /// How the masters are reached: as an administrator, since it is many nodes.
    pub client: Client,
    /// How many.
    pub nodes: usize,
    /// They are called `PREFIX-0` and so on.
    pub name_prefix: String,
    /// Labels besides those that every node has.
    pub labels: BTreeMap<String, String>,
    /// Cores of each.
    pub cores: u32,
    /// Memory of each, GiB.
    pub memory_gib: u32,
    /// Pods that fit on each.
    pub pods: u32,
    /// How long the Lease of each holds.
    pub lease_seconds: u32,
}

impl Options {
    /// Nodes of a usual size.
    pub fn new(client: Client, nodes: usize) -> Self {
        Self {
            client,
            nodes,
            name_prefix: "hollow".to_owned(),
            labels: BTreeMap::new(),
            cores: 16,
            memory_gib: 64,
            pods: 110,
            lease_seconds: LEASE_SECONDS,
        }
    }

    /// The name of a node.
    pub(crate) fn name(&self, index: usize) -> String {
        format!("{}-{index}", self.name_prefix)
    }

    /// Which of the nodes has this name.
    pub(crate) fn index(&self, name: &str) -> Option<usize> {
        let digits = name.strip_prefix(&self.name_prefix)?.strip_prefix('-')?;
        let index: usize = digits.parse().ok()?;
        (index < self.nodes && self.name(index) == name).then_some(index)
    }
}

/// Runs the nodes until the shutdown. They stay registered: whoever watches sees their leases end.
///
/// # Errors
/// When there are to be no nodes, or too many.
pub async fn run(options: Options, shutdown: Shutdown) -> anyhow::Result<()> {
    ensure!(
        (1..=NODES_MAX).contains(&options.nodes),
        "{} hollow nodes cannot be run: ask for 1 to {NODES_MAX}",
        options.nodes
    );
    tokio::join!(nodes::run(&options, shutdown.clone()), pods::run(&options, shutdown));
    Ok(())
}
