//! Counters: the sum of what the existing objects charge to each.

use std::sync::Arc;

use imbl::OrdMap;

/// A sum by name. A sum of zero is not kept, so that the map follows from the objects alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counters(OrdMap<Arc<str>, i64>);

impl Counters {
    pub fn get(&self, counter: &str) -> i64 {
        self.0.get(counter).copied().unwrap_or(0)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(counter, sum)| (&**counter, *sum))
    }

    /// What a counter would be after `change`; `None` when that is no 64-bit number.
    pub fn after(&self, counter: &str, change: i128) -> Option<i64> {
        i64::try_from(i128::from(self.get(counter)) + change).ok()
    }

    /// Sets a counter.
    pub fn set(&mut self, counter: &str, sum: i64) {
        if sum == 0 {
            self.0.remove(counter);
        } else if let Some(found) = self.0.get_mut(counter) {
            *found = sum;
        } else {
            self.0.insert(Arc::from(counter), sum);
        }
    }
}
