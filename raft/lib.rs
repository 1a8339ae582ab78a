//! openraft wired to our storage and our transport. Moves opaque bytes: it knows neither transactions
//! nor Kubernetes.
//!
//! No type of openraft leaves this crate: wire and disk formats are hand-written and versioned
//! ([`codec`]), so that an upgrade of the library can never change a byte.

pub mod codec;
pub mod handle;
pub mod limits;
pub mod log;
pub mod machine;
pub mod member;
pub mod transport;

pub use handle::{AppendError, Handle, Leadership, MemberStatus, Options, ReadError, start};
pub use machine::{Entry, Machine, MachineError, Payload, Position, Restored};
pub use member::{Member, Membership};
pub use transport::{PeerService, Transport};
