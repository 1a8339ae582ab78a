//! Who takes part.

use std::collections::BTreeMap;

use base::ids::NodeId;

/// One master as the others know it. Part of the replicated membership.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Member {
    /// Its name, unique among members: `master-1`.
    pub name: String,
    /// `HOST:PORT` of its peer transport.
    pub peer: String,
    /// `https://HOST:PORT` of its API.
    pub api: String,
}

/// The members at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Membership {
    /// All of them, voters and learners.
    pub members: BTreeMap<NodeId, Member>,
    /// Ids of those that vote (in a joint configuration: of either half).
    pub voters: std::collections::BTreeSet<NodeId>,
    /// Whether a change of the voters is half done: a joint configuration.
    pub is_joint: bool,
}
