//! Names of finalizers.

use super::at::{At, Root};

/// Finalizers that need no prefix.
const STANDARD: &[&str] = &["foregroundDeletion", "kubernetes", "orphan"];

const UNKNOWN: &str = "name is neither a standard finalizer name nor is it fully qualified";

impl Root<'_> {
    /// Finalizers of Kubernetes' own kinds: a name without a prefix must be one that it knows.
    pub fn known_finalizers(self) {
        for (at, name) in self.meta().finalizers.iter().enumerate() {
            if !name.contains('/') && !STANDARD.contains(&name.as_str()) {
                self.meta_field("finalizers").index(at).invalid_value(name.as_str(), UNKNOWN);
            }
        }
    }
}

impl At<'_> {
    /// The same of a finalizer that stands elsewhere.
    pub fn known_finalizer(self) {
        if !self.text().contains('/') && !STANDARD.contains(&self.text()) {
            self.invalid(UNKNOWN);
        }
    }
}
