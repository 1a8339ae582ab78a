//! An object's labels, in the form that selectors scan by the hundred thousand.

use std::sync::Arc;

use api::view::View;

use crate::shared;

/// The labels of one object, sorted by key.
///
/// One block of memory (`key NUL value NUL ...`), because a selector that looks at 300,000 objects
/// waits for memory, not for comparisons. Neither keys nor values of labels can hold a NUL. Objects that came from one
/// template hold one block together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Arc<str>);

const END: char = '\0';

impl Labels {
    /// `metadata.labels` of an object's JSON. What is no such JSON has no labels.
    pub(crate) fn of_json(json: &[u8]) -> Self {
        let found = View::new(json).at(&["metadata", "labels"]);
        let texts = found.members().filter(|(_, value)| value.is_text());
        let mut labels: Vec<_> = texts.map(|(key, value)| (key, value.text())).collect();
        labels.retain(|(key, value)| !key.contains(END) && !value.contains(END));
        labels.sort_unstable();
        let size = labels.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
        let mut text = String::with_capacity(size);
        for (key, value) in &labels {
            text.extend([&**key, "\0", &**value, "\0"]);
        }
        Self(shared::text(&text))
    }

    /// The value of a label.
    pub fn get(&self, key: &str) -> Option<&str> {
        self.iter().find(|(found, _)| *found == key).map(|(_, value)| value)
    }

    /// All of them, by key.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        let mut parts = self.0.split_terminator(END);
        std::iter::from_fn(move || Some((parts.next()?, parts.next()?)))
    }

    /// Reads a byte of them, so that they are in the processor's cache when they are needed.
    pub(crate) fn touch(&self) -> usize {
        self.0.as_bytes().first().copied().map_or(0, usize::from)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_of_json() {
        let cases: [(&str, &[(&str, &str)]); 9] = [
            ("", &[]),
            ("{}", &[]),
            ("not json", &[]),
            (r#"{"metadata":{}}"#, &[]),
            (r#"{"labels":{"a":"b"},"spec":{"metadata":{"labels":{"a":"b"}}}}"#, &[]),
            (
                r#"{"kind":"X","metadata":{"name":"n","labels":{"b":"2","a":"1"}},"spec":1}"#,
                &[("a", "1"), ("b", "2")],
            ),
            (r#"{"metadata":{"labels":{"a":"\u00e9\n"},"uid":"u"},"#, &[("a", "é\n")]),
            (r#"{"metadata":{"labels":{"a\u0000":"1","b":""}}}"#, &[("b", "")]),
            (r#"{"metadata":{"labels":{"a":1}}}"#, &[]),
        ];
        for (json, expect) in cases {
            let labels = Labels::of_json(json.as_bytes());
            assert_eq!(labels.iter().collect::<Vec<_>>(), expect, "{json}");
            assert_eq!(labels.is_empty(), expect.is_empty());
            for (key, value) in expect {
                assert_eq!(labels.get(key), Some(*value));
            }
            assert_eq!(labels.get("absent"), None);
        }
    }
}
