//! What a container is given: command, environment, files of volumes.
//!
//! # Flow
//! 1. [`references`] says which ConfigMaps and Secrets a pod needs, and [`tokens()`] which tokens its volumes hold.
//!    Whoever calls fetches the objects into [`Objects`] and makes a [`PodContext`] of everything that decides.
//! 2. [`Volumes::set_up`] makes the volumes that containers mount, and says in [`Mounts`] where they stand.
//! 3. For each container, [`environment()`] gives its variables, [`command`] what of its command is made with
//!    them, and [`Mounts::of_container`] its mounts, with subPaths resolved.
//! 4. While the pod runs, [`Volumes::update`] brings the files up to date: when an object or the pod's metadata
//!    changed, and at [`Mounts::renew_at_ms`].
//! 5. When all its containers are gone, [`Volumes::tear_down`] removes everything.
//!
//! # Guarantees
//! - Plans are pure: environment, command, payloads and what each volume is to be come from data alone.
//! - Files of a volume change all at once, and are left alone where they are as they should be.
//! - Nothing follows what a container puts in its volumes out of them.
//!
//! # Errors
//! [`Error`] has Kubernetes' texts. One of a container is the message of `CreateContainerConfigError`, a
//! [`VolumeError`] that of the Event `FailedMount`; both are tried again, for what is missing may come.

mod disk;
mod environment;
mod error;
mod expand;
mod fields;
mod host_path;
mod mountinfo;
mod mounts;
mod ownership;
mod payload;
mod plan;
mod pod;
mod references;
mod remove;
mod services;
mod subpath;
mod tokens;
mod volumes;
mod writer;

pub use environment::{Environment, INVALID_VARIABLE_NAMES, Skipped, command, environment};
pub use error::{Error, VolumeError};
pub use expand::expand;
pub use mounts::{ContainerMount, Mounts, Propagation, Standing};
pub use pod::{NodeFacts, Objects, PodContext};
pub use references::{References, references};
pub use tokens::{Token, TokenRequest, TokenSource, renew_at_ms, tokens};
pub use volumes::Volumes;
