//! Revisions are unique, and rise from one write to any that begins after it ended.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Outcome, Write};

/// Looks for revisions given twice or out of order.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let revision = |write: &Write| match write.outcome {
        Outcome::Acknowledged(revision) => revision,
        _ => None,
    };
    let known: Vec<(&Write, u64)> =
        evidence.writes.iter().filter_map(|write| Some((write, revision(write)?))).collect();
    let mut found = Vec::new();
    let mut owners: BTreeMap<u64, &str> = BTreeMap::new();
    for (write, revision) in &known {
        if let Some(other) = owners.insert(*revision, &write.name) {
            found.push(format!("revision {revision} was given to {other} and to {}", write.name));
        }
    }
    let mut by_start = known.clone();
    by_start.sort_by_key(|(write, _)| write.started_us);
    let mut by_end = known;
    by_end.sort_by_key(|(write, _)| write.ended_us);
    let (mut ended, mut highest) = (by_end.into_iter().peekable(), 0);
    for (write, revision) in by_start {
        while let Some((_, earlier)) = ended.next_if(|(other, _)| other.ended_us < write.started_us) {
            highest = highest.max(earlier);
        }
        if revision < highest {
            found.push(format!("{} got revision {revision} after {highest} was acknowledged", write.name));
        }
    }
    found
}
