//! What a master is told about admission.

/// The settings of admission. Every master of a cluster must be told the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Steps that are left out, by name.
    pub disabled: Vec<String>,
    /// How long a pod that says nothing about it stays on a node that is not ready, in seconds.
    pub not_ready_toleration_seconds: i64,
    /// The same for a node that cannot be reached.
    pub unreachable_toleration_seconds: i64,
}

/// How long a pod stays unless a master is told otherwise. Kubernetes waits for 300 seconds; here a node counts as
/// silent only for as long as it could have been heard, so that what it ran is known to be gone sooner.
pub const TOLERATION_SECONDS: i64 = 2;

impl Default for Settings {
    fn default() -> Self {
        Self {
            disabled: Vec::new(),
            not_ready_toleration_seconds: TOLERATION_SECONDS,
            unreachable_toleration_seconds: TOLERATION_SECONDS,
        }
    }
}

impl Settings {
    /// Whether a step is taken.
    pub(crate) fn has(&self, step: &str) -> bool {
        !self.disabled.iter().any(|name| name == step)
    }
}
