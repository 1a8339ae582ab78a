//! The kubelet of one node: from pods that should run to containers in an engine.
//!
//! # Flow
//! [`Handle::desired`] puts a pod into the mailbox of its worker (`worker.rs`), which only ever holds the newest. The
//! worker looks at what the engine shows of the pod, makes a [`plan`], takes its steps and looks again. Events of the
//! engine, results of hooks, probes and pulls, new objects and times that come wake it; nothing else decides.
//!
//! # Guarantees
//! - A restarted kubelet adopts what runs and starts nothing twice: all that it must remember is in names and labels.
//! - An exit code is reported before the container that had it is removed.
//! - A pod with another uid is another pod, whatever its name.
//!
//! # Assumptions
//! Time may jump on the node; waits that are counted from an engine's times may then be longer or shorter once.

pub mod backoff;
pub mod config;
mod credentials;
pub mod engine;
mod image_name;
mod kubelet;
pub mod limits;
pub mod names;
pub mod outside;
pub mod pause;
pub mod plan;
pub mod pod;
pub mod probe;
mod prober;
pub mod reach;
pub mod records;
pub mod status;
#[cfg(test)]
mod testing;
mod time;
mod worker;

pub use config::NodeFacts;
pub use kubelet::{Handle, Kubelet, Options};
pub use pod::{DesiredPod, NotAPod, PodKey};
