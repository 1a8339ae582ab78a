//! Which node a pod gets.
//!
//! # Flow
//! One controller with one key. Each plan is a round: a [`Snapshot`](snapshot::Snapshot) of the nodes is taken from
//! World, the pods that wait are looked at in order, each gets the best of the nodes that pass the [`filters`] by the
//! [`scores`], and takes its place in the snapshot before the next one is looked at. The plan holds a binding for each
//! pod that got a node, and the reason for each that got none.
//!
//! # Guarantees
//! - A round is a pure function of World: the same World gives the same plan.
//! - What is bound passes all filters in the snapshot as it was then; no node is given more than it has.
//! - Reasons are those of the snapshot after the round.
//!
//! # Caveats
//! A pod that wants to be near one of a later place in the order gets its node in the round after.

mod case;
mod class;
mod default_spread;
mod explain;
mod filters;
mod limits;
mod message;
mod plan;
mod round;
mod scores;
mod snapshot;
mod tally;
mod terms;
#[cfg(test)]
mod tests;
mod wakes;

pub use explain::explain;
pub use plan::SCHEDULER;
