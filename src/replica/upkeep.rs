//! What a replica sees to by itself: that its State is the others' State, that no change of members stays
//! half done, and that the cluster's feature level follows what all of its members know.

use base::env;
use base::ids::{NodeId, RequestId};
use state::{Guard, Stamp, Txn, Write};
use tracing::{info, warn};

use crate::limits::UPKEEP_INTERVAL;
use crate::replica::Replica;

/// Who the log names for what the system does by itself.
const ACTOR: &str = "system:keelson";

/// Looks after these until the process ends, or until this master must.
pub(crate) async fn run(replica: Replica) -> Result<(), String> {
    let mut agreed = 0;
    let mut was_joint = false;
    loop {
        env::sleep(UPKEEP_INTERVAL).await;
        let index = replica.moment().index;
        // Not before all agreed: who did not answer may be the one that tells who is wrong.
        if index != agreed && compare(&replica, index).await? {
            agreed = index;
        }
        let is_joint = replica.raft().membership().is_joint;
        // Whoever makes a change takes both steps within moments: twice in a row, nobody does.
        if was_joint && is_joint {
            finish_change(&replica).await;
        }
        was_joint = is_joint;
        raise_feature_level(&replica).await;
    }
}

/// Compares State's hash at `index` with every other member's. Whether all of them have it too.
async fn compare(replica: &Replica, index: u64) -> Result<bool, String> {
    let Some(mine) = replica.hash_at(index).await else { return Ok(false) };
    let mut hashes = Vec::new();
    for node in others_of(replica) {
        hashes.push(replica.peer_hash(node, index).await);
    }
    let others: Vec<u128> = hashes.iter().copied().flatten().collect();
    match judge(mine, &others) {
        Agreement::Same => Ok(others.len() == hashes.len()),
        Agreement::Undecided => {
            warn!(index, "another master's state differs from this one's; a third must tell which is wrong");
            Ok(false)
        }
        Agreement::Outvoted => Err(format!(
            "this master's state at log index {index} differs from the majority's: {}",
            storage::error::REPLACE_MASTER
        )),
    }
}

/// What a comparison of hashes says about this master.
#[derive(Debug, PartialEq, Eq)]
enum Agreement {
    Same,
    /// Somebody is wrong, and it is not known who.
    Undecided,
    /// More masters agree on something else.
    Outvoted,
}

fn judge(mine: u128, others: &[u128]) -> Agreement {
    if others.iter().all(|hash| *hash == mine) {
        return Agreement::Same;
    }
    let votes = |wanted: u128| others.iter().filter(|hash| **hash == wanted).count();
    let with_me = votes(mine) + 1;
    if others.iter().any(|hash| *hash != mine && votes(*hash) > with_me) {
        Agreement::Outvoted
    } else {
        Agreement::Undecided
    }
}

/// As the leader: takes the second step of a change of voters whose first one was taken by somebody who did
/// not get to it, a leader that died mostly. Until then two majorities decide, the old one and the new one.
async fn finish_change(replica: &Replica) {
    if !replica.raft().leadership().borrow().am_leader {
        return;
    }
    match replica.raft().finish_joint().await {
        Ok(()) => info!("finished a change of members that was half done"),
        Err(error) => {
            warn!(%error, "a half-done change of members could not be finished; trying again later")
        }
    }
}

/// As the leader: raises the level to the highest that every member knows.
async fn raise_feature_level(replica: &Replica) {
    let leadership = *replica.raft().leadership().borrow();
    let level = replica.moment().state.feature_level();
    let mut common = replica.shared().options.levels.newest();
    if leadership.leader != Some(replica.raft().node()) || level >= common {
        return;
    }
    for node in others_of(replica) {
        // A member that does not answer may be an old binary: no level rises over its head.
        let Some(status) = replica.peer_status(node).await else { return };
        common = common.min(status.feature_level_max);
    }
    if common <= level {
        return;
    }
    let txn = Txn {
        stamp: Stamp { request: RequestId::fresh().0, actor: ACTOR.to_owned() },
        guards: vec![Guard::LeaderTerm { term: leadership.term }],
        writes: vec![Write::FeatureLevel { level: common }],
    };
    match replica.propose(txn).await {
        Ok(_) => info!(from = level, to = common, "raised the feature level"),
        Err(error) => warn!(%error, "the feature level could not be raised; trying again later"),
    }
}

fn others_of(replica: &Replica) -> Vec<NodeId> {
    let me = replica.raft().node();
    replica.raft().membership().members.into_keys().filter(|node| *node != me).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minority_stops_and_a_tie_stops_nobody() {
        let cases: [(&[u128], Agreement); 6] = [
            (&[], Agreement::Same),
            (&[1, 1], Agreement::Same),
            (&[2], Agreement::Undecided),
            (&[1, 2], Agreement::Undecided),
            (&[2, 3], Agreement::Undecided),
            (&[2, 2], Agreement::Outvoted),
        ];
        for (others, expected) in cases {
            assert_eq!(judge(1, others), expected, "{others:?}");
        }
    }
}
