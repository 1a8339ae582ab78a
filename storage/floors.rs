//! How far history was compacted away, by key prefix.

use std::collections::BTreeMap;

use crate::error::{Result, StorageError};

/// The floor of each rule that was ever compacted with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Floors(BTreeMap<String, u64>);

impl Floors {
    /// Raises the floor of a rule; floors never sink, because what was dropped stays dropped.
    pub(crate) fn raise(&mut self, prefix: &str, floor: u64) {
        let kept = self.0.entry(prefix.to_owned()).or_default();
        *kept = floor.max(*kept);
    }

    /// The floor of exactly this rule.
    pub(crate) fn of_rule(&self, prefix: &str) -> u64 {
        self.0.get(prefix).copied().unwrap_or_default()
    }

    /// The highest floor of any rule that may have dropped versions of keys starting with `prefix`.
    pub(crate) fn of_prefix(&self, prefix: &str) -> u64 {
        self.highest(|rule| rule.starts_with(prefix) || prefix.starts_with(rule))
    }

    /// The highest floor of any rule that may have dropped versions of `key`.
    pub(crate) fn of_key(&self, key: &str) -> u64 {
        self.highest(|rule| key.starts_with(rule))
    }

    /// The highest floor of any rule that may have dropped versions of keys in `from..to`.
    pub(crate) fn of_range(&self, from: &str, to: &str) -> u64 {
        self.highest(|rule| rule < to && (rule >= from || from.starts_with(rule)))
    }

    /// Every rule and its floor.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, u64)> {
        self.0.iter().map(|(prefix, floor)| (prefix.as_str(), *floor))
    }

    fn highest(&self, touches: impl Fn(&str) -> bool) -> u64 {
        self.iter().filter(|(rule, _)| touches(rule)).map(|(_, floor)| floor).max().unwrap_or(0)
    }
}

/// Refuses a question about a moment whose versions may be gone.
pub(crate) fn require(floor: u64, revision: u64) -> Result<()> {
    if revision < floor { Err(StorageError::Compacted { floor }) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_sees_the_highest_floor_it_touches() {
        let mut floors = Floors::default();
        floors.raise("b/", 5);
        floors.raise("b/x/", 7);
        floors.raise("b/", 3);
        let key = |key, expect| assert_eq!(floors.of_key(key), expect, "key {key}");
        key("a/1", 0);
        key("b/1", 5);
        key("b/x/1", 7);
        let prefix = |prefix, expect| assert_eq!(floors.of_prefix(prefix), expect, "prefix {prefix}");
        prefix("", 7);
        prefix("b/", 7);
        prefix("b/y/", 5);
        prefix("c/", 0);
        let range = |from, to, expect| assert_eq!(floors.of_range(from, to), expect, "{from}..{to}");
        range("a", "b", 0);
        range("b/y", "b/z", 5);
        range("b/a", "b/y", 7);
        range("b/x/1", "b/x/2", 7);
        range("c", "d", 0);
    }
}
