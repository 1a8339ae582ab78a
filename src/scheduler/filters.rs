//! What a node must be like for a pod: a table, one file for each row.
//!
//! The rows stand in the order in which Kubernetes asks them: the first that says no gives the reason.

use std::borrow::Cow;

use crate::case::Case;
use crate::snapshot::Snapshot;

pub mod inter_pod_affinity;
pub mod node_affinity;
pub mod node_name;
pub mod node_ports;
pub mod node_resources_fit;
pub mod node_unschedulable;
pub mod pod_topology_spread;
pub mod taint_toleration;

/// Why a node will not do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Misfit {
    /// In Kubernetes' words.
    pub reasons: Vec<Cow<'static, str>>,
    /// Whether it would do if pods left it.
    pub is_resolvable: bool,
}

impl Misfit {
    /// One that lasts whatever pods leave.
    pub fn lasting(reason: &'static str) -> Self {
        Self { reasons: vec![reason.into()], is_resolvable: false }
    }

    /// One that is over when pods leave.
    pub fn resolvable(reason: &'static str) -> Self {
        Self { reasons: vec![reason.into()], is_resolvable: true }
    }
}

/// What a filter looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// At the node and what is on it.
    Alone,
    /// At pods of other nodes as well.
    Around,
}

/// A row.
pub struct Filter {
    /// What Kubernetes calls it.
    pub name: &'static str,
    /// What it looks at.
    pub looks: Looks,
    /// Whether a pod may have a seat.
    pub check: fn(&Snapshot<'_>, &Case, usize) -> Result<(), Misfit>,
}

const fn row(
    name: &'static str,
    looks: Looks,
    check: fn(&Snapshot<'_>, &Case, usize) -> Result<(), Misfit>,
) -> Filter {
    Filter { name, looks, check }
}

/// All of them.
pub const FILTERS: &[Filter] = &[
    row("NodeName", Looks::Alone, node_name::check),
    row("NodeUnschedulable", Looks::Alone, node_unschedulable::check),
    row("TaintToleration", Looks::Alone, taint_toleration::check),
    row("NodeAffinity", Looks::Alone, node_affinity::check),
    row("NodePorts", Looks::Alone, node_ports::check),
    row("NodeResourcesFit", Looks::Alone, node_resources_fit::check),
    row("PodTopologySpread", Looks::Around, pod_topology_spread::check),
    row("InterPodAffinity", Looks::Around, inter_pod_affinity::check),
];

/// Whether a seat passes those that look at nothing else.
pub fn fits_alone(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> bool {
    let mut alone = FILTERS.iter().filter(|filter| filter.looks == Looks::Alone);
    alone.all(|filter| (filter.check)(snapshot, case, seat).is_ok())
}

/// The first filter that a seat does not pass, and why.
pub fn misfit(snapshot: &Snapshot<'_>, case: &Case, seat: usize) -> Option<(&'static str, Misfit)> {
    FILTERS.iter().find_map(|filter| Some((filter.name, (filter.check)(snapshot, case, seat).err()?)))
}
