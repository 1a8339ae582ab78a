//! Who the members are and how they are.

use std::time::Duration;

use base::env;
use base::ids::NodeId;
use futures::future::join_all;
use raft::Membership;
use replica::PeerStatus;

use super::Cluster;
use super::view::{ClusterView, MemberView, Role};

/// How long a member may take to tell how it is. A dead one must not hold up the rest.
const PEER_DEADLINE: Duration = Duration::from_secs(1);

impl Cluster {
    /// The members as this master sees them; what only they know is asked of them, all at once.
    pub async fn view(&self) -> ClusterView {
        let raft = self.replica.raft();
        let membership = raft.membership();
        let (leader, term) = {
            let leadership = raft.leadership();
            let leadership = leadership.borrow();
            (leadership.leader, leadership.term)
        };
        let asked = membership.members.keys().map(|node| self.ask(*node));
        let answers: Vec<(NodeId, Option<PeerStatus>)> = join_all(asked).await;
        view(&self.id.to_string(), &membership, leader, term, &answers)
    }

    async fn ask(&self, node: NodeId) -> (NodeId, Option<PeerStatus>) {
        let status = env::timeout(PEER_DEADLINE, self.replica.peer_status(node)).await;
        (node, status.ok().flatten())
    }
}

fn view(
    cluster: &str,
    membership: &Membership,
    leader: Option<NodeId>,
    term: u64,
    answers: &[(NodeId, Option<PeerStatus>)],
) -> ClusterView {
    let answer = |node| answers.iter().find(|(of, _)| *of == node).and_then(|(_, status)| status.as_ref());
    let head = leader.and_then(answer).map(|status| status.applied);
    let mut members: Vec<MemberView> = membership
        .members
        .iter()
        .map(|(node, member)| {
            let status = answer(*node);
            let applied = status.map(|status| status.applied);
            MemberView {
                name: member.name.clone(),
                api: member.api.clone(),
                role: role(membership, leader, *node),
                applied,
                lag: head.zip(applied).map(|(head, applied)| head.saturating_sub(applied)),
                sync_p99_ms: status
                    .map(|status| status.sync_p99_us as f64 / 1000.0)
                    .filter(|millis| *millis > 0.0),
            }
        })
        .collect();
    members.sort_by(|one, other| one.name.cmp(&other.name));
    let leader = leader.and_then(|node| membership.members.get(&node)).map(|member| member.name.clone());
    ClusterView { cluster: cluster.to_owned(), leader, term, members }
}

fn role(membership: &Membership, leader: Option<NodeId>, node: NodeId) -> Role {
    if leader == Some(node) {
        Role::Leader
    } else if membership.voters.contains(&node) {
        Role::Voter
    } else {
        Role::Learner
    }
}
