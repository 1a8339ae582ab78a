//! What must hold, whatever happened: each guarantee has one check, in a file of its own, that judges
//! the evidence alone. A check returns one line for each violation.

use crate::evidence::Evidence;

pub mod acknowledged;
pub mod applied_once;
pub mod fresh_reads;
pub mod refusals;
pub mod replicas_agree;
pub mod revisions_rise;
pub mod watches_exact;

/// One guarantee and the check that looks for its violations.
pub struct Check {
    /// As its file.
    pub name: &'static str,
    /// What the cluster promises.
    pub guarantee: &'static str,
    /// Looks for violations.
    pub find: fn(&Evidence) -> Vec<String>,
}

/// Every guarantee, by name.
pub const CHECKS: &[Check] = &[
    Check {
        name: "acknowledged",
        guarantee: "an acknowledged write is there afterwards, on every master",
        find: acknowledged::find,
    },
    Check {
        name: "applied_once",
        guarantee: "no write takes effect twice, and none that was refused takes effect",
        find: applied_once::find,
    },
    Check {
        name: "fresh_reads",
        guarantee: "a read shows everything acknowledged before it began",
        find: fresh_reads::find,
    },
    Check { name: "refusals", guarantee: "a write is never refused because of itself", find: refusals::find },
    Check { name: "replicas_agree", guarantee: "all masters hold the same", find: replicas_agree::find },
    Check {
        name: "revisions_rise",
        guarantee: "revisions are unique, and rise from one write to any that begins after it ended",
        find: revisions_rise::find,
    },
    Check {
        name: "watches_exact",
        guarantee: "a watch, resumed on any master, shows each write once, in order, and nothing else",
        find: watches_exact::find,
    },
];

/// How many violations of one guarantee are shown.
const SHOWN_MAX: usize = 5;

/// Every violation of every guarantee, as text; empty when all hold.
pub fn violations(evidence: &Evidence) -> String {
    let mut text = String::new();
    for check in CHECKS {
        let found = (check.find)(evidence);
        if found.is_empty() {
            continue;
        }
        text.push_str(&format!("{}: {} violations of \"{}\"\n", check.name, found.len(), check.guarantee));
        found.iter().take(SHOWN_MAX).for_each(|line| text.push_str(&format!("  {line}\n")));
    }
    text
}

#[cfg(test)]
mod tests;
