//! Who takes part, and who leads.

use std::collections::{BTreeMap, BTreeSet};

use base::env;
use base::ids::NodeId;
use openraft::ChangeMembers;
use openraft::errors::{ClientWriteError, InitializeError as RaftInitializeError, RaftError};
use openraft::raft::ClientWriteResponse;

use super::observe::{answers, progress};
use super::{ChangeError, Handle, InitializeError, TransferError};
use crate::limits::{
    CATCH_UP_IDLE, CAUGHT_UP_ENTRIES, CHANGE_LIMIT, MEMBER_TEXT_BYTES_MAX, MEMBERS_MAX, PROGRESS_EVERY,
    TRANSFER_LIMIT,
};
use crate::member::Member;
use crate::types::TypeConfig;

type WriteError = RaftError<TypeConfig, ClientWriteError<TypeConfig>>;

impl Handle {
    /// Makes this pristine master the first and only member of a cluster.
    ///
    /// # Errors
    /// [`InitializeError::NotPristine`] when it has a log or has ever voted.
    pub async fn initialize(&self) -> Result<(), InitializeError> {
        let members = BTreeMap::from([(self.node(), self.0.options.me.clone())]);
        match self.0.raft.initialize(members).await {
            Ok(()) => Ok(()),
            Err(RaftError::APIError(RaftInitializeError::NotAllowed(error))) => {
                Err(InitializeError::NotPristine(error.to_string()))
            }
            Err(RaftError::APIError(RaftInitializeError::NotInMembers(error))) => {
                Err(InitializeError::NotPristine(error.to_string()))
            }
            Err(RaftError::Fatal(_)) => Err(InitializeError::Stopped),
        }
    }

    /// Adds a master: as a learner, and once it caught up as a voter. A joint configuration left over by
    /// a leader that died is finished first. Repeating a call that failed continues it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn add(&self, node: NodeId, member: Member) -> Result<(), ChangeError> {
        check_member(&member)?;
        self.finish_joint().await?;
        let membership = self.membership();
        if membership.voters.contains(&node) {
            return Ok(());
        }
        if membership.members.len() >= MEMBERS_MAX && !membership.members.contains_key(&node) {
            return Err(ChangeError::Refused(format!("a cluster has at most {MEMBERS_MAX} members")));
        }
        self.change(|| self.0.raft.add_learner(node, member.clone(), false)).await?;
        self.catch_up(node).await?;
        let voters = ChangeMembers::AddVoterIds(BTreeSet::from([node]));
        self.change(|| self.0.raft.change_membership(voters.clone(), false)).await
    }

    /// Removes a master, voter or learner, running or not.
    ///
    /// # Errors
    /// See [`ChangeError`]; the last voter is not removed.
    pub async fn remove(&self, node: NodeId) -> Result<(), ChangeError> {
        self.finish_joint().await?;
        let membership = self.membership();
        if membership.voters.contains(&node) {
            if membership.voters.len() == 1 {
                return Err(ChangeError::Refused("the last voter cannot be removed".to_owned()));
            }
            let voters = ChangeMembers::RemoveVoters(BTreeSet::from([node]));
            self.change(|| self.0.raft.change_membership(voters.clone(), false)).await?;
        } else if membership.members.contains_key(&node) {
            let nodes = ChangeMembers::RemoveNodes(BTreeSet::from([node]));
            self.change(|| self.0.raft.change_membership(nodes.clone(), false)).await?;
        }
        self.0.transport.forget(node);
        Ok(())
    }

    /// Hands leadership over, to `to` or to the most caught-up other voter that answers, and waits until
    /// somebody else leads.
    ///
    /// # Errors
    /// See [`TransferError`].
    pub async fn transfer(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let to = self.transfer_target(to)?;
        self.0.raft.trigger().transfer_leader(to).await.map_err(|_| TransferError::Stopped)?;
        let mut leadership = self.leadership();
        let me = self.node();
        let moved = leadership.wait_for(|now| now.leader.is_some_and(|leader| leader != me));
        match env::timeout(TRANSFER_LIMIT, moved).await {
            Ok(Ok(now)) => Ok(now.leader.unwrap_or(to)),
            Ok(Err(_)) => Err(TransferError::Stopped),
            Err(_elapsed) => Err(TransferError::TimedOut { to }),
        }
    }

    fn transfer_target(&self, to: Option<NodeId>) -> Result<NodeId, TransferError> {
        let leadership = *self.0.leadership.borrow();
        if !leadership.am_leader {
            return Err(TransferError::NotLeader { leader: leadership.leader });
        }
        let metrics = self.metrics();
        let members = metrics.membership_config.membership();
        let mut others: Vec<NodeId> = members.voter_ids().filter(|node| *node != self.node()).collect();
        match to {
            Some(to) => others.contains(&to).then_some(to).ok_or(TransferError::NoTarget),
            None => {
                // The lowest id among equals: a seed decides the rest of a simulation.
                others.sort_by_key(|node| {
                    (!answers(&metrics, *node), std::cmp::Reverse(progress(&metrics, *node).0), *node)
                });
                others.first().copied().ok_or(TransferError::NoTarget)
            }
        }
    }

    /// Brings a half-done change of voters to its end, whoever began it.
    ///
    /// # Errors
    /// See [`ChangeError`].
    pub async fn finish_joint(&self) -> Result<(), ChangeError> {
        self.check_leads_members()?;
        if !self.membership().is_joint {
            return Ok(());
        }
        // No change to what openraft holds for the last configuration when it makes it: a target named here
        // could undo a change that another caller makes meanwhile.
        let nothing = || ChangeMembers::AddVoterIds(BTreeSet::new());
        self.change(|| self.0.raft.change_membership(nothing(), false)).await
    }

    fn check_leads_members(&self) -> Result<(), ChangeError> {
        let leadership = self.0.leadership.borrow();
        if leadership.am_leader { Ok(()) } else { Err(ChangeError::NotLeader { leader: leadership.leader }) }
    }

    /// Waits until a learner lacks few entries, as long as it makes progress.
    async fn catch_up(&self, node: NodeId) -> Result<(), ChangeError> {
        let mut best = None;
        let mut since = env::monotonic();
        loop {
            self.check_leads_members()?;
            let (matched, lag) = self.look(|metrics| progress(metrics, node));
            let lag = lag.unwrap_or(u64::MAX);
            if lag <= CAUGHT_UP_ENTRIES && matched.is_some() {
                return Ok(());
            }
            if matched > best {
                (best, since) = (matched, env::monotonic());
            }
            if since.elapsed() > CATCH_UP_IDLE {
                return Err(ChangeError::NotCaughtUp { node, lag });
            }
            env::sleep(PROGRESS_EVERY).await;
        }
    }

    /// Makes one change, waiting until the one before it is committed.
    async fn change<F>(&self, make: impl Fn() -> F) -> Result<(), ChangeError>
    where
        F: Future<Output = Result<ClientWriteResponse<TypeConfig>, WriteError>>,
    {
        let deadline = env::monotonic() + CHANGE_LIMIT;
        loop {
            match env::timeout_at(deadline, make()).await {
                Ok(Ok(_committed)) => return Ok(()),
                Ok(Err(error)) if is_early(&error) && env::monotonic() < deadline => {
                    env::sleep(PROGRESS_EVERY).await;
                }
                Ok(Err(error)) => return Err(change_error(error)),
                Err(_elapsed) => return Err(ChangeError::Unknown),
            }
        }
    }
}

/// Whether only something that is about to be committed, or just was, stands in the way.
fn is_early(error: &WriteError) -> bool {
    use openraft::errors::ChangeMembershipError::{InProgress, UncommittedLeaderLog};
    match error {
        RaftError::APIError(ClientWriteError::ChangeMembershipError(error)) => {
            matches!(error, InProgress(_) | UncommittedLeaderLog(_))
        }
        // Only openraft states one, for the second step of a change: somebody else has taken it.
        RaftError::APIError(ClientWriteError::PreconditionFailed(_)) => true,
        _ => false,
    }
}

fn change_error(error: WriteError) -> ChangeError {
    match error {
        RaftError::APIError(ClientWriteError::ForwardToLeader(forward)) => {
            ChangeError::NotLeader { leader: forward.leader_id }
        }
        RaftError::APIError(ClientWriteError::LogEntryDiscarded(_)) => ChangeError::Unknown,
        RaftError::APIError(refused) => ChangeError::Refused(refused.to_string()),
        RaftError::Fatal(_) => ChangeError::Stopped,
    }
}

/// Texts that do not fit would be cut in the log.
fn check_member(member: &Member) -> Result<(), ChangeError> {
    let texts = [&member.name, &member.peer, &member.api];
    if texts.iter().any(|text| text.is_empty() || text.len() > MEMBER_TEXT_BYTES_MAX) {
        let rule = format!("a member's name and addresses have 1 to {MEMBER_TEXT_BYTES_MAX} bytes");
        return Err(ChangeError::Refused(rule));
    }
    Ok(())
}
