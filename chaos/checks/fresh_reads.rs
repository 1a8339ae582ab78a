//! A read shows everything acknowledged before it began.

use crate::evidence::{Evidence, Outcome};

/// Looks for reads older than what was acknowledged before them.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let mut acknowledged: Vec<(u64, u64)> = Vec::new();
    for write in &evidence.writes {
        if let Outcome::Acknowledged(Some(revision)) = write.outcome {
            acknowledged.push((write.ended_us, revision));
        }
    }
    acknowledged.sort_unstable();
    let mut highest = 0;
    for (_, revision) in &mut acknowledged {
        highest = highest.max(*revision);
        *revision = highest;
    }
    let mut found = Vec::new();
    for read in &evidence.reads {
        let before = acknowledged.partition_point(|(ended_us, _)| *ended_us < read.started_us);
        let expected = before.checked_sub(1).map_or(0, |last| acknowledged[last].1);
        if read.revision < expected {
            found.push(format!(
                "a read on {} at {} µs gave revision {}, and {expected} was acknowledged before",
                read.master, read.started_us, read.revision
            ));
        }
    }
    found
}
