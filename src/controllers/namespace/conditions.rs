//! What a namespace that is going tells of what is left in it.

use std::collections::BTreeMap;

use api::time;
use serde_json::Value;

use crate::shared::conditions;

/// Each condition with what it says when all is well.
const WELL: &[(&str, &str, &str)] = &[
    ("NamespaceDeletionDiscoveryFailure", "ResourcesDiscovered", "All resources successfully discovered"),
    (
        "NamespaceDeletionGroupVersionParsingFailure",
        "ParsedGroupVersions",
        "All legacy kube types successfully parsed",
    ),
    (
        "NamespaceDeletionContentFailure",
        "ContentDeleted",
        "All content successfully deleted, may be waiting on finalization",
    ),
    ("NamespaceContentRemaining", "ContentRemoved", "All content successfully removed"),
    ("NamespaceFinalizersRemaining", "ContentHasNoFinalizers", "All content-preserving finalizers finished"),
];

/// What is left.
#[derive(Default)]
pub(super) struct Left {
    /// Objects by `RESOURCE.GROUP`.
    pub objects: BTreeMap<String, u64>,
    /// Objects by the finalizers that keep them.
    pub finalizers: BTreeMap<String, u64>,
    /// Why something could not be deleted.
    pub failures: Vec<String>,
}

impl Left {
    /// Brings conditions up to date; tells whether they say anything new.
    pub fn tell(mut self, all: &mut Vec<Value>, now_ms: u64) -> bool {
        let before = all.clone();
        for (kind, reason, message) in WELL {
            let told = self.told(kind);
            let (status, reason, message) = match &told {
                Some((reason, message)) => ("True", *reason, message.as_str()),
                None => ("False", *reason, *message),
            };
            set(all, conditions::new(kind, status, reason, message), now_ms);
        }
        *all != before
    }

    fn told(&mut self, kind: &str) -> Option<(&'static str, String)> {
        let listed = |counts: &BTreeMap<String, u64>, what: &dyn Fn(&str, u64) -> String| {
            counts.iter().map(|(name, count)| what(name, *count)).collect::<Vec<_>>().join(", ")
        };
        match kind {
            "NamespaceContentRemaining" if !self.objects.is_empty() => {
                let list =
                    listed(&self.objects, &|name, count| format!("{name} has {count} resource instances"));
                Some(("SomeResourcesRemain", format!("Some resources are remaining: {list}")))
            }
            "NamespaceFinalizersRemaining" if !self.finalizers.is_empty() => {
                let list =
                    listed(&self.finalizers, &|name, count| format!("{name} in {count} resource instances"));
                let message = format!("Some content in the namespace has finalizers remaining: {list}");
                Some(("SomeFinalizersRemain", message))
            }
            "NamespaceDeletionContentFailure" if !self.failures.is_empty() => {
                self.failures.sort_unstable();
                let (count, list) = (self.failures.len(), self.failures.join(", "));
                let message = format!("Failed to delete all resource types, {count} remaining: {list}");
                Some(("ContentDeletionFailed", message))
            }
            _ => None,
        }
    }
}

/// Sets a condition in its place; the time is that of the last change of its status.
fn set(all: &mut Vec<Value>, mut condition: Value, now_ms: u64) {
    condition["lastTransitionTime"] = time::rfc3339(now_ms).into();
    match all.iter_mut().find(|old| old["type"] == condition["type"]) {
        None => all.push(condition),
        Some(old) => {
            if old["status"] == condition["status"] {
                condition["lastTransitionTime"] = old["lastTransitionTime"].clone();
            }
            *old = condition;
        }
    }
}
