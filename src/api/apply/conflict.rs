//! What stands in the way of an apply: fields that others own and that it would change.

use super::managers::{Operation, Owner};
use super::set::Set;
use crate::status::{Cause, Reason, Status};

/// The fields of one owner that would change.
#[derive(Clone, Debug)]
pub(super) struct Conflict<'a> {
    /// What sorts owners.
    pub(super) identity: Vec<u8>,
    /// How texts name the owner.
    pub(super) owner: String,
    pub(super) fields: Set<'a>,
}

impl<'a> Conflict<'a> {
    pub(super) fn of(owner: &Owner<'_>, fields: Set<'a>) -> Self {
        Self { identity: owner.identity(), owner: describe(owner), fields }
    }

    fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        self.fields.each(&mut |path| {
            paths.push(path.iter().map(|element| element.to_string()).collect::<String>());
        });
        paths
    }
}

/// `"kubectl" with subresource "scale" using apps/v1`.
fn describe(owner: &Owner<'_>) -> String {
    let mut text = format!("{:?}", owner.manager);
    if !owner.subresource.is_empty() {
        text += &format!(" with subresource {:?}", owner.subresource);
    }
    if owner.operation == Operation::Update {
        text += &format!(" using {}", owner.api_version);
    }
    text
}

/// 409: with a cause for each field.
pub(super) fn status(mut conflicts: Vec<Conflict<'_>>) -> Status {
    conflicts.sort_by(|a, b| a.identity.cmp(&b.identity));
    let told: Vec<_> = conflicts.iter().map(|conflict| (conflict, conflict.paths())).collect();
    let count: usize = told.iter().map(|(_, paths)| paths.len()).sum();
    let message = match (count, told.first()) {
        (1, Some((conflict, paths))) => {
            format!("Apply failed with 1 conflict: conflict with {}: {}", conflict.owner, paths[0])
        }
        _ => {
            let mut lines = Vec::new();
            for (conflict, paths) in &told {
                lines.push(format!("conflicts with {}:", conflict.owner));
                lines.extend(paths.iter().map(|path| format!("- {path}")));
            }
            format!("Apply failed with {count} conflicts: {}", lines.join("\n"))
        }
    };
    let mut status = Status::failure(409, Reason::Conflict, message);
    for (conflict, paths) in told {
        for field in paths {
            let message = format!("conflict with {}", conflict.owner);
            status = status.with_cause(Cause { reason: "FieldManagerConflict", message, field });
        }
    }
    status
}
