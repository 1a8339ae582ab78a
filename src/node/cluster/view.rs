//! What masters tell about the cluster over HTTP. The paths are in [`super::http`]; a change that old
//! clients cannot read gets a new version in the path.

use base::ids::NodeId;
use serde::{Deserialize, Serialize};

/// `GET /keelson/v1/cluster`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClusterView {
    /// The cluster's id, 16 hex digits.
    pub cluster: String,
    /// The leader's name; `null` while nobody leads.
    pub leader: Option<String>,
    /// The term this master is in.
    pub term: u64,
    /// All members, in order of their names.
    pub members: Vec<MemberView>,
}

/// `GET /keelson/v1/masters`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MastersView {
    /// The API of each: `https://HOST:PORT`.
    pub masters: Vec<String>,
    /// The leader's; `null` while nobody leads.
    pub leader: Option<String>,
}

/// One member, as another sees it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its name.
    pub name: String,
    /// `https://HOST:PORT`
    pub api: String,
    /// What it does in Raft.
    pub role: Role,
    /// The log index it applied last; `null` when it does not answer.
    pub applied: Option<u64>,
    /// How many entries that is behind the leader; `null` when either does not answer.
    pub lag: Option<u64>,
    /// The 99th percentile of its log's disk syncs in the last minute, in milliseconds; `null` when it
    /// does not answer or has not synced.
    pub sync_p99_ms: Option<f64>,
}

/// What a member does in Raft.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Orders the log.
    Leader,
    /// Counts towards a quorum.
    Voter,
    /// Catches up.
    Learner,
}

/// `GET /keelson/v1/cluster/hash?index=N`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HashView {
    /// The log index.
    pub index: u64,
    /// The hash of State at it, 32 hex digits.
    pub hash: String,
}

/// `POST /keelson/v1/tokens` and `POST /keelson/v1/node-tokens`
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IssuedToken {
    /// For `keelson server --join ADDRESS --token TOKEN`, or for `keelson agent --server ADDRESS --token TOKEN`.
    pub token: String,
    /// When it ends. Milliseconds since the epoch.
    pub expires_ms: u64,
}

/// Body of `POST /keelson/v1/join`.
#[derive(Clone, Serialize, Deserialize)]
pub struct JoinRequest {
    /// Proves that the sender may join.
    pub token: crate::token::Credential,
    /// Names this attempt: repeated, it gets the same answer. 32 hex digits.
    pub attempt: String,
    /// The new master's name.
    pub name: String,
    /// `HOST:PORT` of its API.
    pub api: crate::address::HostPort,
    /// `HOST:PORT` of its peer transport.
    pub peer: crate::address::HostPort,
}

/// Answer to `POST /keelson/v1/join`.
#[derive(Serialize, Deserialize)]
pub struct JoinReply {
    /// The cluster's id.
    pub cluster: String,
    /// The new master's id in Raft.
    pub node: NodeId,
    /// The authority's certificate, PEM.
    pub authority: String,
    /// The authority's key, PEM: each master can sign for the next.
    pub authority_key: String,
}
