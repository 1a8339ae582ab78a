//! Amounts of resources that pods ask for and nodes have, in fixed integer units.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::quantity::Quantity;

/// Amounts by resource. What is common stands in fields of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Amounts {
    /// `cpu`, in thousandths of a core.
    pub cpu_milli: i64,
    /// `memory`, in bytes.
    pub memory_bytes: i64,
    /// `ephemeral-storage`, in bytes.
    pub storage_bytes: i64,
    /// All others, in their units: `nvidia.com/gpu`, `hugepages-2Mi` in bytes.
    pub others: BTreeMap<Arc<str>, i64>,
}

impl Amounts {
    /// Reads a `ResourceList`. What cannot be read counts as nothing: validation keeps it out.
    pub fn of<'t>(list: impl IntoIterator<Item = (&'t str, &'t str)>) -> Self {
        let mut amounts = Self::default();
        for (resource, text) in list {
            let Ok(quantity) = Quantity::parse(text) else { continue };
            let whole = |scale| i64::try_from(quantity.in_units(scale)).unwrap_or(i64::MAX);
            match resource {
                "cpu" => amounts.cpu_milli = whole(-3),
                "memory" => amounts.memory_bytes = whole(0),
                "ephemeral-storage" => amounts.storage_bytes = whole(0),
                "pods" => {}
                other => drop(amounts.others.insert(other.into(), whole(0))),
            }
        }
        amounts
    }

    /// Adds others, `times` times: -1 takes them away.
    pub fn add(&mut self, other: &Self, times: i64) {
        let add = |to: &mut i64, amount: i64| *to = to.saturating_add(amount.saturating_mul(times));
        add(&mut self.cpu_milli, other.cpu_milli);
        add(&mut self.memory_bytes, other.memory_bytes);
        add(&mut self.storage_bytes, other.storage_bytes);
        for (name, amount) in &other.others {
            let held = self.others.entry(Arc::clone(name)).or_default();
            add(held, *amount);
            if *held == 0 {
                self.others.remove(name);
            }
        }
    }

    /// For each resource the larger of both.
    pub fn raise_to(&mut self, other: &Self) {
        self.cpu_milli = self.cpu_milli.max(other.cpu_milli);
        self.memory_bytes = self.memory_bytes.max(other.memory_bytes);
        self.storage_bytes = self.storage_bytes.max(other.storage_bytes);
        for (name, amount) in &other.others {
            let held = self.others.entry(Arc::clone(name)).or_default();
            *held = (*held).max(*amount);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_in_their_units() {
        let read = Amounts::of([
            ("cpu", "1500m"),
            ("memory", "1Gi"),
            ("nvidia.com/gpu", "2"),
            ("pods", "110"),
            ("odd", "?"),
        ]);
        assert_eq!((read.cpu_milli, read.memory_bytes, read.storage_bytes), (1500, 1 << 30, 0));
        assert_eq!(read.others, BTreeMap::from([("nvidia.com/gpu".into(), 2)]));
    }

    #[test]
    fn what_is_added_and_taken_away_leaves_nothing() {
        let some = Amounts::of([("cpu", "2"), ("a/b", "3")]);
        let mut sum = Amounts::default();
        sum.add(&some, 1);
        sum.add(&some, 1);
        assert_eq!((sum.cpu_milli, sum.others["a/b"]), (4000, 6));
        sum.add(&some, -2);
        assert_eq!(sum, Amounts::default());
    }
}
