//! openraft wired to our storage and our transport. Moves opaque bytes: it knows neither transactions
//! nor Kubernetes.
//!
//! No type of openraft leaves this crate: wire and disk formats are hand-written and versioned
//! ([`codec`]), so that an upgrade of the library can never change a byte.
//!
//! # Flow
//! ```text
//! Handle::append ──► openraft ──► log (cache, group commit) ──► storage::LogStore
//!                       │  └────► network ──► Transport ~~~~► FrameService (peer) ──► openraft there
//!                       └───────► adapter ──► Machine::apply
//! ```

// The machine that unit tests share with the tests of the tests folder names the crate.
#[cfg(test)]
extern crate self as raft;

mod adapter;
pub mod codec;
#[cfg(test)]
#[path = "tests/common/mod.rs"]
mod common;
mod failure;
pub mod handle;
pub mod limits;
mod log;
pub mod machine;
pub mod member;
mod network;
mod peer;
#[cfg(test)]
mod races;
mod runtime;
mod snapshots;
#[cfg(test)]
mod soak;
#[cfg(test)]
mod suite;
pub mod transport;
mod types;
mod watchdog;

pub use handle::{
    AppendError, CallError, ChangeError, Handle, InitializeError, Leadership, MemberStatus, Options,
    ReadError, Role, SpaceCheck, StartError, Timing, TransferError, call, start,
};
pub use machine::{Entry, Machine, MachineError, Payload, Position, Restored};
pub use member::{Member, Membership};
pub use transport::{FrameService, Lane, NoService, PeerService, Transport, TransportError};
