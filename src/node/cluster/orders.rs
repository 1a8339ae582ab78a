//! Changes of Raft's membership and leadership: carried out by the leader, whoever was asked.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base::env;
use base::ids::NodeId;
use bytes::Bytes;
use raft::{ChangeError, Member, PeerService, TransferError};
use serde::{Deserialize, Serialize};

use super::{Cluster, ClusterError, Handle, records, removed};

/// Kind of the peer call that carries an order. Kinds from 1 up are the replica's.
const ORDER: u8 = 255;

/// How long an order may take, catching up included, before the caller is told to ask again. Below the
/// API server's bound for a request.
const ORDER_DEADLINE: Duration = Duration::from_secs(25);
/// Pause before asking again for a leader.
const LEADER_RETRY: Duration = Duration::from_millis(20);

/// What the leader is to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Order {
    /// Make a master that has a record a learner, let it catch up, then a voter.
    Admit {
        /// Its name.
        name: String,
        /// Its id.
        node: NodeId,
    },
    /// Take a member out, and give its name free.
    Remove {
        /// Its name.
        name: String,
        /// Its id.
        node: NodeId,
    },
    /// Hand leadership over.
    Transfer {
        /// To whom; the most caught-up voter when not given.
        to: Option<NodeId>,
    },
}

/// What came of an order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum Report {
    Done,
    /// Ask whoever leads now.
    NotLeader,
    /// May work when asked again.
    NotNow(String),
    Refused(String),
}

impl Cluster {
    /// Has the leader carry out `order`. Level-triggered: an order that already holds is done.
    pub async fn order(&self, order: Order) -> Result<(), ClusterError> {
        let deadline = env::monotonic() + ORDER_DEADLINE;
        loop {
            let reason = match self.order_once(&order).await {
                Report::Done => return Ok(()),
                Report::Refused(reason) => return Err(ClusterError::Refused(reason)),
                Report::NotNow(reason) => reason,
                Report::NotLeader => "no master leads: a quorum of masters is not reachable".to_owned(),
            };
            if env::monotonic() + LEADER_RETRY >= deadline {
                return Err(ClusterError::Unavailable(reason));
            }
            env::sleep(LEADER_RETRY).await;
        }
    }

    async fn order_once(&self, order: &Order) -> Report {
        let raft = self.replica.raft();
        let leader = raft.leadership().borrow().leader;
        let Some(leader) = leader else { return Report::NotLeader };
        if leader == self.node {
            return self.carry_out(order).await;
        }
        let body = serde_json::to_vec(order).expect("an order cannot fail to serialize");
        match raft.call(leader, ORDER, body.into(), ORDER_DEADLINE).await {
            Ok(reply) => serde_json::from_slice(&reply).unwrap_or(Report::NotLeader),
            Err(error) => Report::NotNow(error.to_string()),
        }
    }

    /// As the leader.
    async fn carry_out(&self, order: &Order) -> Report {
        if self.replica.raft().leadership().borrow().leader != Some(self.node) {
            return Report::NotLeader;
        }
        match order {
            Order::Admit { name, node } => self.admit(name, *node).await,
            Order::Remove { name, node } => self.remove_member(name, *node).await,
            Order::Transfer { to } => self.hand_over(*to).await,
        }
    }

    async fn admit(&self, name: &str, node: NodeId) -> Report {
        // The record may be a moment old, and a refusal is final.
        let moment = match self.replica.linearizable().await {
            Ok(moment) => moment,
            Err(error) => return Report::NotNow(error.to_string()),
        };
        let Some(known) = records::member(&moment.state, name).filter(|known| known.node == node) else {
            return Report::Refused(removed(name, node));
        };
        let raft = self.replica.raft();
        if raft.membership().voters.contains(&node) {
            return Report::Done;
        }
        let member =
            Member { name: known.name, peer: known.record.peer.to_string(), api: known.record.api.url() };
        changed(raft.add(node, member).await)
    }

    /// The record goes as well, here on the leader: the member itself hears of nothing any more, and it may be
    /// the one that was asked.
    async fn remove_member(&self, name: &str, node: NodeId) -> Report {
        let taken_out = self.take_out(node).await;
        if taken_out != Report::Done {
            return taken_out;
        }
        match self.forget(name, node).await {
            Ok(()) => {}
            Err(ClusterError::Refused(reason)) => return Report::Refused(reason),
            Err(error) => return Report::NotNow(error.to_string()),
        }
        // Again: one that was about to join may have been let in as long as it had a record.
        self.take_out(node).await
    }

    async fn take_out(&self, node: NodeId) -> Report {
        let raft = self.replica.raft();
        let membership = raft.membership();
        if !membership.members.contains_key(&node) {
            return Report::Done;
        }
        if membership.voters.contains(&node) && membership.voters.len() == 1 {
            return Report::Refused(
                "the last voting master cannot be removed: add another one first".to_owned(),
            );
        }
        if node == self.node {
            // Taking itself out would leave the cluster without a leader for an election: the next
            // leader does it.
            return match raft.transfer(None).await {
                Ok(_) => Report::NotLeader,
                Err(error) => transferred(&error),
            };
        }
        changed(raft.remove(node).await)
    }

    async fn hand_over(&self, to: Option<NodeId>) -> Report {
        let raft = self.replica.raft();
        match to {
            Some(to) if to == self.node => Report::Done,
            Some(to) if !raft.membership().voters.contains(&to) => {
                Report::Refused("only a voting master can lead".to_owned())
            }
            to => raft.transfer(to).await.map_or_else(|error| transferred(&error), |_| Report::Done),
        }
    }
}

/// Another change under way is refused by Raft: it ends, so asking again helps.
fn changed(result: Result<(), ChangeError>) -> Report {
    match result {
        Ok(()) => Report::Done,
        Err(ChangeError::NotLeader { .. }) => Report::NotLeader,
        Err(error) => Report::NotNow(error.to_string()),
    }
}

fn transferred(error: &TransferError) -> Report {
    match error {
        TransferError::NotLeader { .. } => Report::NotLeader,
        TransferError::NoTarget => Report::Refused(error.to_string()),
        error => Report::NotNow(error.to_string()),
    }
}

/// Serves other masters: our kinds here, the rest by the replica.
pub struct Peers {
    replica: Arc<dyn PeerService>,
    cluster: OnceLock<Handle>,
}

impl Peers {
    /// Until [`Peers::attach`] only the replica's kinds are served.
    pub fn new(replica: Arc<dyn PeerService>) -> Self {
        Self { replica, cluster: OnceLock::new() }
    }

    /// From now on orders are carried out.
    pub fn attach(&self, cluster: Handle) {
        // A second call would be by the same master about the same cluster.
        let _ = self.cluster.set(cluster);
    }

    async fn order(&self, body: &[u8]) -> Report {
        let Some(cluster) = self.cluster.get() else { return Report::NotLeader };
        match serde_json::from_slice(body) {
            Ok(order) => cluster.carry_out(&order).await,
            Err(_) => {
                Report::Refused("this order is not known here: the leader runs another version".to_owned())
            }
        }
    }
}

#[async_trait::async_trait]
impl PeerService for Peers {
    async fn serve(&self, from: NodeId, kind: u8, body: Bytes) -> Bytes {
        match kind {
            ORDER => {
                let report = self.order(&body).await;
                serde_json::to_vec(&report).expect("a report cannot fail to serialize").into()
            }
            _ => self.replica.serve(from, kind, body).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Masters of different versions order each other about.
    #[test]
    fn orders_and_reports_are_golden() {
        let json = |order: &Order| serde_json::to_string(order).expect("JSON");
        let (name, node) = ("master-2".to_owned(), 7);
        let cases = [
            (Order::Admit { name: name.clone(), node }, r#"{"admit":{"name":"master-2","node":7}}"#),
            (Order::Remove { name, node }, r#"{"remove":{"name":"master-2","node":7}}"#),
            (Order::Transfer { to: Some(7) }, r#"{"transfer":{"to":7}}"#),
            (Order::Transfer { to: None }, r#"{"transfer":{"to":null}}"#),
        ];
        for (order, text) in cases {
            assert_eq!(json(&order), text);
            assert_eq!(serde_json::from_str::<Order>(text).expect("an order"), order);
        }
        let cases = [
            (Report::Done, r#""done""#),
            (Report::NotLeader, r#""notLeader""#),
            (Report::NotNow("why".to_owned()), r#"{"notNow":"why"}"#),
            (Report::Refused("why".to_owned()), r#"{"refused":"why"}"#),
        ];
        for (report, text) in cases {
            assert_eq!(serde_json::to_string(&report).expect("JSON"), text);
            assert_eq!(serde_json::from_str::<Report>(text).expect("a report"), report);
        }
    }
}
