//! Which objects have which labels: an index over one kind, by namespace.

use api::Key;
use api::selector::Selector;
use state::Object;
use state::labels::Labels;

use crate::places::Places;

/// Objects by namespace and label.
#[derive(Clone, Debug, Default)]
pub struct ByLabel(Places);

/// How many objects of a label are counted to find the rarest.
const COUNTED_MAX: usize = 256;

impl ByLabel {
    /// Notes that an object changed; only labels that come or go cost anything.
    pub fn fold(&mut self, before: Option<&Object>, after: Option<&Object>) {
        if let (Some(before), Some(after)) = (before, after)
            && before.labels() == after.labels()
        {
            return;
        }
        if let Some(object) = before {
            for (label, value) in object.labels().iter() {
                self.0.remove(&place(object.key.namespace(), label, value), &object.key);
            }
        }
        if let Some(object) = after {
            for (label, value) in object.labels().iter() {
                self.0.insert(&place(object.key.namespace(), label, value), &object.key);
            }
        }
    }

    /// Objects of a namespace that have the rarest of the labels that the selector asks for: those that it selects are
    /// among them. `None`: it asks for no label by value, so all of them may be.
    pub fn candidates(&self, namespace: &str, selector: &Selector) -> Option<impl Iterator<Item = &Key>> {
        let places = selector.equalities().map(|(label, value)| place(namespace, label, value));
        let rarest = places.min_by_key(|place| self.0.under(place).take(COUNTED_MAX).count())?;
        Some(self.0.under(&rarest))
    }
}

/// Where a label of a namespace stands in an index.
pub(crate) fn place(namespace: &str, label: &str, value: &str) -> String {
    [namespace, label, value].join("\0")
}

/// Whether labels match a selector.
pub fn matches(selector: &Selector, labels: &Labels) -> bool {
    selector.matches(|key| labels.get(key))
}
