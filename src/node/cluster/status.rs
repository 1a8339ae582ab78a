//! Who the members are and how they are.

use std::sync::Arc;
use std::time::Duration;

use apiserver::server::LeaderUrl;
use base::env;
use base::ids::NodeId;
use futures::future::join_all;
use http::HeaderValue;
use parking_lot::Mutex;
use raft::Membership;
use replica::PeerStatus;

use super::view::{ClusterView, MastersView, MemberView, Role};
use super::{Cluster, Handle};

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

    /// Where the masters that vote serve their API, and which of them leads.
    pub fn masters(&self) -> MastersView {
        let raft = self.replica.raft();
        let membership = raft.membership();
        let leader = raft.leadership().borrow().leader;
        let voting = membership.members.iter().filter(|(node, _)| membership.voters.contains(node));
        MastersView {
            masters: voting.map(|(_, member)| member.api.clone()).collect(),
            leader: leader.and_then(|node| membership.members.get(&node)).map(|member| member.api.clone()),
        }
    }

    async fn ask(&self, node: NodeId) -> (NodeId, Option<PeerStatus>) {
        let status = env::timeout(PEER_DEADLINE, self.replica.peer_status(node)).await;
        (node, status.ok().flatten())
    }
}

/// Tells who leads, for the headers of answers. Reads the members only when the leader changes.
pub fn leader_url(cluster: Handle) -> LeaderUrl {
    let known: Mutex<(Option<NodeId>, Option<HeaderValue>)> = Mutex::default();
    Arc::new(move || {
        let raft = cluster.replica.raft();
        let leader = raft.leadership().borrow().leader;
        let mut known = known.lock();
        if known.0 != leader || known.1.is_none() {
            let member = leader.and_then(|node| raft.membership().members.get(&node).cloned());
            *known = (leader, member.and_then(|member| HeaderValue::from_str(&member.api).ok()));
        }
        known.1.clone()
    })
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use expect_test::{Expect, expect};
    use raft::Member;

    use super::*;

    fn member(name: &str) -> Member {
        Member { name: name.to_owned(), peer: format!("{name}:2"), api: format!("https://{name}:1") }
    }

    fn check(leader: Option<NodeId>, applied: [Option<u64>; 3], expect: Expect) {
        let members = BTreeMap::from([(1, member("c")), (7, member("a")), (9, member("b"))]);
        let membership = Membership { members, voters: [1, 7].into(), is_joint: false };
        let status = |applied| PeerStatus { applied, sync_p99_us: 1_500, feature_level_max: 1 };
        let answers: Vec<_> = [1, 7, 9].into_iter().zip(applied.map(|at| at.map(status))).collect();
        let view = view("id", &membership, leader, 4, &answers);
        let lines = view.members.iter().map(|member| {
            let MemberView { name, role, applied, lag, sync_p99_ms, .. } = member;
            format!("{name} {role:?} {applied:?} {lag:?} {sync_p99_ms:?}\n")
        });
        expect.assert_eq(&format!("{:?}\n{}", view.leader, lines.collect::<String>()));
    }

    #[test]
    fn members_come_by_name_with_their_lag_behind_the_leader() {
        check(
            Some(1),
            [Some(40), Some(38), Some(41)],
            expect![[r#"
                Some("c")
                a Voter Some(38) Some(2) Some(1.5)
                b Learner Some(41) Some(0) Some(1.5)
                c Leader Some(40) Some(0) Some(1.5)
            "#]],
        );
    }

    #[test]
    fn what_is_not_known_is_not_made_up() {
        check(
            Some(1),
            [None, Some(38), None],
            expect![[r#"
                Some("c")
                a Voter Some(38) None Some(1.5)
                b Learner None None None
                c Leader None None None
            "#]],
        );
        check(
            None,
            [Some(1), Some(1), Some(1)],
            expect![[r"
                None
                a Voter Some(1) None Some(1.5)
                b Learner Some(1) None Some(1.5)
                c Voter Some(1) None Some(1.5)
            "]],
        );
    }
}
