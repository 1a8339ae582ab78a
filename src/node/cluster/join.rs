//! The side of a master that lets another one in.

use api::Key;
use state::{Guard, Write};

use super::admission::{self, Admission};
use super::orders::Order;
use super::records::{self, MemberRecord};
use super::view::{JoinReply, JoinRequest};
use super::{Cluster, ClusterError};
use crate::token;

/// Times a decision is made anew because somebody else wrote in between.
const TRIES_MAX: usize = 16;

impl Cluster {
    /// Checks the token, allocates an id, and hands over what a master needs. Idempotent by attempt.
    pub async fn join(&self, request: &JoinRequest) -> Result<JoinReply, ClusterError> {
        for _ in 0..TRIES_MAX {
            let moment = self.replica.linearizable().await?;
            let record = records::get(&moment.state, records::TOKENS, &request.token.id);
            token::check(record.as_ref(), &request.token, base::env::wall_ms())?;
            let membership = self.replica.raft().membership();
            let known = records::members(&moment.state);
            match admission::decide(request, &known, |node| membership.members.contains_key(&node)) {
                Admission::Refuse(reason) => return Err(ClusterError::Refused(reason)),
                Admission::Again(node) => return Ok(self.welcome(node)),
                Admission::Allocate(guard) => {
                    let (_, put) = records::put(records::MEMBERS, &request.name, &admission::record(request));
                    if let Some(node) = self.write(guard, put).await? {
                        return Ok(self.welcome(node));
                    }
                }
            }
        }
        Err(too_busy())
    }

    fn welcome(&self, node: base::ids::NodeId) -> JoinReply {
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
        let (key, put) = records::put(records::MEMBERS, name, record);
        self.write(Guard::Absent { key }, put).await.map(drop)
    }

    /// Takes a master out of the cluster, and gives its name free.
    pub async fn remove(&self, name: &str) -> Result<(), ClusterError> {
        let moment = self.replica.linearizable().await?;
        let known = records::member(&moment.state, name);
        let membership = self.replica.raft().membership();
        let member = membership.members.iter().find(|(_, member)| member.name == name);
        let node = member.map(|(node, _)| *node).or(known.map(|known| known.node));
        let node = node.ok_or_else(|| ClusterError::NoSuchMember(name.to_owned()))?;
        self.order(Order::Remove { node }).await?;
        self.forget(name, node).await
    }

    /// Removes the record of `node`, unless its name has been given to another by now.
    async fn forget(&self, name: &str, node: base::ids::NodeId) -> Result<(), ClusterError> {
        for _ in 0..TRIES_MAX {
            let moment = self.replica.linearizable().await?;
            let Some(known) = records::member(&moment.state, name).filter(|known| known.node == node) else {
                return Ok(());
            };
            let key = Key::internal(records::MEMBERS, name);
            let guard = Guard::AtRevision { key: key.clone(), revision: known.revision };
            if self.write(guard, Write::Delete { key }).await?.is_some() {
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

fn too_busy() -> ClusterError {
    ClusterError::Unavailable("others change the members at the same time: try again".to_owned())
}
