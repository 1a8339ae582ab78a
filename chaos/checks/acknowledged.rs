//! An acknowledged write is there afterwards, on every master.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Evidence, Operation, Outcome, Write};

/// What an object may be at the end: each value, or `None` for absent.
type Ends = BTreeSet<Option<&'static str>>;

/// Looks for objects that are not what their writes leave.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let mut histories: BTreeMap<&str, Vec<&Write>> = BTreeMap::new();
    for write in &evidence.writes {
        histories.entry(&write.name).or_default().push(write);
    }
    let mut found = Vec::new();
    for (name, history) in histories {
        let ends = ends(&history);
        for listing in &evidence.listings {
            let is = listing.objects.get(name).map(|(value, _)| value.as_str());
            if !ends.contains(&is) {
                let shown: Vec<(Operation, &Outcome)> =
                    history.iter().map(|w| (w.operation, &w.outcome)).collect();
                found.push(format!(
                    "{name} on {}: is {is:?}, may be {ends:?} after {shown:?}",
                    listing.master
                ));
            }
        }
    }
    found
}

fn ends(history: &[&Write]) -> Ends {
    let mut ends = Ends::from([None]);
    for write in history {
        match write.outcome {
            Outcome::Acknowledged(_) => ends = [write.operation.value()].into(),
            Outcome::Open => _ = ends.insert(write.operation.value()),
            Outcome::Refused(_) => {}
        }
    }
    ends
}
