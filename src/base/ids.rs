//! Identifiers shared by every layer.

use std::fmt;
use std::str::FromStr;

/// A master's identity in Raft. Allocated from the log, never reused (see docs/decisions).
pub type NodeId = u64;

/// A cluster's identity: 64 random bits made at init, written as 16 hex digits.
///
/// It stands in every peer handshake, data directory and name left on a host, so that two clusters
/// on one machine never touch each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(pub u64);

impl ClusterId {
    /// A fresh identity.
    pub fn random() -> Self {
        Self(crate::env::random_u64())
    }

    /// The first 6 hex digits: short enough for an interface name (15 bytes in Linux).
    pub fn short(self) -> String {
        self.to_string()[..6].to_owned()
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Text that is not the 16 hex digits of a [`ClusterId`].
#[derive(Debug, thiserror::Error)]
#[error("a cluster id is 16 hex digits")]
pub struct InvalidClusterId;

impl FromStr for ClusterId {
    type Err = InvalidClusterId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() != 16 {
            return Err(InvalidClusterId);
        }
        u64::from_str_radix(text, 16).map(Self).map_err(|_| InvalidClusterId)
    }
}

/// Names one attempt to change the cluster, chosen by the master that took the request.
///
/// Applying an id that State remembers returns its recorded outcome, so a retry after an unknown
/// outcome never applies twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u128);

/// Milliseconds since the epoch fit into so many bits until the year 10889.
const TIME_BITS: u32 = 48;

impl RequestId {
    /// A fresh id: 48 bits of wall-clock milliseconds, then 80 random ones. Ids that are made together
    /// lie together in ordered maps, which makes remembering them several times cheaper.
    pub fn fresh() -> Self {
        let random = crate::env::random_u128() >> TIME_BITS;
        Self(u128::from(crate::env::wall_ms()) << (u128::BITS - TIME_BITS) | random)
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
