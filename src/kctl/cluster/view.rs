//! The masters' answers, as far as `kctl` uses them.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::masters::{Answer, Masters, MastersError};

/// `GET /keelson/v1/cluster`, and the output of `kctl cluster status -o json`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Cluster {
    /// The leader's name.
    pub leader: Option<String>,
    /// The term.
    pub term: u64,
    /// In order of their names.
    pub members: Vec<Member>,
}

/// One of the masters.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// `https://HOST:PORT`
    pub api: String,
    /// `leader`, `voter` or `learner`.
    pub role: String,
    /// The log index applied last.
    pub applied: Option<u64>,
    /// Entries behind the leader.
    pub lag: Option<u64>,
    /// The 99th percentile of its disk syncs.
    pub sync_p99_ms: Option<f64>,
}

/// Asks for the cluster.
pub async fn cluster(masters: &Masters) -> Result<Answer<Cluster>, MastersError> {
    masters.ask(Method::GET, "/keelson/v1/cluster").await
}

/// An answer whose content does not matter.
#[derive(Debug, Deserialize)]
pub struct Done {}
