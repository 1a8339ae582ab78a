//! No write takes effect twice, and none that was refused takes effect.

use std::collections::BTreeMap;

use crate::evidence::{Evidence, Outcome};
use crate::watch::EventKind;

/// Looks for events that no write explains, or that one write explains twice.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let mut allowed: BTreeMap<(&str, EventKind), usize> = BTreeMap::new();
    for write in evidence.writes.iter().filter(|write| !matches!(write.outcome, Outcome::Refused(_))) {
        *allowed.entry((&write.name, write.operation.event())).or_default() += 1;
    }
    let mut found = Vec::new();
    for (at, watch) in evidence.watches.iter().enumerate() {
        let mut seen: BTreeMap<(&str, EventKind), Vec<u64>> = BTreeMap::new();
        for event in watch.events.iter().filter(|event| event.kind != EventKind::Bookmark) {
            seen.entry((&event.name, event.kind)).or_default().push(event.revision);
        }
        for ((name, kind), revisions) in seen {
            let allowed = allowed.get(&(name, kind)).copied().unwrap_or(0);
            if revisions.len() > allowed {
                found.push(format!("{name}: {kind:?} at {revisions:?} in watch {at}, {allowed} such writes"));
            }
        }
    }
    let known: std::collections::BTreeSet<&str> =
        evidence.writes.iter().map(|write| write.name.as_str()).collect();
    for listing in &evidence.listings {
        for name in listing.objects.keys().filter(|name| !known.contains(name.as_str())) {
            found.push(format!("{name} on {}: nobody wrote it", listing.master));
        }
    }
    found
}
