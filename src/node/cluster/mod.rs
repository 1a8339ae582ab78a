//! The masters among themselves: who they are, who joins, who leaves, who leads.
//!
//! # Flow
//! A member's record is an internal object of State: writing it allocates its id, which is the revision
//! of the write and so never comes twice. Raft's membership follows: orders that change it are carried
//! out by the leader, whichever master was asked.

mod access;
pub mod admission;
pub mod ask;
pub mod http;
pub mod join;
pub mod orders;
pub mod records;
pub mod status;
pub mod view;

pub use status::leader_url;

use std::sync::Arc;

use apiserver::certificates::{Order, Signer};
use base::env;
use base::ids::{ClusterId, NodeId, RequestId};
use raft::transport::tls::peer_common_name;
use replica::Replica;
use state::{Outcome, Stamp, Txn};

use crate::node_token::{NODE_TOKEN_LIFETIME_MS, NodeToken};
use crate::pki::Authority;
use crate::token::{Token, TokenRecord};

/// Times a decision is made anew because somebody else wrote in between.
const TRIES_MAX: usize = 16;
/// How many masters a token lets in that somebody asked for.
const TOKEN_USES: u32 = 1;

/// One master's view of the cluster, and its hands.
pub struct Cluster {
    /// The cluster.
    pub id: ClusterId,
    /// This master.
    pub node: NodeId,
    /// Signs for masters that join.
    pub authority: Authority,
    /// State and log.
    pub replica: Replica,
}

/// Shared by the handlers of requests.
pub type Handle = Arc<Cluster>;

/// Why something about the cluster was not done.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// Asking again will not help; the text says what would.
    #[error("{0}")]
    Refused(String),
    /// The token does not let anybody in.
    #[error(transparent)]
    NotAllowed(#[from] crate::token::TokenRefusal),
    /// No master has this name.
    #[error("no master is named {0:?}: `kctl cluster status` lists them")]
    NoSuchMember(String),
    /// Not done now; asking again may help.
    #[error("{0}")]
    Unavailable(String),
    /// Nobody knows whether it was done.
    #[error("{0}")]
    Unknown(String),
}

impl From<replica::ProposeError> for ClusterError {
    fn from(error: replica::ProposeError) -> Self {
        match error {
            replica::ProposeError::Unknown => Self::Unknown(error.to_string()),
            error => Self::Unavailable(error.to_string()),
        }
    }
}

impl From<replica::Unavailable> for ClusterError {
    fn from(error: replica::Unavailable) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl Cluster {
    /// Makes all `changes` or none, and returns the revision of the last. `None` when a guard failed: look
    /// again and decide anew.
    async fn write(&self, changes: Vec<records::Change>) -> Result<Option<u64>, ClusterError> {
        let stamp = Stamp { request: RequestId::fresh().0, actor: peer_common_name(self.node) };
        let (guards, writes) = changes.into_iter().unzip();
        let committed = self.replica.propose(Txn { stamp, guards, writes }).await?;
        match committed.outcome {
            Outcome::Committed { revision } => Ok(Some(revision)),
            Outcome::Refused(_) => Ok(None),
            Outcome::Invalid { reason } => Err(ClusterError::Refused(reason)),
        }
    }

    /// Records a fresh token in place of those that have ended, and returns it.
    pub async fn issue_token(&self) -> Result<view::IssuedToken, ClusterError> {
        let token = Token::random(self.authority.hash());
        for _ in 0..TRIES_MAX {
            let moment = self.replica.linearizable().await?;
            let now_ms = env::wall_ms();
            let record = token.record(now_ms, TOKEN_USES);
            let mut changes = records::without_expired(&moment.state, now_ms);
            changes.push(records::fresh(records::TOKENS, &token.credential().id, &record));
            if self.write(changes).await?.is_some() {
                return Ok(view::IssuedToken { token: token.to_string(), expires_ms: record.expires_ms });
            }
        }
        Err(too_busy())
    }

    /// Makes a fresh token that lets agents join.
    pub async fn issue_node_token(&self) -> Result<view::IssuedToken, ClusterError> {
        for _ in 0..TRIES_MAX {
            let token = NodeToken::random(self.authority.hash());
            let expires_ms = env::wall_ms() + NODE_TOKEN_LIFETIME_MS;
            let txn = apiserver::bootstrap::agent_token(&token.id, &token.secret, expires_ms);
            match self.replica.propose(txn).await?.outcome {
                Outcome::Committed { .. } => {
                    return Ok(view::IssuedToken { token: token.to_string(), expires_ms });
                }
                // The id is taken.
                Outcome::Refused(_) => {}
                Outcome::Invalid { reason } => return Err(ClusterError::Refused(reason)),
            }
        }
        Err(too_busy())
    }

    /// Records a token; fine when it already is.
    pub async fn record_token(&self, token: &Token, record: &TokenRecord) -> Result<(), ClusterError> {
        self.write(vec![records::fresh(records::TOKENS, &token.credential().id, record)]).await.map(drop)
    }
}

impl Signer for Cluster {
    fn sign(&self, order: &Order, now_ms: u64) -> Result<String, String> {
        self.authority
            .ordered(order, now_ms)
            .map_err(|error| crate::failure::chain(&anyhow::Error::new(error)))
    }
}

fn too_busy() -> ClusterError {
    ClusterError::Unavailable("others change the members at the same time: try again".to_owned())
}

/// What a master is told that is no longer one.
fn removed(name: &str, node: NodeId) -> String {
    format!(
        "master {name} with id {node} was removed from the cluster: empty its data directory and join again \
         with a token from `kctl cluster add` (`keelson up` brings its own)"
    )
}
