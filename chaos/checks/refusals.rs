//! A write is never refused because of itself.
//!
//! Names are unique and each object has one writer, so no write can meet another: a 409 or 404 means
//! that a master tried the write again after it had already taken effect, and told the client that.

use crate::evidence::{Evidence, Outcome};

/// Reasons that say "there is another one", which there cannot be.
const IMPOSSIBLE: [&str; 4] = ["AlreadyExists", "Conflict", "NotFound", "Invalid"];

/// Looks for refusals that no other writer can have caused.
pub fn find(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    for write in &evidence.writes {
        if let Outcome::Refused(reason) = &write.outcome
            && IMPOSSIBLE.contains(&reason.as_str())
        {
            found.push(format!("{:?} {} was refused: {reason}", write.operation, write.name));
        }
    }
    found
}
