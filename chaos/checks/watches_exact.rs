//! A watch, resumed on any master, shows each write once, in order, and nothing else.
//!
//! That nothing else is shown is `applied_once`'s part.

use std::collections::{BTreeMap, BTreeSet};

use crate::evidence::{Evidence, Operation, Outcome, WatchLog};
use crate::watch::{Event, EventKind};

/// Looks for gaps, doubles and disorder in each watch, and for differences between them.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for (at, watch) in evidence.watches.iter().enumerate() {
        let findings = order(watch).into_iter().chain(gaps(evidence, watch)).chain(watch.failure.clone());
        found.extend(findings.map(|finding| format!("watch {at} over {:?}: {finding}", watch.masters)));
    }
    found.extend(differences(&evidence.watches));
    found
}

/// Revisions rise strictly; a bookmark may repeat the last one.
fn order(watch: &WatchLog) -> Vec<String> {
    let mut found = Vec::new();
    let mut last = watch.from;
    for Event { kind, name, revision, .. } in &watch.events {
        let is_in_order = *revision > last || (*kind == EventKind::Bookmark && *revision == last);
        if !is_in_order {
            found.push(format!("{kind:?} {name} at {revision} after {last}"));
        }
        last = (*revision).max(last);
    }
    found
}

/// Every acknowledged write is there, at the revision that the writer was told.
fn gaps(evidence: &Evidence, watch: &WatchLog) -> Vec<String> {
    let seen: BTreeMap<u64, (&str, EventKind, &str)> = events(watch)
        .map(|event| (event.revision, (event.name.as_str(), event.kind, event.value.as_str())))
        .collect();
    let deleted: BTreeSet<&str> = events(watch)
        .filter(|event| event.kind == EventKind::Deleted)
        .map(|event| event.name.as_str())
        .collect();
    let mut found = Vec::new();
    for write in &evidence.writes {
        let Outcome::Acknowledged(revision) = write.outcome else { continue };
        let is_seen = match (write.operation, revision) {
            (Operation::Delete, _) => deleted.contains(write.name.as_str()),
            (_, Some(revision)) if revision <= watch.from => true,
            (operation, Some(revision)) => {
                let expect = (write.name.as_str(), operation.event(), operation.value().unwrap_or_default());
                seen.get(&revision) == Some(&expect)
            }
            (_, None) => true,
        };
        if !is_seen {
            found.push(format!("{:?} {} ({revision:?}) is missing", write.operation, write.name));
        }
    }
    found
}

fn differences(watches: &[WatchLog]) -> Vec<String> {
    let from = watches.iter().map(|watch| watch.from).max().unwrap_or(0);
    let seen = |watch: &WatchLog| -> BTreeSet<(u64, String, EventKind)> {
        let later = events(watch).filter(|event| event.revision > from);
        later.map(|event| (event.revision, event.name.clone(), event.kind)).collect()
    };
    let sets: Vec<_> = watches.iter().map(seen).collect();
    let pairs = sets.windows(2).enumerate();
    pairs
        .flat_map(|(at, pair)| {
            let differing: Vec<_> = pair[0].symmetric_difference(&pair[1]).cloned().collect();
            differing
                .into_iter()
                .map(move |event| format!("only one of watches {at} and {} saw {event:?}", at + 1))
        })
        .collect()
}

fn events(watch: &WatchLog) -> impl Iterator<Item = &Event> {
    watch.events.iter().filter(|event| event.kind != EventKind::Bookmark)
}
