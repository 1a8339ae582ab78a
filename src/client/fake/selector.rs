//! Queries, and the selectors in them.

use std::collections::BTreeMap;

use serde_json::Value;

/// The parameters of a query.
pub(super) fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect()
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = after.get(..2).filter(|_| *first == b'%');
        let escaped = escaped.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        bytes.push(escaped.unwrap_or(*first));
        rest = if escaped.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Conditions on fields and labels, all by equality.
pub(super) struct Selector {
    /// Where, whether it must be equal, and what to.
    conditions: Vec<(Vec<String>, bool, String)>,
}

impl Selector {
    pub(super) fn of(query: &BTreeMap<String, String>) -> Self {
        let mut conditions = Vec::new();
        for parameter in ["fieldSelector", "labelSelector"] {
            let text = query.get(parameter).map_or("", String::as_str);
            for condition in text.split(',').filter(|condition| !condition.is_empty()) {
                let (field, value, is_equal) = match condition.split_once("!=") {
                    Some((field, value)) => (field, value, false),
                    None => condition.split_once('=').map_or((condition, "", true), |(field, value)| {
                        (field, value.trim_start_matches('='), true)
                    }),
                };
                let place = if parameter == "labelSelector" {
                    vec!["metadata".to_owned(), "labels".to_owned(), field.to_owned()]
                } else {
                    field.split('.').map(str::to_owned).collect()
                };
                conditions.push((place, is_equal, value.to_owned()));
            }
        }
        Self { conditions }
    }

    pub(super) fn matches(&self, object: &Value) -> bool {
        self.conditions.iter().all(|(place, is_equal, value)| {
            let found = place.iter().try_fold(object, |at, name| at.get(name));
            (found.and_then(Value::as_str).unwrap_or_default() == value) == *is_equal
        })
    }
}
