//! What Raft tells about itself.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use base::env;
use base::ids::NodeId;
use base::telemetry::Metrics;
use openraft::async_runtime::WatchReceiver;
use openraft::errors::Fatal;
use openraft::metrics::RaftServerMetrics;
use openraft::{Instant, ServerState};
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::watch;

use super::Handle;
use crate::failure::Failure;
use crate::limits::ELECTION_MAX;
use crate::log::Log;
use crate::member::Member;
use crate::types::{Raft, TypeConfig};

type RaftMetrics = openraft::RaftMetrics<TypeConfig>;

/// Who leads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Leadership {
    /// The highest term this master has seen.
    pub term: u64,
    /// Who leads that term; `None` while it is not decided.
    pub leader: Option<NodeId>,
    /// Whether it is this master.
    pub am_leader: bool,
}

/// What a member does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// Votes, and leads.
    Leader,
    /// Votes.
    Voter,
    /// Receives the log only.
    Learner,
}

/// How a member stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberStatus {
    /// Its id.
    pub node: NodeId,
    /// How the others know it.
    pub member: Member,
    /// What it does.
    pub role: Role,
    /// The highest index known to be on its disk; known to the leader only.
    pub matched: Option<u64>,
    /// Entries of the leader's log that it does not have yet; known to the leader only.
    pub lag: Option<u64>,
}

impl Handle {
    /// All members by id.
    pub fn status(&self) -> Vec<MemberStatus> {
        let metrics = self.metrics();
        let members = metrics.membership_config.membership();
        let voters: Vec<NodeId> = members.voter_ids().collect();
        let role = |node: NodeId| match node {
            node if metrics.current_leader == Some(node) => Role::Leader,
            node if voters.contains(&node) => Role::Voter,
            _ => Role::Learner,
        };
        let status = |(node, member): (&NodeId, &Member)| {
            let (matched, lag) = progress(&metrics, *node);
            MemberStatus { node: *node, member: member.clone(), role: role(*node), matched, lag }
        };
        members.nodes().map(status).collect()
    }
}

/// What the leader knows of a member: the highest index it has, and how many it lacks.
pub(super) fn progress(metrics: &RaftMetrics, node: NodeId) -> (Option<u64>, Option<u64>) {
    let Some(replication) = &metrics.replication else { return (None, None) };
    let matched = replication.get(&node).and_then(|matched| matched.as_ref()).map(|log_id| log_id.index);
    let count = |last: Option<u64>| last.map_or(0, |index| index + 1);
    (matched, Some(count(metrics.last_log_index).saturating_sub(count(matched))))
}

/// Whether a member answered the leader within the last election timeout.
pub(super) fn answers(metrics: &RaftMetrics, node: NodeId) -> bool {
    let heard = metrics.heartbeat.as_ref().and_then(|heard| heard.get(&node)).and_then(Option::as_ref);
    heard.is_some_and(|at| at.elapsed() < ELECTION_MAX)
}

/// How often gauges are set.
const GAUGES_EVERY: Duration = Duration::from_secs(1);

/// Gauges of one master.
pub(super) struct Gauges {
    applied: Gauge,
    committed: Gauge,
    is_leader: Gauge,
    log_bytes: Gauge<u64, AtomicU64>,
    term: Gauge,
}

impl Gauges {
    pub(super) fn register(metrics: &Metrics) -> Self {
        let gauge = |name: &str, help: &str| metrics.register(name, help, Gauge::default());
        Self {
            applied: gauge("raft_applied_index", "The highest log index applied"),
            committed: gauge("raft_committed_index", "The highest log index known to be committed"),
            is_leader: gauge("raft_is_leader", "Whether this master leads"),
            log_bytes: metrics.register("raft_log_bytes", "Bytes of the log held", Gauge::default()),
            term: gauge("raft_term", "The highest term seen"),
        }
    }

    fn set(&self, metrics: &RaftMetrics, log: &Log) {
        let index =
            |log_id: &Option<crate::types::LogId>| log_id.as_ref().map_or(0, |log_id| log_id.index as i64);
        self.applied.set(index(&metrics.last_applied));
        self.committed.set(index(&metrics.local_committed));
        self.is_leader.set(i64::from(metrics.state == ServerState::Leader));
        self.log_bytes.set(log.size_bytes());
        self.term.set(metrics.current_term as i64);
    }
}

fn leadership_of(metrics: &RaftServerMetrics<TypeConfig>) -> Leadership {
    Leadership {
        term: metrics.vote.leader_id.term,
        leader: metrics.current_leader,
        am_leader: metrics.state == ServerState::Leader && metrics.current_leader == Some(metrics.id),
    }
}

/// What the observer publishes.
pub(super) struct Outlets {
    pub(super) leadership: watch::Sender<Leadership>,
    pub(super) gauges: Gauges,
    pub(super) failure: Failure,
}

/// Publishes who leads at once and gauges now and then, and reports an end that nobody asked for. Runs
/// until Raft ends.
pub(super) async fn observe(raft: Raft, log: Log, outlets: Outlets) {
    let (mut changes, metrics) = (raft.server_metrics(), raft.metrics());
    // Else this task would keep alive what it waits for the end of.
    drop(raft);
    loop {
        let now = leadership_of(&changes.borrow_watched());
        outlets.leadership.send_if_modified(|published| std::mem::replace(published, now) != now);
        // Cancel-safe: a change that was not taken is seen by the next call.
        let changed = tokio::select! {
            biased;
            changed = changes.changed() => changed,
            () = env::sleep(GAUGES_EVERY) => Ok(()),
        };
        outlets.gauges.set(&metrics.borrow_watched(), &log);
        if changed.is_err() {
            break;
        }
    }
    let nobody = |published: &mut Leadership| (published.leader, published.am_leader) = (None, false);
    outlets.leadership.send_modify(nobody);
    let ended = metrics.borrow_watched().running_state.clone();
    match ended {
        Err(Fatal::Stopped) => {}
        Err(fatal) => outlets.failure.report(format!("the Raft core ended: {fatal}")),
        Ok(()) => outlets.failure.report("the Raft core panicked"),
    }
}
