//! The side of a master that lets another one in.

use api::Key;
use base::env;
use base::ids::NodeId;
use state::{Guard, Write};

use super::admission::{self, Admission};
use super::orders::Order;
use super::records::{self, MemberRecord};
use super::view::{JoinReply, JoinRequest};
use super::{Cluster, ClusterError, TRIES_MAX, removed, too_busy};
use crate::token::{self, TokenRefusal};

impl Cluster {
    /// Checks the token, allocates an id, and hands over what a master needs. Idempotent by attempt: a
    /// token that was used up in the same transaction still is good for the attempt it let in.
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinReply, ClusterError> {
        for _ in 0..TRIES_MAX {
            let moment = self.replica.linearizable().await?;
            let now_ms = env::wall_ms();
            let known = records::members(&moment.state);
            let stored = records::token(&moment.state, &request.token.id);
            let record = admission::token(request, stored.as_ref().map(|token| &token.record), &known);
            token::check(record, &request.token, now_ms)?;
            let membership = self.replica.raft().membership();
            match admission::decide(request, &known, |node| membership.members.contains_key(&node)) {
                Admission::Refuse(reason) => return Err(ClusterError::Refused(reason)),
                Admission::Again(node) => return Ok(self.welcome(node)),
                Admission::Allocate(guard) => {
                    let token = stored.ok_or(TokenRefusal::Unknown)?;
                    let mut changes = records::without_expired(&moment.state, now_ms);
                    changes.push(token.used());
                    // Last: its revision is the id.
                    let record = admission::record(request, token.record);
                    changes.push((guard, records::put(records::MEMBERS, &request.name, &record).1));
                    if let Some(node) = self.write(changes).await? {
                        return Ok(self.welcome(node));
                    }
                }
            }
        }
        Err(too_busy())
    }

    fn welcome(&self, node: NodeId) -> JoinReply {
        JoinReply {
            cluster: self.id.to_string(),
            node,
            authority: self.authority.certificate_pem().to_owned(),
            authority_key: self.authority.key_pem().to_owned(),
        }
    }

    /// Records the master that makes the cluster: before anybody can join, so that ids allocated from
    /// revisions are larger than its own. Fine when it is recorded already.
    pub async fn record_first(&self, name: &str, record: &MemberRecord) -> Result<(), ClusterError> {
        self.write(vec![records::fresh(records::MEMBERS, name, record)]).await.map(drop)
    }

    /// Takes a master out of the cluster, and gives its name free.
    pub async fn remove(&self, name: &str) -> Result<(), ClusterError> {
        let moment = self.replica.linearizable().await?;
        let known = records::member(&moment.state, name);
        let membership = self.replica.raft().membership();
        let member = membership.members.iter().find(|(_, member)| member.name == name);
        let node = member.map(|(node, _)| *node).or(known.map(|known| known.node));
        let node = node.ok_or_else(|| ClusterError::NoSuchMember(name.to_owned()))?;
        self.order(Order::Remove { name: name.to_owned(), node }).await
    }

    /// Whether the master of this name and id still has its place. Only what is committed counts: a
    /// master that is told no gives its data up.
    pub async fn confirm(&self, name: &str, node: NodeId) -> Result<(), ClusterError> {
        let moment = self.replica.linearizable().await?;
        let known = records::member(&moment.state, name).filter(|known| known.node == node);
        known.map(drop).ok_or_else(|| ClusterError::Refused(removed(name, node)))
    }

    /// Removes the record of `node`, unless its name has been given to another by now.
    pub(super) async fn forget(&self, name: &str, node: NodeId) -> Result<(), ClusterError> {
        for _ in 0..TRIES_MAX {
            let moment = self.replica.linearizable().await?;
            let Some(known) = records::member(&moment.state, name).filter(|known| known.node == node) else {
                return Ok(());
            };
            let key = Key::internal(records::MEMBERS, name);
            let guard = Guard::AtRevision { key: key.clone(), revision: known.revision };
            if self.write(vec![(guard, Write::Delete { key })]).await?.is_some() {
                return Ok(());
            }
        }
        Err(too_busy())
    }

    /// Hands leadership to the master of this name, or to the most caught-up voter.
    pub async fn transfer(&self, to: Option<&str>) -> Result<(), ClusterError> {
        let membership = self.replica.raft().membership();
        let to = match to {
            None => None,
            Some(name) => {
                let found = membership.members.iter().find(|(_, member)| member.name == name);
                let (node, _) = found.ok_or_else(|| ClusterError::NoSuchMember(name.to_owned()))?;
                Some(*node)
            }
        };
        self.order(Order::Transfer { to }).await
    }
}
