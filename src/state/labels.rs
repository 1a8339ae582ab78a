//! An object's labels, in the form that selectors scan by the hundred thousand.

use std::fmt;

use serde::Deserializer as _;
use serde::de::{Deserialize, IgnoredAny, MapAccess, Visitor};

/// The labels of one object, sorted by key.
///
/// One block of memory (`key NUL value NUL ...`), because a selector that looks at 300,000 objects
/// waits for memory, not for comparisons. Neither keys nor values of labels can hold a NUL.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels(Box<str>);

const END: char = '\0';

impl Labels {
    /// `metadata.labels` of an object's JSON. What is no such JSON has no labels.
    pub(crate) fn of_json(json: &[u8]) -> Self {
        let mut labels = Vec::new();
        let mut reader = serde_json::Deserializer::from_slice(json);
        // The result only says whether the rest of the object was read too; it was not.
        let _ = reader.deserialize_map(Top(&mut labels));
        labels.sort_unstable();
        let mut text =
            String::with_capacity(labels.iter().map(|(key, value)| key.len() + value.len() + 2).sum());
        for (key, value) in &labels {
            if !key.contains(END) && !value.contains(END) {
                text.extend([key, "\0", value, "\0"]);
            }
        }
        Self(text.into())
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

type Pairs = Vec<(String, String)>;

/// Reads an object up to the end of its metadata, which Kubernetes writes near the front.
struct Top<'a>(&'a mut Pairs);

impl<'de> Visitor<'de> for Top<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        while let Some(Name(is_metadata)) = map.next_key::<Name<METADATA>>()? {
            if is_metadata {
                *self.0 = map.next_value::<Metadata>()?.0;
                return Ok(());
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }
}

const METADATA: u8 = 0;
const LABELS: u8 = 1;
const NAMES: [&str; 2] = ["metadata", "labels"];

/// Whether a field has the name `NAMES[FIELD]`; never allocates.
struct Name<const FIELD: u8>(bool);

impl<'de, const FIELD: u8> Deserialize<'de> for Name<FIELD> {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Text<const FIELD: u8>;
        impl<const FIELD: u8> Visitor<'_> for Text<FIELD> {
            type Value = Name<FIELD>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field name")
            }

            fn visit_str<E>(self, text: &str) -> Result<Name<FIELD>, E> {
                Ok(Name(text == NAMES[usize::from(FIELD)]))
            }
        }
        reader.deserialize_str(Text)
    }
}

/// The labels inside `metadata`.
struct Metadata(Pairs);

impl<'de> Deserialize<'de> for Metadata {
    fn deserialize<D: serde::Deserializer<'de>>(reader: D) -> Result<Self, D::Error> {
        struct Fields;
        impl<'de> Visitor<'de> for Fields {
            type Value = Metadata;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("metadata")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Metadata, M::Error> {
                let mut labels = Pairs::new();
                while let Some(Name(is_labels)) = map.next_key::<Name<LABELS>>()? {
                    if is_labels {
                        let read: std::collections::BTreeMap<String, String> = map.next_value()?;
                        labels = read.into_iter().collect();
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Metadata(labels))
            }
        }
        reader.deserialize_map(Fields)
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
