//! Which objects select pods by their labels: an index from a pod's labels to those whose selector may match.

use std::sync::Arc;

use api::Key;
use api::selector::Selector;
use imbl::OrdMap;
use state::labels::Labels;
use state::{Change, Object};

use crate::labels::{matches, place};
use crate::places::Places;

/// Kinds that select pods of their namespace, and where their selector stands.
const SELECTING: &[(&str, Form)] = &[
    ("apps/deployments/", Form::LabelSelector),
    ("apps/replicasets/", Form::LabelSelector),
    ("apps/statefulsets/", Form::LabelSelector),
    ("core/replicationcontrollers/", Form::Labels),
    ("core/services/", Form::Labels),
];

/// In which form `spec.selector` is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Labels,
    LabelSelector,
}

/// All selectors, each under one label that it asks for.
#[derive(Clone, Debug, Default)]
pub struct Selectors {
    by_label: Places,
    by_key: OrdMap<Key, Arc<Selector>>,
}

impl Selectors {
    /// Takes in one change.
    pub fn fold(&mut self, change: &Change) {
        let key = &change.object.key;
        let Some((_, form)) = SELECTING.iter().find(|(collection, _)| *collection == key.collection()) else {
            return;
        };
        let selector = (!change.deleted).then(|| read(&change.object, *form)).flatten();
        let before = self.by_key.get(key).cloned();
        if before.as_deref() == selector.as_ref() {
            return;
        }
        if let Some(before) = before {
            self.by_label.remove(&at(key, &before), key);
            self.by_key.remove(key);
        }
        if let Some(selector) = selector {
            self.by_label.insert(&at(key, &selector), key);
            self.by_key.insert(key.clone(), Arc::new(selector));
        }
    }

    /// The selector of an object; `None`: it selects nothing.
    pub fn of(&self, key: &Key) -> Option<&Arc<Selector>> {
        self.by_key.get(key)
    }

    /// Objects of a collection whose selector matches a pod's labels.
    pub fn matching<'s>(
        &'s self,
        collection: &'s str,
        namespace: &'s str,
        labels: &'s Labels,
    ) -> impl Iterator<Item = &'s Key> {
        let places = labels.iter().map(move |(label, value)| place(namespace, label, value));
        let places = places.chain([anywhere(namespace)]);
        places.flat_map(move |place| self.by_label.under(&place)).filter(move |key| {
            key.as_str().starts_with(collection)
                && self.by_key.get(*key).is_some_and(|selector| matches(selector, labels))
        })
    }
}

/// Where a selector that asks for no label by value stands.
fn anywhere(namespace: &str) -> String {
    place(namespace, "", "")
}

fn at(key: &Key, selector: &Selector) -> String {
    let first = selector.equalities().next();
    first.map_or_else(|| anywhere(key.namespace()), |(label, value)| place(key.namespace(), label, value))
}

/// The selector of an object; one that is not there, or empty, selects nothing.
fn read(object: &Object, form: Form) -> Option<Selector> {
    let found = object.view().at(&["spec", "selector"]).to_value();
    let selector = match form {
        Form::Labels => Selector::of_labels(found.as_object()?),
        Form::LabelSelector => Selector::of_label_selector(&found),
    };
    (!selector.is_empty()).then_some(selector)
}
