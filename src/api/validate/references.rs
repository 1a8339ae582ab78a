//! Names of other objects, and of their kinds.

use super::at::{At, Root};
use crate::names;
use crate::same;

impl Root<'_> {
    /// Whether a field of an object of a built-in type (behind `io.k8s.api.`) is what it was.
    pub fn keeps(self, old: Root<'_>, model: &str, field: &str) -> bool {
        same::field_of(model, field, self.object.fields.get(field), old.object.fields.get(field))
    }
}

impl At<'_> {
    /// Text that must be there and can stand in a path.
    pub fn require_path_segment(self) {
        self.require_name(names::path_segment);
    }

    /// A selector of labels. If `odd` values stood in it already, they may stay.
    pub fn label_selector_unless(self, odd: bool) {
        if odd { self.label_selector_with_any_values() } else { self.label_selector() }
    }

    /// A kind in the same namespace: `apiGroup`, `kind` and `name`.
    pub fn local_reference(self) {
        if self.field("apiGroup").is_set() {
            self.field("apiGroup").check_name(names::dns_subdomain);
        }
        self.field("kind").require_path_segment();
        self.field("name").require_path_segment();
    }
}
