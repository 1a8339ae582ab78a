//! All masters hold the same.

use crate::evidence::Evidence;

/// Looks for differences between the masters' end states, and asks what `kctl cluster verify` said.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let mut found: Vec<String> = evidence.verify_failure.iter().map(|said| format!("kctl: {said}")).collect();
    for pair in evidence.listings.windows(2) {
        for (name, object) in &pair[0].objects {
            let other = pair[1].objects.get(name);
            if other != Some(object) {
                found.push(format!(
                    "{name}: {object:?} on {}, {other:?} on {}",
                    pair[0].master, pair[1].master
                ));
            }
        }
        for name in pair[1].objects.keys().filter(|name| !pair[0].objects.contains_key(*name)) {
            found.push(format!("{name}: only on {}, not on {}", pair[1].master, pair[0].master));
        }
    }
    found
}
