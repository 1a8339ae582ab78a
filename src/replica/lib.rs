//! One master's replica of the cluster: State behind the log, proposals in, Changes out.
//!
//! Sits between raft (opaque bytes) and the API server (verbs): implements [`raft::Machine`] over
//! [`state::apply()`] and the version store, batches and forwards proposals, keeps recent States, and
//! feeds watches.
//!
//! ```text
//! propose ──> proposals ──(leader: appender │ follower: forward)──> raft log
//!                                                                     │ committed
//! waiters <── outcomes ── machine <───────────────────────────────────┘
//! watches <── feeds ────────┤
//! reads   <── moments ──────┤
//! disk    <── persister ────┘   (write-behind, never past the synced log)
//! ```

pub mod appender;
pub mod entrance;
pub mod exact;
pub mod feed;
pub mod history;
mod lane;
pub mod limits;
pub mod machine;
pub mod moment;
mod peer;
mod persist;
pub mod propose;
pub mod reads;
pub mod replica;
mod restore;
pub mod retention;
pub mod tap;
#[cfg(test)]
mod testing;
mod upkeep;
mod waiters;

pub use entrance::{Entrance, EntranceError};
pub use exact::{Gone, View, ViewError};
pub use feed::{Event, Watch, WatchEnd};
pub use machine::ReplicaMachine;
pub use moment::Moment;
pub use peer::PeerStatus;
pub use propose::{Committed, ProposeError};
pub use reads::{AtLeastError, Behind, Unavailable};
pub use replica::{OpenError, Opened, Options, Replica, open};
